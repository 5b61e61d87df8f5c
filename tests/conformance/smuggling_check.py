"""Requests that two parsers may read differently, before five web servers: nobody gets anything that is not theirs.

For each case of smuggling_table.py (HTTP/1.1) and smuggling_h2_table.py (HTTP/2) and each server: Portico answers as the
table says, the server saw exactly the requests that Portico forwarded, and the next clients get their own responses over
the same upstream connections.

  --version 1.1|2   only those cases; names of servers: only before those
"""

import argparse
import re
import socket
import time

from tests.conformance import real_servers, registry_tools, smuggling_h2_table, smuggling_table
from tests.conformance.smuggling_table import CUT, FORWARDED
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support.http_client import Closed, Connection

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: server
spec: {{endpoints: [{{address: "{endpoint}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: server}}], timeout: 5s, retry: {{attempts: 1}}}}
"""


def methods(raw):
    return re.findall(rb"(?m)^([A-Z]+) [^ \r\n]+ HTTP/1\.[01]\r$", raw)


def seen_target(response):
    """What the server says it saw: a target, or (Apache) the whole request line."""
    return target_of(response.header("x-seen"))


def target_of(seen):
    return seen.split(" ")[1] if seen and " " in seen else seen


def exchange(address, raw):
    """Outcomes of what came back, and the targets that the server says it saw."""
    with Connection(address, timeout=10) as connection:
        try:
            connection.send(raw)
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # Refused already: the answer says why.
        outcomes, seen = [], []
        head = methods(raw)[:1] == [b"HEAD"]
        try:
            while True:
                response = connection.read_response("HEAD" if head else "GET")
                seen.append(seen_target(response))
                own = response.body.startswith(b'{"error": ') and b'"reason": ' in response.body
                outcomes.append(response.status if own else FORWARDED)
        except (Closed, OSError):
            pass
        except (ValueError, IndexError) as error:
            outcomes.append(f"not HTTP: {error} {connection.buffer[:100]!r}")
        return outcomes, [s for s in seen if s is not None]


def matches(expected, outcomes):
    if expected == [CUT]:
        return outcomes in ([], [400], [408])
    if len(expected) == 1 and isinstance(expected[0], set) and CUT in expected[0] and not outcomes:
        return True
    return len(expected) == len(outcomes) and all(
        (found in wanted if isinstance(wanted, set) else found == wanted) for wanted, found in zip(expected, outcomes))


class Run:
    def __init__(self, verdicts, name, fleet):
        self.verdicts, self.name, self.fleet = verdicts, name, fleet
        self.server = real_servers.RealServer(fleet, name)
        config = fleet.write("config.yaml", CONFIG.format(folder=fleet.folder, endpoint=self.server.address))
        # One worker: probes go over the connections that the cases went over.
        self.proxy = fleet.proxy("p1", config=config, workers=1)
        self.proxy.wait_ready()
        self.address = self.proxy.listener("http")

    def forwarded(self):
        """Attempts at the server, whole and cut, as the access log has them."""
        whole = cut = 0
        for record in self.fleet.access_log():
            if not record.get("endpoint"):
                continue
            if record.get("reason"):
                cut += record["attempts"]
            else:
                whole += record["attempts"]
        return whole, cut

    def balance(self, what):
        """The server saw what was forwarded: no more, and no less but for what was cut."""
        deadline = time.monotonic() + 5
        while True:
            whole, cut = self.forwarded()
            seen = len(self.server.seen())
            if whole <= seen <= whole + cut and self.proxy.metrics()["portico_requests_active"] == 0:
                return True
            if time.monotonic() > deadline:
                return self.verdicts.check(f"{self.name}: {what}: requests seen", False,
                                           f"{seen}, forwarded {whole}, cut {cut}: {self.server.seen()[-5:]}")
            time.sleep(0.01)

    def probe(self, what, number):
        for i in range(2):
            target = f"/probe-{number}-{i}"
            with Connection(self.address, timeout=10) as connection:
                try:
                    response = connection.request("GET", target, host="h")
                except Closed as error:
                    return self.verdicts.check(f"{self.name}: after {what}", False, f"no answer to a probe: {error}")
                if seen_target(response) != target:
                    return self.verdicts.check(f"{self.name}: after {what}", False,
                                               f"another's response: {response.raw_head!r}")
        return True

    def outcomes(self, case):
        """(what is wrong with the answers or "", what the server says it saw)."""
        if case.group == "HTTP/2":
            from tests.conformance import smuggling_h2
            outcome, seen = smuggling_h2.exchange(self.address, case, target_of)
            return ("" if smuggling_h2.matches(case, outcome) else f"{outcome}, wanted {case.expect}"), [seen] if seen else []
        outcomes, seen = exchange(self.address, case.raw)
        return ("" if matches(case.expect, outcomes) else f"{outcomes}, wanted {case.expect}"), seen

    def case(self, number, case):
        what = f"{case.group}: {case.name}"
        try:
            wrong, seen = self.outcomes(case)
        except TimeoutError as error:
            wrong, seen = f"no answer: {error}", []
        good = not wrong
        if wrong:
            self.verdicts.check(f"{self.name}: {what}: answers", False, wrong)
        if any("smuggled" in target for target in seen):
            good = self.verdicts.check(f"{self.name}: {what}: x-seen", False, seen)
        good = self.probe(what, number) and good
        good = self.balance(what) and good
        if good:
            self.verdicts.check(f"{self.name}: {what}", True)

    def run(self, table):
        for number, case in enumerate(table):
            self.case(number, case)
        stolen = [line for line in self.server.seen() if re.search(r"/smuggled(\s|$)", line)]
        self.verdicts.check(f"{self.name}: smuggled requests", not stolen, stolen)
        self.verdicts.check(f"{self.name}: the proxy lives", self.proxy.process.poll() is None, self.proxy.log())


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--version", choices=("1.1", "2"))
    options.add_argument("names", nargs="*")
    options = options.parse_args()
    registry_tools.run_with("tests.conformance.smuggling_check", *registry_tools.HTTP2_PACKAGES)
    with Verdicts("smuggling") as verdicts:
        tables = {"1.1": list(smuggling_table.cases()), "2": list(smuggling_h2_table.cases())}
        verdicts.check("cases", len(tables["1.1"]) >= 120 and len(tables["2"]) >= 30)
        table = [case for version, cases in tables.items() if options.version in (None, version) for case in cases]
        for name in options.names or real_servers.NAMES:
            verdicts.say(f"{len(table)} cases before {name}")
            with support.Fleet() as fleet:
                Run(verdicts, name, fleet).run(table)


if __name__ == "__main__":
    main()
