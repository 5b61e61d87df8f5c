"""The load generator and the upstream, as the scenarios use them."""

import json
import subprocess

from tests.bench.suite import machine


class Upstream:
    """bench_upstream on a free port; see tests/bench/load."""

    def __init__(self, binary, core):
        self.process = subprocess.Popen(machine.pinned(core, [binary]), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class LoadError(RuntimeError):
    """The load generator could not do its work."""


def run(binary, core, port, pids, seconds, connections=64, rate=0, path="/", requests_file=None):
    """One measured window; what bench_load reports."""
    command = [binary, f"--server=127.0.0.1:{port}", f"--connections={connections}", f"--seconds={seconds}",
               f"--rate={rate}", "--cpu_pids=" + ",".join(str(pid) for pid in pids)]
    command.append(f"--requests_file={requests_file}" if requests_file else f"--path={path}")
    process = subprocess.Popen(machine.pinned(core, command), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=seconds + 60)
    if process.returncode != 0:
        raise LoadError(err.strip())
    report = json.loads(out)
    report["load_pid"] = process.pid
    return report


class IdleConnections:
    """`count` connections that have each served a request and rest until close()."""

    def __init__(self, binary, core, port, count):
        self.process = subprocess.Popen(
            machine.pinned(core, [binary, f"--server=127.0.0.1:{port}", f"--connections={count}", "--idle"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "resting":
            raise LoadError(self.process.stderr.read().strip())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()
