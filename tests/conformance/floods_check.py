"""Floods of HTTP/2 frames and resets: the connection is ended with the right code, memory stays where it was, and a
well-behaved client beside it hardly notices.

  --target NAME      attacks nginx, nghttpx or nghttpd instead of Portico, to see the check fail
  --transport WHICH  plain or secure; default: both
  --only TEXT        only attacks whose name has it
"""

import argparse
import contextlib
import os
import threading
import time

from tests.conformance import flood_frames, h2_raw, h2_targets
from tests.conformance.h2_probe import Probe, percentile
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support

ROUNDS, PAUSE = 10, 0.05  # Attacks of each kind one after another, and seconds between.
QUIET = 0.7  # Seconds that the client beside is measured alone.
GROWTH = 48 * 1024  # KiB of memory at most, over what there was before the attack.
ATTEMPTS = 4  # Measurements of the client beside: others use this machine, too.


@contextlib.contextmanager
def giving_way():
    """Attackers are on machines of their own: here they must not take the processor from who is measured."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


class Memory(threading.Thread):
    """The most that a target holds."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.most, self.stopped = target, 0, threading.Event()

    def run(self):
        while True:
            self.most = max(self.most, self.target.rss_kib())
            if self.stopped.wait(0.01):
                return

    def stop(self):
        self.stopped.set()
        self.join()
        return self.most


class Attacker:
    def __init__(self, verdicts, fleet, target, transport):
        self.verdicts, self.fleet, self.target, self.transport = verdicts, fleet, target, transport
        self.secure = transport == "secure"
        self.address = target.secure if self.secure else target.plain
        self.probe = Probe(fleet, self.address, self.secure)
        self.pages = {}

    def once(self, flood):
        scheme = b"https" if self.secure else b"http"
        if flood.name not in self.pages:
            self.pages = {flood.name: flood.make(scheme)}
        with h2_raw.Connection(self.address, self.secure, receive_buffer=0 if flood.reads else 4096) as connection:
            return connection.attack(self.pages[flood.name], reads=flood.reads)

    def measured(self, flood):
        """(endings, p99 before, p99 beside, failures of the client beside, KiB of growth)."""
        self.probe.since()
        time.sleep(QUIET)
        before, failures = self.probe.since()
        rss = self.target.rss_kib()
        memory = Memory(self.target)
        memory.start()
        endings = []
        for _ in range(ROUNDS):
            endings.append(self.once(flood))
            if endings[-1].seconds > 3:
                break  # It is not refused at once: this says enough.
            time.sleep(PAUSE)
        beside, more = self.probe.since()
        return endings, percentile(before, 0.99), percentile(beside, 0.99), failures + more, memory.stop() - rss

    def judge(self, flood):
        check, what = self.verdicts.check, f"{self.transport}: {flood.name}"
        self.once(flood)  # What it costs the first time only.
        for attempt in range(ATTEMPTS):
            endings, before, beside, failures, growth = self.measured(flood)
            if beside < 2 * before:
                break
        wrong = [ending for ending in endings if not self._good(flood, ending)]
        check(f"{what}: ended with {' or '.join(sorted(map(str, flood.codes)))}", not wrong, wrong[0] if wrong else "")
        check(f"{what}: memory", growth <= GROWTH, f"{growth} KiB more")
        check(f"{what}: p99 beside it less than doubled", beside < 2 * before, f"{beside:.2f} ms, alone {before:.2f} ms")
        check(f"{what}: the client beside is served", not failures, failures[:3])
        check(f"{what}: {self.target.name} lives", self.target.alive(), self.target.process.log())
        self.verdicts.say(f"{what}: {endings[-1]}; {growth} KiB more; p99 beside {beside:.2f} ms, alone {before:.2f} ms")

    @staticmethod
    def _good(flood, ending):
        if ending.closed and ending.code in flood.codes:
            return True
        # What fills the table is a request like any other.
        return flood.refused and ending.goaway is None and ending.served <= 1


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=sorted(h2_targets.TARGETS), default="portico")
    options.add_argument("--transport", choices=("plain", "secure"), action="append")
    options.add_argument("--only", default="")
    options = options.parse_args()
    with Verdicts("floods") as verdicts:
        for transport in options.transport or ("plain", "secure"):
            with support.Fleet() as fleet:
                secure = {"secure": transport == "secure"} if options.target == "portico" else {}
                attacker = Attacker(verdicts, fleet, h2_targets.TARGETS[options.target](fleet, **secure), transport)
                with giving_way():
                    for flood in flood_frames.FLOODS + flood_frames.RESETS:
                        if options.only in flood.name:
                            attacker.judge(flood)


if __name__ == "__main__":
    main()
