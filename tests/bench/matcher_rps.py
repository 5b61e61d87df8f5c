#!/usr/bin/env python3
"""Requests per second and CPU per request of one worker with few and with very many routes.

    tests/bench/matcher_rps.py [--counts 10,1000,100000] [--rounds 4] [--seconds 4] [--json FILE]

One proxy for each number of routes, all pinned to the same core and measured in turns (A B C A B C
...; the first round is a warm-up), wrk on the other core. Each request goes to a route drawn at
random: a third exact paths, a third prefixes, a third templates. The routes answer by themselves, so
that what is measured is the way from the socket to the route and back. Figures are medians; the ratio
to the smallest number of routes is what to look at. With 100,000 routes the caches of the machine hold
less of them: that is part of the ratio.

Build first: bazel build --config=opt //dataplane:portico_proxy
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
KINDS = ("exact", "prefix", "template")

# Draws a route, and asks for a path that it matches. Paths as in path() below.
LUA = """
local count = %d
local seed = 0
function setup(thread) seed = seed + 1; thread:set("seed", seed) end
function init(args) math.randomseed(seed) end
function request()
  local i = math.random(0, count - 1)
  local path = "/team-" .. (i %% 97) .. "/service-" .. i
  if i %% 3 ~= 0 then path = path .. "/" .. math.random(1, 9999) end
  return wrk.format("GET", path)
end
"""


def path(i):
    return f"/team-{i % 97}/service-{i}" + ("/{id}" if KINDS[i % 3] == "template" else "")


def configuration(count):
    yield "kind: Listener\nname: http\nspec: {address: \"127.0.0.1:0\"}\n"
    for i in range(count):
        yield (f"kind: Route\nname: route-{i}\nspec: {{match: {{path: {{{KINDS[i % 3]}: \"{path(i)}\"}}}}, "
               f"respond: {{status: 200, body: \"ok\"}}}}\n")


class Subject:
    """One proxy with `count` routes."""

    def __init__(self, fleet, count, core):
        self.count = count
        self.script = fleet.write(f"routes-{count}.lua", LUA % count)
        config = fleet.write(f"routes-{count}.yaml", "---\n".join(configuration(count)))
        self.proxy = fleet.proxy(f"routes-{count}", config=config, workers=1)
        subprocess.run(["taskset", "-a", "-p", "-c", str(core), str(self.proxy.pid)], check=True,
                       capture_output=True)
        self.proxy.wait_ready(300)
        self.rows = []

    def cpu(self):
        """Seconds so far, user and system."""
        with open(f"/proc/{self.proxy.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def measure(self, options):
        before = self.cpu()
        host, port = self.proxy.listener()
        wrk = subprocess.run(
            ["taskset", "-c", str(options.load_core), "wrk", "-t1", f"-c{options.connections}",
             f"-d{options.seconds}s", "-s", self.script, f"http://{host}:{port}"],
            capture_output=True, text=True, check=True).stdout
        used = self.cpu() - before
        errors = re.search(r"(Non-2xx.*|Socket errors.*)", wrk)
        if errors:
            raise SystemExit(f"{self.count} routes: {errors.group(1)}")
        requests = int(re.search(r"(\d+) requests in", wrk).group(1))
        return {"requests_per_second": requests / options.seconds, "cpu_us_per_request": used * 1e6 / requests}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10,1000,100000")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--json")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    with support.Fleet() as fleet:
        subjects = [Subject(fleet, count, options.proxy_core) for count in counts]
        for number in range(options.rounds + 1):
            for subject in subjects:
                row = subject.measure(options)
                if number > 0:  # The first is a warm-up.
                    subject.rows.append(row)
                print(f"round {number} {subject.count:7} routes {row['cpu_us_per_request']:6.2f} us "
                      f"{row['requests_per_second']:8.0f}/s", file=sys.stderr)
    rows = []
    for subject in subjects:
        row = {key: statistics.median(r[key] for r in subject.rows) for key in subject.rows[0]}
        cpu = [r["cpu_us_per_request"] for r in subject.rows]
        rows.append({"routes": subject.count, **row, "cpu_us_min": min(cpu), "cpu_us_max": max(cpu)})
    print("| routes | CPU us/request | min-max | requests/s | CPU ratio | requests/s ratio |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        row["cpu_ratio"] = row["cpu_us_per_request"] / rows[0]["cpu_us_per_request"]
        row["rps_ratio"] = row["requests_per_second"] / rows[0]["requests_per_second"]
        print(f"| {row['routes']} | {row['cpu_us_per_request']:.2f} | {row['cpu_us_min']:.2f}-{row['cpu_us_max']:.2f} "
              f"| {row['requests_per_second']:.0f} | {row['cpu_ratio']:.2f} | {row['rps_ratio']:.2f} |")
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=2)


if __name__ == "__main__":
    main()
