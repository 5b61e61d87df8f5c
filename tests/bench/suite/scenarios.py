"""The scenarios a to d: which servers, which load. e and f have files of their own."""

import dataclasses

from tests.bench.suite import load, rounds, servers

FIXED_RATE = 20000
# Connections of each variant of scenario a.
SATURATED = (1, 64, 256)
ENGINES = ("uring", "epoll")


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the result: a server under one load."""

    scenario: str
    variant: str
    server: servers.Server
    connections: int
    rate: float = 0
    path: str = "/"
    requests_file: str = ""
    label: str = ""  # where the server's own does not tell rows apart

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def name(self):
        return f"{self.scenario} {self.variant} c{self.connections} {self.label or self.server.label}"


class Bench:
    """What every scenario needs; made by main."""

    def __init__(self, starter, options, upstream, programs, engines, extra_pids, say):
        self.starter, self.options, self.upstream = starter, options, upstream
        self.programs, self.engines, self.extra_pids, self.say = programs, engines, extra_pids, say
        self.failures = []   # servers that did not start or answered with errors
        self.discarded = []  # one line for each disturbed round
        self.notes = {}      # scenario: lines for the report

    def wanted(self, names):
        """(name, engine) of Portico's engines and of those peers that this run has."""
        subjects = [(servers.PORTICO, engine) for engine in self.engines]
        return subjects + [(name, "") for name in names if name in self.options.peers and name in self.programs]

    def start_all(self, subjects, kind, path="/", headers=(), **values):
        """Starts each, skips (and notes) what does not come up."""
        running = []
        for name, engine in subjects:
            try:
                server = self.starter.start(name, engine, kind, **values)
            except (servers.StartError, OSError) as error:
                self.failures.append(f"{name} {engine} {kind}: {error}")
                continue
            try:
                server.wait_until_it_answers(path, headers)
                running.append(server)
            except servers.StartError as error:
                server.stop()
                self.failures.append(f"{name} {engine} {kind}: {error}")
        return running

    def measure(self, case):
        """One window of one case."""
        options = self.options
        pids = case.server.pids
        report = load.run(options.load_tool, options.load_core, case.server.port,
                          [*pids, self.upstream.pid, *self.extra_pids], options.seconds, case.connections, case.rate,
                          case.path, case.requests_file)
        result = rounds.figures(report, pids, case.server.rss_kib(), case.rate)
        case.server.truncate_logs()
        return result

    def say_round(self, what, case, result):
        cpu = result.figures["cpu_us_per_request"]
        line = (f"{what:8} {case.name():38} {cpu if cpu is not None else 0:8.2f} us "
                f"{result.figures['requests_per_second']:8.0f}/s p99 {result.figures['p99_us']:8.0f} us")
        if result.failed:
            line += f" FAILED {result.errors}"
        if result.disturbed:
            line += f" (disturbed: {result.disturbed})"
            if what != "warm-up":
                self.discarded.append(f"{case.name()}, {what}: {result.disturbed}")
        self.say(line)

    def rows(self, cases):
        """Measures the cases, interleaved, and makes a row of each."""
        results = rounds.interleave(cases, self.options.rounds, self.measure, self.say_round,
                                    most_extra=self.options.extra_rounds)
        return [self.row(case, results[case]) for case in cases]

    def row(self, case, its_rounds, **more):
        return {"scenario": case.scenario, "variant": case.variant, "server": case.server.name,
                "engine": case.server.engine, "connections": case.connections, **rounds.summarize(its_rounds), **more}


def plain(bench):
    """a: small bodies, no policies."""
    running = bench.start_all(bench.wanted(servers.PEERS), "plain")
    rows = []
    try:
        for connections in SATURATED:
            rows += bench.rows([Case("a", "saturated", server, connections) for server in running])
        rows += bench.rows([Case("a", f"rate {FIXED_RATE}", server, 64, rate=FIXED_RATE) for server in running])
    finally:
        stop_all(running)
    return rows


def bodies(bench):
    """b: larger bodies, 64 connections."""
    running = bench.start_all(bench.wanted(("haproxy", "nginx", "envoy")), "bodies")
    rows = []
    try:
        for variant, path in (("16 KiB", "/16k"), ("1 MiB", "/1m")):
            rows += bench.rows([Case("b", variant, server, 64, path=path) for server in running])
    finally:
        stop_all(running)
    return rows


def stop_all(running):
    for server in running:
        server.stop()
