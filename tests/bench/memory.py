#!/usr/bin/env python3
"""Resident memory of a proxy: per route at 100,000 routes, per idle connection at 5,000 connections.

    tests/bench/memory.py [--routes 100000] [--connections 5000] [--json FILE]

Build first: bazel build --config=opt //dataplane:portico_proxy //tools/demo:echo_service
"""

import argparse
import json
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402
from tests.support.http_client import Connection  # noqa: E402


def routes(count):
    """As a real fleet has them: many services, each with its paths, some of them templates."""
    for i in range(count):
        kind = ("prefix", "exact", "template")[i % 3]
        path = f"/team-{i % 97}/service-{i}" + ("/{id}" if kind == "template" else "")
        yield (f"kind: Route\nname: route-{i}\nspec: {{match: {{path: {{{kind}: \"{path}\"}}}}, "
               f"upstreams: [{{name: echo}}]}}\n---\n")


def configuration(echo, count):
    return (f"kind: Listener\nname: http\nspec: {{address: \"127.0.0.1:0\"}}\n---\n"
            f"kind: Upstream\nname: echo\nspec: {{endpoints: [{{address: \"{echo}\"}}]}}\n---\n"
            f"kind: Route\nname: all\nspec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}\n---\n"
            + "".join(routes(count)))


def rss_per_route(fleet, echo, count):
    sizes = {}
    for number in (0, count):
        config = fleet.write(f"routes-{number}.yaml", configuration(echo, number))
        started = time.monotonic()
        proxy = fleet.proxy(f"routes-{number}", config=config, workers=1)
        proxy.wait_ready(300)
        sizes[number] = (proxy.rss_kib(), time.monotonic() - started)
        proxy.kill()
        proxy.process.wait()
    grown = (sizes[count][0] - sizes[0][0]) * 1024
    return {"routes": count, "rss_kib_without": sizes[0][0], "rss_kib_with": sizes[count][0],
            "bytes_per_route": grown / count, "seconds_to_ready": sizes[count][1]}


def rss_per_idle_connection(fleet, echo, count):
    config = fleet.write("idle.yaml", configuration(echo, 0))
    proxy = fleet.proxy("idle", config=config, workers=1)
    proxy.wait_ready()
    # Warm: buffers, frames and one upstream connection are there.
    with Connection(proxy.listener()) as connection:
        for _ in range(100):
            connection.request("GET", "/small")
    before = proxy.rss_kib()
    held = []
    for _ in range(count):
        connection = Connection(proxy.listener())
        connection.request("GET", "/small")  # Every one has served a request.
        held.append(connection)
    after = proxy.rss_kib()
    for connection in held:
        connection.close()
    return {"connections": count, "rss_kib_before": before, "rss_kib_after": after,
            "bytes_per_connection": (after - before) * 1024 / count}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socket.setdefaulttimeout(30)
    with support.Fleet() as fleet:
        echo = fleet.echo("echo").addresses()["http"]
        rows = {"per_route": rss_per_route(fleet, echo, options.routes),
                "per_idle_connection": rss_per_idle_connection(fleet, echo, options.connections)}
    print(json.dumps(rows, indent=2))
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=2)


if __name__ == "__main__":
    main()
