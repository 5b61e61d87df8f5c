"""Scenario f: what clients notice while the configuration changes."""

import dataclasses
import os
import signal
import statistics
import subprocess
import threading
import time

from tests.bench.suite import load, machine, rounds, routes, scenarios, servers

ROUTES = 1000
CHANGES_EVERY = 1.0
# Windows are this much longer than those of other scenarios, so that each holds some changes.
_TIMES_SECONDS, _LEAST_SECONDS = 2.5, 3
_WARM_UP_SECONDS = 1
MOST_ROUNDS = 4
# Servers that cannot carry the fixed rate with so many routes get one that they can.
_RATES = {"envoy": 6000}
_CONNECTIONS = 64


@dataclasses.dataclass
class Subject:
    """A server and how its configuration is changed to a version."""

    server: servers.Server
    change: object  # function of the version; raises or returns when the change was handed over
    helpers: list   # processes to stop after it


def changes(bench):
    """A fixed rate to 1,000 routes: a window without and one with a change each second, in turns."""
    requests = bench.write("change.tsv", routes.requests(range(ROUTES)))
    subjects, measured = [], {}
    version = 0
    try:
        for name, engine in bench.wanted(("haproxy", "nginx", "envoy")):
            try:
                subjects.append(_STARTERS[name](bench, engine))
            except (servers.StartError, subprocess.SubprocessError, OSError) as error:
                bench.failures.append(f"{name} {engine} change: {error}")
        for subject in subjects:
            _window(bench, subject, requests, None, seconds=_WARM_UP_SECONDS)
        for number in range(1, 2 if bench.options.quick else min(bench.options.rounds, MOST_ROUNDS) + 1):
            for subject in subjects:
                steady = _window(bench, subject, requests, None)
                during = _window(bench, subject, requests, version)
                version += during.figures["changes"]
                _say(bench, number, subject, steady, during)
                measured.setdefault(subject.server.label, []).append((subject.server, steady, during))
    finally:
        for subject in subjects:
            subject.server.stop()
            for helper in subject.helpers:
                helper.kill()
                helper.wait()
    return [_row(bench, pairs) for pairs in measured.values()]


def _say(bench, number, subject, steady, during):
    what = f"round {number}"
    bench.say(f"{what:8} f {subject.server.label:14} p99 {steady.figures['p99_us']:8.0f} us, with "
              f"{during.figures['changes']} changes {during.figures['p99_us']:8.0f} us, failed {during.failed}"
              + (f" (disturbed: {during.disturbed})" if during.disturbed else ""))
    if during.disturbed or steady.disturbed:
        bench.discarded.append(f"f {subject.server.label}, {what}: {during.disturbed or steady.disturbed}")


def window_seconds(options):
    return max(_TIMES_SECONDS * options.seconds, _LEAST_SECONDS)


def _rate(server):
    return _RATES.get(server.name, scenarios.FIXED_RATE)


def _window(bench, subject, requests, version, seconds=None):
    """A Round; with changes from `version` on if it is not None."""
    options, server = bench.options, subject.server
    seconds = seconds or window_seconds(options)
    # Reloading replaces the processes: their CPU time cannot be followed.
    pids = [] if server.whole_tree else server.pids
    helper_pids = [helper.pid for helper in subject.helpers]
    changer = _Changer(subject, version, seconds) if version is not None else None
    if changer:
        changer.start()
    report = load.run(options.load_tool, options.load_core, server.port,
                      [*pids, *helper_pids, bench.upstream.pid, *bench.extra_pids], seconds, _CONNECTIONS,
                      _rate(server), requests_file=requests)
    if changer:
        changer.join()
    result = rounds.figures(report, pids, server.rss_kib(), _rate(server))
    result.figures["changes"] = changer.done if changer else 0
    result.figures["retried"] = report["retried"]
    if changer and changer.error:
        bench.failures.append(f"{server.label}: a change failed: {changer.error}")
    if server.whole_tree or changer:
        # The servers' new processes, and what makes the change, are part of what is measured.
        result.disturbed = ""
    return result


class _Changer(threading.Thread):
    """Makes changes at even distances while a window lasts."""

    def __init__(self, subject, version, seconds):
        super().__init__()
        self._subject, self._version, self._seconds = subject, version, seconds
        self.done, self.error = 0, None

    def run(self):
        start = time.monotonic() + CHANGES_EVERY / 2
        while start < time.monotonic() + self._seconds:
            time.sleep(max(0.0, start + self.done * CHANGES_EVERY - time.monotonic()))
            if self.done * CHANGES_EVERY >= self._seconds - CHANGES_EVERY / 2:
                return
            try:
                self._subject.change(self._version + self.done + 1)
            except (OSError, subprocess.SubprocessError) as error:
                self.error = error
                return
            self.done += 1


def _row(bench, pairs):
    server = pairs[0][0]
    row = rounds.summarize([during for _, _, during in pairs])
    quiet = [steady for _, steady, _ in pairs if not steady.disturbed] or [steady for _, steady, _ in pairs]
    ratios = [during.figures["p99_us"] / steady.figures["p99_us"] for _, steady, during in pairs]
    return {
        "scenario": "f", "variant": f"rate {scenarios.FIXED_RATE}",
        "detail": f"{_rate(server):,}/s" if server.name in _RATES else "", "server": server.name, "engine": server.engine,
        "connections": _CONNECTIONS, **row,
        "p99_steady_us": rounds.median([r.figures["p99_us"] for r in quiet]),
        "p999_steady_us": rounds.median([r.figures["p999_us"] for r in quiet]),
        "p99_ratio": statistics.median(ratios),
        "changes": sum(during.figures["changes"] for _, _, during in pairs),
        "retried": sum(during.figures["retried"] for _, _, during in pairs),
    }


def _started(bench, name, engine, kind, **values):
    server = bench.starter.start(name, engine, kind, **values)
    try:
        server.wait_until_it_answers(routes.path(0))
    except servers.StartError:
        server.stop()
        raise
    return server


def _replace(path, text):
    """Atomically, as every watcher expects."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def _portico(bench, engine):
    """A control plane with a store, which sends to the proxy what `porticoctl apply` tells it. Both belong on other
    machines than the proxy: here they use what the load leaves of its core.
    """
    folder = bench.folder(f"control-{engine}")
    helper_core, shared = bench.options.load_core, bench.options.nice != 0
    grpc_port = servers.free_port()
    control_command = [bench.programs["portico_control"], "--insecure", "--grpc-address", f"127.0.0.1:{grpc_port}",
                       "--metrics-address", f"127.0.0.1:{servers.free_port()}", "--store", os.path.join(folder, "db")]
    with open(os.path.join(folder, "control.log"), "ab") as log:
        control = subprocess.Popen(machine.pinned(helper_core, machine.in_background(control_command, shared)),
                                   stdout=log, stderr=log)

    def apply(text, check=True):
        return subprocess.run(
            machine.pinned(helper_core, machine.in_background(
                [bench.programs["porticoctl"], "apply", "-f", "-", "--server", f"127.0.0.1:{grpc_port}", "--insecure"],
                shared)),
            input=text, text=True, capture_output=True, check=check)

    deadline = time.monotonic() + 20
    configuration = bench.starter.text("portico", "change", ROUTES=routes.portico(ROUTES))
    while apply(configuration, check=False).returncode != 0:
        if time.monotonic() > deadline:
            control.kill()
            control.wait()
            raise servers.StartError("portico_control takes no configuration: " +
                                     apply(configuration, check=False).stderr)
        time.sleep(0.1)
    try:
        server = bench.starter.start_portico(engine, ["--control-plane", f"127.0.0.1:{grpc_port}", "--insecure"])
        server.wait_until_it_answers(routes.path(0))
    except servers.StartError:
        control.kill()
        control.wait()
        raise
    return Subject(server, lambda version: apply(routes.portico(1, version)), [control])


def _envoy(bench, engine):
    server = _started(bench, "envoy", engine, "routes", files={"routes.json": routes.envoy(ROUTES)})
    path = os.path.join(server.folder, "routes.json")
    return Subject(server, lambda version: _replace(path, routes.envoy(ROUTES, version)), [])


def _nginx(bench, engine):
    server = _started(bench, "nginx", engine, "change", ROUTES=routes.nginx(ROUTES))

    def change(version):
        bench.starter.rewrite(server, "change", ROUTES=routes.nginx(ROUTES, version))
        server.process.send_signal(signal.SIGHUP)
    return Subject(server, change, [])


def _haproxy(bench, engine):
    server = _started(bench, "haproxy", engine, "change", files={"routes.map": routes.haproxy_map(ROUTES)}, TIMEOUT=3600)

    def change(version):
        bench.starter.rewrite(server, "change", TIMEOUT=3600 + version)
        server.process.send_signal(signal.SIGUSR2)
    return Subject(server, change, [])


_STARTERS = {servers.PORTICO: _portico, "envoy": _envoy, "nginx": _nginx, "haproxy": _haproxy}
