"""The load generator and the upstream, as the scenarios use them."""

import json
import re
import subprocess

from tests.bench.suite import machine


# How many connections of IdleConnections have their request at once, as bench_load has it.
TOUCHED_AT_ONCE = 256


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


def run(binary, core, port, pids, seconds, connections=64, rate=0, path="/", requests_file=None, tls=False, close=False):
    """One measured window; what bench_load reports."""
    command = [binary, f"--server=127.0.0.1:{port}", f"--connections={connections}", f"--seconds={seconds}",
               f"--rate={rate}", "--cpu_pids=" + ",".join(str(pid) for pid in pids)]
    command.append(f"--requests_file={requests_file}" if requests_file else f"--path={path}")
    command += ["--tls"] * tls + ["--close"] * close
    process = subprocess.Popen(machine.pinned(core, command), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=seconds + 60)
    if process.returncode != 0:
        raise LoadError(err.strip())
    report = json.loads(out)
    report["load_pid"] = process.pid
    return report


def around(binary, core, pids, command, timeout):
    """What bench_around reports of another load generator."""
    done = subprocess.run(
        machine.pinned(core, [binary, "--cpu_pids=" + ",".join(str(pid) for pid in pids), "--", *command]),
        capture_output=True, text=True, timeout=timeout, check=False)
    report = json.loads(done.stdout) if done.returncode == 0 else {"exit_code": done.stderr}
    if report["exit_code"] != 0:
        raise LoadError(f"{command[0]}: {report['exit_code']}: {report.get('output', '')[-500:]}")
    return report


def h2load_figures(output, seconds):
    """The requests of a run of h2load, as bench_load would report them; quantiles of latency it does not know."""
    counts = re.search(r"requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed", output)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    if not counts or not statuses:
        raise LoadError(f"h2load: no figures in {output[-500:]}")
    succeeded = int(statuses.group(1))
    errors = {name: int(count) for name, count in zip(("status 3xx", "status 4xx", "status 5xx"), statuses.groups()[1:])
              if int(count)}
    # What was in flight when the time was over is called failed only if the connection broke.
    broken = int(counts.group(3)) - sum(errors.values())
    if broken > 0:
        errors["failed"] = broken
    return {"requests": succeeded, "requests_per_second": succeeded / seconds, "failed": sum(errors.values()),
            "errors": errors, "p50_us": None, "p99_us": None, "p999_us": None}


class IdleConnections:
    """`count` connections that have each served a request and rest until close()."""

    def __init__(self, binary, core, port, count, tls=False):
        self.process = subprocess.Popen(
            machine.pinned(core, [binary, f"--server=127.0.0.1:{port}", f"--connections={count}", "--idle",
                                  *["--tls"] * tls]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "resting":
            raise LoadError(self.process.stderr.read().strip())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()
