"""The scenarios a to d: which servers, which load. e, f, and g to j have files of their own."""

import dataclasses
import os

from tests.bench.suite import load, rounds, routes, servers, tokens

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
    tls: bool = False
    close: bool = False  # a connection for each request
    label: str = ""  # where the server's own does not tell rows apart

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def load(self):
        return f"{self.variant} c{self.connections}"

    def name(self):
        return f"{self.scenario} {self.load()} {self.label or self.server.label}"


class Bench:
    """What every scenario needs; made by main."""

    def __init__(self, starter, options, upstream, programs, engines, extra_pids, say):
        self.starter, self.options, self.upstream = starter, options, upstream
        self.programs, self.engines, self.extra_pids, self.say = programs, engines, extra_pids, say
        self.failures = []   # servers that did not start or answered with errors
        self.discarded = []  # one line for each disturbed round
        self.notes = {}      # scenario: lines for the report

    def folder(self, name):
        """A folder of this name in the scratch folder."""
        path = os.path.join(self.starter.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, name, text):
        """The path of a scratch file with this text."""
        path = os.path.join(self.starter.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

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
        report = load.run(options.load_tool, options.load_core, case.server.tls_port if case.tls else case.server.port,
                          [*pids, self.upstream.pid, *self.extra_pids], options.seconds, case.connections, case.rate,
                          case.path, case.requests_file, case.tls, case.close)
        result = rounds.figures(report, pids, case.server.rss_kib(), case.rate)
        log_bytes = case.server.truncate_logs()
        if case.scenario == "c" and log_bytes < report["requests"]:
            self.failures.append(f"{case.name()}: {log_bytes} bytes of access log for {report['requests']} requests")
        return result

    def say_round(self, what, case, result):
        cpu = result.figures["cpu_us_per_request"]
        line = (f"{what:8} {case.name():38} {cpu if cpu is not None else 0:8.2f} us "
                f"{result.figures['requests_per_second']:8.0f}/s p99 {result.figures['p99_us'] or 0:8.0f} us")
        if result.failed:
            line += f" FAILED {result.errors}"
        if result.disturbed:
            line += f" (disturbed: {result.disturbed})"
            if what != "warm-up":
                self.discarded.append(f"{case.name()}, {what}: {result.disturbed}")
        self.say(line)

    def rows(self, cases):
        """Measures the cases, interleaved, and makes a row of each; not those that --only leaves out."""
        cases = [case for case in cases if self.options.only in case.load()]
        results = rounds.interleave(cases, self.options.rounds, self.measure, self.say_round,
                                    most_extra=self.options.extra_rounds)
        return [self.row(case, results[case]) for case in cases]

    def row(self, case, its_rounds, **more):
        return {"scenario": case.scenario, "variant": case.variant, "server": case.server.name,
                "engine": case.server.engine, "connections": case.connections, **rounds.summarize(its_rounds), **more}


def one_side_us(programs, load_core, server_core, seconds, windows=3):
    """CPU time of a request's bare way through the kernel, received and answered over io_uring on one core while the other
    one sends.

    A proxy has two such sides, so twice this is a yardstick for one that does nothing but forward, with one-shot receives as
    bench_upstream has them. It is no proven bound: another use of the kernel may be cheaper. It changes with what is between
    the two cores, on a virtual machine perhaps from day to day.
    """
    answering = load.Upstream(programs["bench_upstream"], server_core)
    try:
        costs = []
        for _ in range(windows):
            report = load.run(programs["bench_load"], load_core, answering.port, [answering.pid], seconds)
            costs.append(report["processes"][str(answering.pid)]["cpu_us"] / max(report["requests"], 1))
    finally:
        answering.stop()
    return rounds.median(costs)


def _floor_note(bench, rows):
    floor = 2 * one_side_us(bench.programs, bench.options.load_core, bench.options.proxy_core, bench.options.seconds)
    note = (f"- Yardstick: {floor:.1f} us. Twice the bare way of a small request through the kernel on the proxy's core, over "
            "io_uring with 64 connections, without any proxying")
    haproxy = [row for row in rows if row["server"] == "haproxy" and row["variant"] == "saturated" and row["connections"] == 64]
    if haproxy:
        note += f"; {floor / haproxy[0]['cpu_us_per_request']:.2f} of HAProxy's"
    bench.say(note[2:])
    return note + "."


def plain(bench):
    """a: small bodies, no policies."""
    running = bench.start_all(bench.wanted(servers.PEERS), "plain")
    rows = []
    try:
        for connections in SATURATED:
            rows += bench.rows([Case("a", "saturated", server, connections) for server in running])
        if "uring" in bench.engines:
            # What it is for; all else is without it, as it is by default.
            running += bench.start_all([(servers.PORTICO, servers.GATHERING)], "plain")
        rows += bench.rows([Case("a", f"rate {FIXED_RATE}", server, 64, rate=FIXED_RATE) for server in running])
    finally:
        stop_all(running)
    bench.notes["a"] = [_floor_note(bench, rows)]
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


POLICY_ROUTES = 1000
POLICY_NOTES = (
    "portico: everything, with the cache of verified tokens warm. x-request-id, x-forwarded-for and traceparent as always.",
    "envoy: everything: jwt_authn with its token cache, local_ratelimit with dynamic descriptors, header_mutation, file access "
    "log. The 1,000 routes are a list, as most of its control planes write them.",
    "haproxy: no cache of verified tokens, so each request pays for its ES256 signature; metrics for the whole backend only; "
    "no traceparent or request id; one write for each log line.",
    "nginx: tokens are not verified at all (auth_jwt is part of NGINX Plus), no claims in headers, the limit counts by the token's text; "
    "metrics for the whole server only; no traceparent.",
)


def policy(bench):
    """c: the full policy."""
    folder = bench.folder("policy")
    issuer = tokens.Issuer(bench.programs["porticoctl"], folder)
    requests = bench.write("policy/requests.tsv", routes.requests(range(POLICY_ROUTES), issuer.headers()))
    portico_policies = ", authentication: {any_of: [{jwt: {provider: company}}]}, rate_limits: [each-consumer], header_transforms: [edge]"
    running = []
    rows = []
    try:
        for name, engine in bench.wanted(("haproxy", "nginx", "envoy")):
            tables = {servers.PORTICO: routes.portico(POLICY_ROUTES, policies=portico_policies),
                      "nginx": routes.nginx(POLICY_ROUTES)}
            running += bench.start_all(
                [(name, engine)], "policy", path=routes.path(0), headers=[("Authorization", f"Bearer {issuer.tokens[0]}")],
                files={"issuer-public.pem": issuer.public_key_pem(), "routes.map": routes.haproxy_map(POLICY_ROUTES),
                       "routes.json": routes.envoy(POLICY_ROUTES)},
                ROUTES=tables.get(name, ""), ISSUER=tokens.ISSUER, AUDIENCE=tokens.AUDIENCE, JWKS=issuer.jwks)
        for server in running:
            bench.failures += _policy_gaps(server, issuer.tokens[0])
        rows += bench.rows([Case("c", "saturated", server, 64, requests_file=requests) for server in running])
        bench.notes["c"] = ["", *(f"- {note}" for note in POLICY_NOTES)]
    finally:
        stop_all(running)
    return rows


def _policy_gaps(server, token):
    """What a server leaves out of the policy; a policy that does nothing would be cheap."""
    gaps = []
    if server.name != "nginx":
        for what, headers in (("no token", []), ("a token with another signature",
                                                 [("Authorization", f"Bearer {token[:-20]}{token[:20]}")])):
            status, _ = server.get(routes.path(1), headers)
            if status != 401:
                gaps.append(f"c {server.label}: {what} is answered {status} instead of 401")
    status, fields = server.get(routes.path(1), [("Authorization", f"Bearer {token}")])
    if status != 200 or fields.get("x-served-by") != "bench":
        gaps.append(f"c {server.label}: a good token is answered {status}, x-served-by {fields.get('x-served-by')}")
    return gaps


FEW_ROUTES, MANY_ROUTES = 10, 100_000


def many_routes(bench):
    """d: what a request costs among 10 and among 100,000 routes.

    Of the 100,000, requests go to 10 that are spread over all of them ("hot"), or to any ("random"): the
    difference of these two is what the machine's caches cannot hold, not what the matcher does.
    """
    hot = range(MANY_ROUTES // 20, MANY_ROUTES, MANY_ROUTES // FEW_ROUTES)
    draws = {
        "few": bench.write("few.tsv", routes.requests(range(FEW_ROUTES))),
        "hot": bench.write("hot.tsv", routes.requests(hot)),
        "random": bench.write("random.tsv", routes.requests(range(MANY_ROUTES))),
    }
    running, cases, details = [], [], {}
    try:
        for count, its_draws in ((FEW_ROUTES, ("few",)), (MANY_ROUTES, ("hot", "random"))):
            for name, engine, detail, tables in _route_tables(bench, count):
                started = bench.start_all([(name, engine)], "routes", path=routes.path(0), **tables)
                running += started
                for server in started:
                    for draw in its_draws:
                        case = Case("d", f"{count} routes" + ("" if draw == "few" else f", {draw}"), server, 64,
                                    requests_file=draws[draw], label=f"{server.label} {detail}".strip())
                        cases.append(case)
                        details[case] = detail
        cases = [case for case in cases if bench.options.only in case.load()]
        results = bench.rows(cases)
    finally:
        stop_all(running)
    for case, row in zip(cases, results):
        row["detail"] = details[case]
    return sorted(results, key=lambda row: [case.variant for case in cases].index(row["variant"]))


def _route_tables(bench, count):
    """(name, engine, detail, what Starter.start needs) for each server of scenario d."""
    for name, engine in bench.wanted(("nginx",) if bench.options.quick else ("nginx", "envoy")):
        if name == servers.PORTICO:
            yield name, engine, "", {"ROUTES": routes.portico(count)}
        elif name == "nginx":
            yield name, engine, "", {"ROUTES": routes.nginx(count)}
        else:
            yield name, engine, "list", {"files": {"routes.json": routes.envoy(count)}}
            yield name, engine, "tree", {"files": {"routes.json": routes.envoy_tree(count)}}


def stop_all(running):
    for server in running:
        server.stop()
