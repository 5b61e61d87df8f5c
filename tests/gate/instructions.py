#!/usr/bin/env python3
"""Instructions per request, with no regard to how fast the machine is.

  bazel build --config=opt //tests/gate:replay
  tests/gate/instructions.py                           all scenarios, beside their budgets
  tests/gate/instructions.py --scenario plain --top 30  what they are spent on
  tests/gate/instructions.py --update                  makes what is measured the budget

What is counted, and what the figures mean: docs/benchmarks.md, "The regression gate".
"""
import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.gate import callgrind  # noqa: E402  (the path is set above)

BUDGET = os.path.join(ROOT, "tests/gate/budget.json")
SCENARIOS = ("plain", "full", "body", "tls", "h2")


def find_replay(given):
    for candidate in [given, os.environ.get("PORTICO_BIN_ROOT", ROOT + "/bazel-bin") + "/tests/gate/replay"]:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    sys.exit("instructions: no optimised replay; build it: bazel build --config=opt //tests/gate:replay "
             "(or name it with --binary)")


def print_top(profile, count):
    total = profile.total
    print("\n  %-28s %9s %6s" % ("where the code stands", "self", ""))
    areas = {}
    for file, cost in profile.file_cost.items():
        areas[callgrind.area(file)] = areas.get(callgrind.area(file), 0) + cost
    for name, cost in sorted(areas.items(), key=lambda item: -item[1])[:16]:
        print("  %-28s %9.0f %5.1f%%" % (name, cost, 100 * cost / total))
    print("\n  %9s %6s %10s  %s" % ("self", "", "inclusive", "function"))
    for function, cost in profile.self_cost.most_common(count):
        print("  %9.0f %5.1f%% %10.0f  %s" % (cost, 100 * cost / total, profile.inclusive_cost[function],
                                             callgrind.short_name(function)))
    print("\n  %10s %6s  %s" % ("inclusive", "", "function"))
    for function, cost in profile.inclusive_cost.most_common(count):
        print("  %10.0f %5.1f%%  %s" % (cost, 100 * cost / total, callgrind.short_name(function)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", help="%s, comma-separated; default: all" % ", ".join(SCENARIOS))
    parser.add_argument("--top", type=int, default=0, metavar="N", help="show the N most expensive functions")
    parser.add_argument("--requests", type=int, default=callgrind.REQUESTS)
    parser.add_argument("--binary", help="replay, built with --config=opt; default: bazel-bin, or PORTICO_BIN_ROOT")
    parser.add_argument("--update", action="store_true", help="write the budget")
    options = parser.parse_args()
    scenarios = options.scenario.split(",") if options.scenario else list(SCENARIOS)
    unknown = [name for name in scenarios if name not in SCENARIOS]
    if unknown:
        parser.error("unknown scenario %s; there are %s" % (unknown[0], ", ".join(SCENARIOS)))
    binary = find_replay(options.binary)
    budget = {"instructions_per_request": {}}
    if os.path.exists(BUDGET):
        with open(BUDGET, encoding="utf-8") as file:
            budget = json.load(file)
    known = budget["instructions_per_request"]
    print("%-8s %12s %9s %7s  %s" % ("scenario", "instructions", "budget", "", "allocations, locks"))
    for name in scenarios:
        profile = callgrind.run(binary, name, options.requests)
        change = "%+6.1f%%" % (100 * (profile.total / known[name] - 1)) if name in known else ""
        print("%-8s %12.0f %9s %7s  %g, %g" % (
            name, profile.total, known.get(name, "-"), change,
            profile.replay["allocations"] / options.requests, profile.replay["locks"] / options.requests))
        if options.top:
            print_top(profile, options.top)
        if options.update:
            known[name] = round(profile.total)
    if options.update:
        with open(BUDGET, "w", encoding="utf-8") as file:
            json.dump(budget, file, indent=2)
            file.write("\n")
        print("wrote " + os.path.relpath(BUDGET))


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        sys.exit("instructions: %s" % error)
