#!/usr/bin/env python3
"""How long a change takes to every proxy, and what it weighs on the wire.

    tests/bench/push_latency.py [--routes 10000] [--pushes 100] [--large 1000] [--proxies 2]
                                [--limit-ms 100] [--json FILE]

A control plane with 10,000 stored routes and two proxies; 100 pushes of one changed route each, then
some of 1,000 changed routes. Printed are, for each kind of push,
- accepted to applied: from the revision's creation to the last proxy's word that it is live on all its
  workers, both by the control plane's clock;
- call to served: from the start of the Apply call until every proxy answers with the new content;
- bytes sent to a proxy for a push, beside the bytes of the whole set.
Exits with 1 when the p99 of "accepted to applied" of one changed route is not below the limit.

Build first: bazel build --config=opt //dataplane:portico_proxy //controlplane:portico_control
             //tools/demo:echo_service //tools/porticoctl //tests/bench:push_probe
"""

import argparse
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402


def configuration(echo, routes, changeable):
    yield f"kind: Listener\nname: http\nspec: {{address: \"0.0.0.0:8080\"}}\n"
    yield f"kind: Upstream\nname: echo\nspec: {{endpoints: [{{address: \"{echo}\"}}]}}\n"
    for i in range(changeable):
        yield (f"kind: Route\nname: push-{i}\nspec: {{match: {{path: {{exact: /push/{i}}}}}, "
               f"respond: {{status: 200, body: \"first\\n\"}}}}\n")
    for i in range(routes - changeable):
        kind = ("prefix", "exact", "template")[i % 3]
        path = f"/team-{i % 97}/service-{i}" + ("/{id}" if kind == "template" else "")
        yield (f"kind: Route\nname: route-{i}\nspec: {{match: {{path: {{{kind}: \"{path}\"}}}}, "
               f"upstreams: [{{name: echo}}]}}\n")


def sent_bytes(control):
    text = support.http_get(f"http://{control.addresses()['metrics']}/metrics")[1]
    return float(re.search(r"^portico_control_discovery_sent_bytes_total ([0-9.e+]+)$", text, re.M).group(1))


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def push(control, proxies, pushes, changed, tag):
    warm_up = 3
    before = sent_bytes(control)
    listeners = ",".join("%s:%d" % proxy.listener() for proxy in proxies)
    done = subprocess.run(
        [support.binary("tests/bench/push_probe"), "--server", control.addresses()["grpc"],
         "--proxies", listeners, "--pushes", str(pushes), "--changed", str(changed),
         "--warm-up", str(warm_up), "--tag", tag],
        capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    sent = (sent_bytes(control) - before) / (pushes + warm_up) / len(proxies)
    figures = {"changed_routes": changed, "pushes": pushes, "bytes_per_push_and_proxy": sent}
    for name in ("accepted_to_applied_ms", "apply_call_ms", "call_to_served_ms"):
        values = [row[name] for row in rows]
        figures[name] = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values)}
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--pushes", type=int, default=100)
    parser.add_argument("--large", type=int, default=1_000, help="changed routes of a large push")
    parser.add_argument("--large-pushes", type=int, default=10)
    parser.add_argument("--proxies", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit-ms", type=float, default=100)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.large > options.routes:
        parser.error("--large may not exceed --routes")

    with support.Fleet() as fleet:
        echo = fleet.echo("echo").addresses()["http"]
        control = fleet.control_plane()
        config = fleet.write("config.yaml", "---\n".join(
            configuration(echo, options.routes, options.large)))
        fleet.ctl(control, "apply", "-f", config)
        before = sent_bytes(control)
        proxies = [fleet.proxy(f"p{i + 1}", control=control, workers=options.workers)
                   for i in range(options.proxies)]
        for proxy in proxies:
            proxy.wait_ready(60)
        whole = (sent_bytes(control) - before) / len(proxies)
        rows = [push(control, proxies, options.pushes, 1, "one"),
                push(control, proxies, options.large_pushes, options.large, "many")]

    print(f"{options.routes} routes stored, {options.proxies} proxies; the whole set is {whole:.0f} bytes on the wire")
    print("| changed routes | pushes | accepted to applied ms p50 / p99 / max | Apply call ms p50 / p99 "
          "| call to served ms p50 / p99 / max | bytes per push and proxy | part of the whole |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        applied, call, served = (row[k] for k in ("accepted_to_applied_ms", "apply_call_ms", "call_to_served_ms"))
        print(f"| {row['changed_routes']} | {row['pushes']} | {applied['p50']:.1f} / {applied['p99']:.1f} / "
              f"{applied['max']:.1f} | {call['p50']:.1f} / {call['p99']:.1f} | {served['p50']:.1f} / "
              f"{served['p99']:.1f} / {served['max']:.1f} | {row['bytes_per_push_and_proxy']:.0f} | "
              f"{row['bytes_per_push_and_proxy'] / whole:.5f} |")
    result = {"routes": options.routes, "proxies": options.proxies, "whole_set_bytes": whole, "rows": rows}
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=2)
    p99 = rows[0]["accepted_to_applied_ms"]["p99"]
    if p99 >= options.limit_ms:
        print(f"FAILED: p99 {p99:.1f} ms, the limit is {options.limit_ms:.0f} ms")
        return 1
    print(f"ok: p99 {p99:.1f} ms is below {options.limit_ms:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
