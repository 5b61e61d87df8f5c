"""h2spec, strict, in cleartext and over TLS: every case passes but for those of h2spec_report.EXCEPTIONS.

  --peers          measures nginx, nghttpx and nghttpd, too: Portico is to pass more than each
  --target NAME    attacks one of them instead of Portico, to see the check fail
"""

import argparse
import subprocess

from tests.conformance import h2_targets, h2spec_report, registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support

H2SPEC = ("github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible", "github.com/spf13/cobra@v1.10.2", "github.com/fatih/color@v1.19.0",
          "golang.org/x/net@v0.62.0")
PEERS = ("nginx", "nghttpx", "nghttpd")
CASES = 146  # Of this version, strict.
TIMEOUT = 3  # Seconds that h2spec waits for an answer.


def run_h2spec(fleet, target, transport, only=()):
    """Its cases. `only`: sections."""
    report = fleet.path(f"h2spec-{target.name}-{transport}.xml")
    host, port = target.plain if transport == "plain" else target.secure
    done = subprocess.run([registry_tools.go_tool(*H2SPEC), "--strict", "-h", host, "-p", str(port), "-o", str(TIMEOUT), "-j", report,
                           *(["-t", "-k"] if transport == "secure" else []), *only], capture_output=True, text=True, timeout=900)
    try:
        with open(report) as f:
            return h2spec_report.parse(f.read())
    except OSError as error:
        raise RuntimeError(f"h2spec wrote no report: {done.stdout[-1000:]}{done.stderr[-1000:]}") from error


def verified(fleet, target, transport):
    """A case that fails runs once more: on a busy machine it may have waited for too short a time."""
    cases = run_h2spec(fleet, target, transport)
    failed = sorted({case.section for case in cases if case.outcome == "failed" and not h2spec_report.exception_for(case, transport)})
    if failed:
        again = {case.key: case for case in run_h2spec(fleet, target, transport, failed)}
        cases = [again.get(case.key, case) if case.outcome == "failed" else case for case in cases]
    return cases


def judge(verdicts, cases, transport):
    verdicts.check(f"{transport}: all cases ran", len(cases) == CASES, len(cases))
    for case in cases:
        why = h2spec_report.exception_for(case, transport)
        if case.outcome != "passed" and why:
            verdicts.say(f"{transport}: {case}: not passed by intent: {why}")
        else:
            verdicts.check(f"{transport}: {case}", case.outcome == "passed", case.found or case.outcome)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--peers", action="store_true")
    options.add_argument("--target", choices=sorted(h2_targets.TARGETS), default="portico")
    options.add_argument("--transport", choices=("plain", "secure"), action="append")
    options = options.parse_args()
    transports = options.transport or ["plain", "secure"]
    with Verdicts("h2spec") as verdicts:
        passed = {}
        for name in [options.target] + (list(PEERS) if options.peers else []):
            with support.Fleet() as fleet:
                secure = {"secure": "secure" in transports} if name == "portico" else {}
                target = h2_targets.TARGETS[name](fleet, **secure)
                for transport in transports:
                    cases = verified(fleet, target, transport) if name == options.target else run_h2spec(fleet, target, transport)
                    intended = sum(case.outcome != "passed" and bool(h2spec_report.exception_for(case, transport)) for case in cases)
                    # What is right for one that speaks HTTP/1.1 on the same port counts for neither.
                    passed[name, transport] = h2spec_report.count(cases) + intended
                    verdicts.say(f"{name}, {transport}: {h2spec_report.count(cases)} of {len(cases)} cases passed"
                                 + (f", {intended} not by intent" if intended else ""))
                    if name == options.target:
                        judge(verdicts, cases, transport)
                    else:
                        verdicts.check(f"{transport}: better than {name}", passed[options.target, transport] > passed[name, transport],
                                       f"{passed[options.target, transport]}, {name} {passed[name, transport]}")
                verdicts.check(f"{name} lives", target.alive(), target.process.log())


if __name__ == "__main__":
    main()
