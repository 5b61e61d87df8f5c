"""A well-behaved client of HTTP/2 in a process of its own: one GET after another on one connection, with a pause between.

Args: HOST PORT plain|secure. For each line of its input it says what happened since the last, as one line of JSON:
{"milliseconds": [...], "failures": [...]}
"""

import json
import subprocess
import sys
import threading
import time

from tests.conformance import h2_raw as h2
from tests.support import fleet as support

PAUSE = 0.002
GIVE_BACK = 32_768  # Bytes of a window.


class Client:
    def __init__(self, address, secure):
        self.address, self.secure = address, secure
        self.lock, self.times, self.failures = threading.Lock(), [], []
        self.connection, self.stream, self.taken = None, 1, 0

    def once(self):
        if self.connection is None:
            self.connection, self.stream, self.taken = h2.Connection(self.address, self.secure), 1, 0
        connection, stream = self.connection, self.stream
        self.stream += 2
        connection.send(h2.headers(stream, h2.request(scheme=connection.scheme)))
        going = False
        while True:
            found = connection.read(10)
            if found is None:
                raise ConnectionError("ended")
            kind, flags, of, payload = found
            if kind == h2.SETTINGS and not flags & h2.ACK:
                connection.send(h2.frame(h2.SETTINGS, h2.ACK))
            elif kind == h2.PING and not flags & h2.ACK:
                connection.send(h2.frame(h2.PING, h2.ACK, payload=payload))
            elif kind == h2.GOAWAY:
                going = True
            elif kind == h2.RST_STREAM and of == stream:
                raise ConnectionError("reset")
            elif kind == h2.DATA:
                self.taken += len(payload)
                if self.taken >= GIVE_BACK:
                    connection.send(h2.window_update(0, self.taken))
                    self.taken = 0
            if kind in (h2.DATA, h2.HEADERS) and of == stream and flags & h2.END_STREAM:
                break
        if going:
            connection.close()
            self.connection = None

    def run(self):
        while True:
            began, failure = time.monotonic(), None
            try:
                self.once()
            except (OSError, RuntimeError) as error:
                failure, self.connection = repr(error), None
            with self.lock:
                if failure:
                    self.failures.append(failure)
                else:
                    self.times.append((time.monotonic() - began) * 1000)
            time.sleep(PAUSE)

    def report(self):
        with self.lock:
            found = {"milliseconds": self.times, "failures": self.failures}
            self.times, self.failures = [], []
        return found


class Probe(support.Process):
    """The parent's side; owned by a Fleet."""

    def __init__(self, fleet, address, secure):
        super().__init__(fleet.folder, "probe", [sys.executable, "-m", "tests.conformance.h2_probe", *map(str, address), "secure" if secure else "plain"])
        fleet.add(self)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def since(self):
        """(milliseconds, failures) since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the probe has ended: {self.log()}")
        found = json.loads(line)
        return found["milliseconds"], found["failures"]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


def main():
    client = Client((sys.argv[1], int(sys.argv[2])), sys.argv[3] == "secure")
    threading.Thread(target=client.run, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(client.report()), flush=True)


if __name__ == "__main__":
    main()
