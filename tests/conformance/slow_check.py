"""slowhttptest in its modes H (slow headers), B (slow bodies) and X (slow reading), and slow clients of HTTP/2 (slow_h2.py):
every connection of the attack is ended by its deadline, and a well-behaved client beside it is served all the time.

  --version 1.1|2    only those; --transport plain|secure: of HTTP/2
"""

import argparse
import collections
import subprocess
import threading
import time

from tests.conformance import h2_targets, registry_tools, slow_h2
from tests.conformance.verdicts import Verdicts
from tests.support import bodies
from tests.support import fleet as support
from tests.support import tls_files
from tests.support.http_client import Closed, Connection

CONNECTIONS = 400
RATE = 200  # A second.
HEADER_TIMEOUT, ROUTE_TIMEOUT = 3, 5
# What a deadline may be late by on a busy machine, with the attack's own ticks of a second.
LATE = 4
H2_CONNECTIONS, H2_UNREAD = 100, 20  # Those that do not read hold what the kernel takes, too.
GROWTH = 64 * 1024  # KiB of memory at most.

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{header_timeout: {header}s, stream_idle_timeout: {header}s, idle_timeout: {route}s}}}}
{https}---
kind: AccessLog
name: requests
spec: {{path: "{folder}/access.log"}}
---
kind: Upstream
name: echo
spec:
  endpoints: [{{address: "{endpoint}"}}]
  circuit_breaker: {{max_connections: 5000, max_requests: 5000}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}], timeout: {route}s}}
---
kind: Upstream
name: large
spec:
  endpoints: [{{address: "{large}"}}]
  circuit_breaker: {{max_connections: 5000, max_requests: 5000}}
---
kind: Route
name: large
spec: {{match: {{path: {{prefix: /length}}}}, upstreams: [{{name: large}}], timeout: {route}s}}
"""

HTTPS = """---
kind: Listener
name: https
spec:
  address: "127.0.0.1:0"
  access_log: requests
  limits: {{header_timeout: {header}s, stream_idle_timeout: {header}s, idle_timeout: {route}s}}
  tls: {{certificates: [main]}}
"""

MODES = {
    # How long connections of it may last, and what ends them.
    "H": (["-H", "-i", "1", "-x", "24"], HEADER_TIMEOUT, {"header_timeout"}),
    "B": (["-B", "-i", "1", "-s", "100000", "-x", "10"], ROUTE_TIMEOUT, {"body_timeout", "client_disconnected"}),
    "X": (["-X", "-w", "64", "-y", "128", "-n", "1", "-z", "16", "-k", "3"], ROUTE_TIMEOUT, {"client_too_slow", "client_disconnected"}),
}


class Probe(threading.Thread):
    """A client that asks for something every 50 ms, on a new connection every time."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.stopped = address, threading.Event()
        self.times, self.failures = [], []

    def run(self):
        while not self.stopped.wait(0.05):
            began = time.monotonic()
            try:
                with Connection(self.address, timeout=10) as connection:
                    status = connection.request("GET", "/echo/probe").status
                if status != 200:
                    self.failures.append(status)
            except (OSError, Closed) as error:
                self.failures.append(str(error))
            self.times.append(time.monotonic() - began)

    def stop(self):
        self.stopped.set()
        self.join()


class Watch(threading.Thread):
    """When the proxy last held connections of the attack, in seconds from its beginning."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.stopped = proxy, threading.Event()
        self.most, self.held = 0, 0.0

    def run(self):
        began = time.monotonic()
        while not self.stopped.wait(0.1):
            # The probe has one, too, now and then.
            active = self.proxy.metrics()["portico_downstream_connections_active"] - 1
            self.most = max(self.most, active)
            if active > 0:
                self.held = time.monotonic() - began

    def stop(self):
        self.stopped.set()
        self.join()


def attack(verdicts, fleet, proxy, mode):
    check = verdicts.check
    options, deadline, reasons = MODES[mode]
    address = proxy.listener("http")
    before = proxy.metrics()
    log_before = len(fleet.access_log())
    prefix = fleet.path(f"slow-{mode}")
    url = "http://%s:%d/%s" % (*address, "length/4000000" if mode == "X" else "echo/slow")
    probe = Probe(address)
    probe.start()
    watch = Watch(proxy)
    watch.start()
    done = subprocess.run([registry_tools.debian("slowhttptest", "slowhttptest"), *options, "-c", str(CONNECTIONS), "-r", str(RATE),
                           "-l", str(CONNECTIONS // RATE + deadline + 2 * LATE), "-p", "5", "-g", "-o", prefix, "-u", url], capture_output=True, text=True, timeout=120)
    probe.stop()
    watch.stop()
    after = proxy.metrics()
    opened = after["portico_downstream_connections_total"] - before["portico_downstream_connections_total"] - len(probe.times)
    check(f"{mode}: connections of the attack", opened >= CONNECTIONS * 0.95, f"{opened}: {done.stdout[-800:]}")
    if mode != "X":  # There the tool reads on from its own buffers.
        check(f"{mode}: the attack saw all of them end", "No open connections left" in done.stdout, done.stdout[-400:])
    limit = CONNECTIONS / RATE + deadline + LATE
    check(f"{mode}: ended by the deadline", watch.held <= limit, f"{watch.held:.1f} s, wanted {limit:.1f}")
    check(f"{mode}: they were open together", watch.most >= CONNECTIONS * 0.5, watch.most)
    check(f"{mode}: the proxy holds none of them",
          support.wait_until(lambda: proxy.metrics()["portico_downstream_connections_active"] <= 1, "the end of the connections", 10))
    check(f"{mode}: the probe was served throughout", len(probe.times) >= 20 and not probe.failures, probe.failures[:5])
    check(f"{mode}: without waiting", max(probe.times) < 2, f"{max(probe.times):.2f} s")
    counted = collections.Counter(record["reason"] for record in fleet.access_log()[log_before:] if record.get("reason"))
    check(f"{mode}: named reasons", sum(counted[reason] for reason in reasons) >= CONNECTIONS * 0.9, counted)
    verdicts.say(f"{mode}: {int(opened)} connections, ended within {watch.held:.1f} s, reasons {dict(counted)}, slowest probe {max(probe.times) * 1000:.0f} ms")


def attack_h2(verdicts, fleet, proxy, mode, transport):
    what = f"HTTP/2, {transport}: {mode.name}"

    def check(name, holds, found=""):
        return verdicts.check(f"{what}: {name}", holds, found)
    secure, count = transport == "secure", H2_CONNECTIONS if mode.reads else H2_UNREAD
    probe = Probe(proxy.listener("http"))
    log_before, rss = len(fleet.access_log()), proxy.rss_kib()
    limit = {"header": HEADER_TIMEOUT, "idle": ROUTE_TIMEOUT, "route": ROUTE_TIMEOUT}[mode.deadline] + LATE
    probe.start()
    ended, codes = slow_h2.attack(proxy.listener("https" if secure else "http"), secure, mode, count, limit, LATE)
    growth = proxy.rss_kib() - rss
    probe.stop()
    check("all were ended", all(ended), f"{ended.count(0.0)} were not")
    check("by the deadline", max(ended) <= limit + (0 if mode.reads else 1), f"{max(ended):.1f} s, wanted {limit:.1f}")
    check("not at once", min(ended) >= 1, f"{min(ended):.1f} s")
    check("the proxy holds none of them",
          support.wait_until(lambda: proxy.metrics()["portico_downstream_connections_active"] <= 1, "the end of the connections", 20))
    check("no request is left", support.wait_until(lambda: proxy.metrics()["portico_requests_active"] == 0, "the end of the requests", 20))
    check("memory", growth <= GROWTH, f"{growth} KiB more")
    check("the probe was served throughout", len(probe.times) >= 10 and not probe.failures, probe.failures[:5])
    check("without waiting", max(probe.times) < 2, f"{max(probe.times):.2f} s")
    counted = collections.Counter(record["reason"] for record in fleet.access_log()[log_before:] if record.get("reason"))
    if mode.reasons:
        check("named reasons", sum(counted[reason] for reason in mode.reasons) >= count * 0.9, counted)
    verdicts.say(f"{what}: ended within {max(ended):.1f} s, GOAWAY {sorted(codes)}, reasons {dict(counted)}, {growth} KiB more, "
                 f"slowest probe {max(probe.times) * 1000:.0f} ms")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--version", choices=("1.1", "2"))
    options.add_argument("--transport", choices=("plain", "secure"), action="append")
    options.add_argument("--only", default="")
    options = options.parse_args()
    transports = options.transport or ["plain", "secure"]
    with Verdicts("slow") as verdicts:
        with support.Fleet() as fleet:
            h2_targets.authority(fleet)
            echo = fleet.echo("echo")
            secure = "secure" in transports and options.version != "1.1"
            times = {"header": HEADER_TIMEOUT, "route": ROUTE_TIMEOUT}
            config = CONFIG.format(folder=fleet.folder, endpoint=echo.addresses()["http"], large=bodies.Upstream().address,
                                   https=HTTPS.format(**times) if secure else "", **times)
            config += tls_files.certificate_yaml("main", fleet.localhost) if secure else ""
            proxy = fleet.proxy("p1", config=fleet.write("config.yaml", config), workers=2, listeners=("http", "https") if secure else ("http",))
            proxy.wait_ready()
            if options.version != "2":
                for mode in MODES:
                    attack(verdicts, fleet, proxy, mode)
            if options.version != "1.1":
                for transport in transports:
                    for mode in slow_h2.MODES:
                        if options.only in mode.name:
                            attack_h2(verdicts, fleet, proxy, mode, transport)
            verdicts.check("the proxy lives", proxy.process.poll() is None, proxy.log())


if __name__ == "__main__":
    main()
