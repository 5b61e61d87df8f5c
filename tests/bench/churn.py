#!/usr/bin/env python3
"""No request fails, whatever is done to the fleet meanwhile.

    tests/bench/churn.py [--seconds 60] [--clients 8] [--pushes-per-second 10] [--io-engine uring,epoll]
                         [--json FILE]

Two proxies behind HAProxy (TCP mode, PROXY protocol v2), a control plane, strict keep-alive clients
that notice every broken connection and every status but 200. While they run, a configuration change is
pushed ten times a second; a third of the way through one proxy is drained (SIGTERM), exits and is
started again; two thirds through the control plane is killed (SIGKILL) and started again. Pushes that
find no control plane are expected to fail and are counted apart. In the end the last accepted revision
must be live on both proxies. Exits with 1 on any failed request, failed push or missing revision.
All of it once for each I/O engine.

Latencies include the clients' own work (Python threads): read them as "during" against "before".

Build first: bazel build --config=opt //dataplane:portico_proxy //controlplane:portico_control
             //tools/demo:echo_service //tools/porticoctl
"""

import argparse
import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402
from tests.support.http_client import fetch  # noqa: E402
from tests.support.load import Load  # noqa: E402

BASE = """
kind: Listener
name: http
spec: {{address: "0.0.0.0:8080", proxy_protocol: required}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{one}"}}, {{address: "{two}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}
"""


class Fixed:
    """The control plane as authors know it: by its address, whether it is there or not."""

    def __init__(self, control):
        self._addresses = control.addresses()

    def addresses(self):
        return self._addresses


class Pusher:
    """Pushes a change at a fixed pace, from a thread, until stop()."""

    def __init__(self, fleet, control, upstreams, per_second):
        self.fleet, self.control, self.upstreams, self.interval = fleet, Fixed(control), upstreams, 1 / per_second
        self.accepted, self.while_down, self.failures, self.last_body = 0, 0, [], None
        self.control_down = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._thread.join(timeout=60)
        return self

    def _change(self, number):
        """A route that changes, one that comes and goes, and the upstream under load itself."""
        body = f"v{number}"
        yaml = (f"kind: Route\nname: churn\nspec: {{match: {{path: {{exact: /churn}}}}, "
                f"respond: {{status: 200, body: {body}}}}}\n")
        if number % 2:
            yaml += (f"---\nkind: Route\nname: some-{number % 20}\nspec: {{match: {{path: {{prefix: "
                     f"/some/{number}}}}}, upstreams: [{{name: echo}}]}}\n")
        if number % 5 == 0:
            weight = number // 5 % 3 + 1
            yaml += (f"---\nkind: Upstream\nname: echo\nspec: {{endpoints: [{{address: \"{self.upstreams[0]}\", "
                     f"weight: {weight}}}, {{address: \"{self.upstreams[1]}\"}}]}}\n")
        return body, yaml

    def _run(self):
        next_at, number = time.monotonic(), 0
        while not self._stop.is_set():
            number += 1
            body, yaml = self._change(number)
            down_before = self.control_down.is_set()
            done = self.fleet.apply(self.control, yaml, "--timeout", "5s", check=False)
            if done.returncode == 0:
                self.accepted += 1
                self.last_body = body
            elif down_before or self.control_down.is_set():
                self.while_down += 1
            else:
                self.failures.append((done.stdout + done.stderr).strip())
            next_at += self.interval
            delay = next_at - time.monotonic()
            if delay > 0:
                time.sleep(delay)
            else:
                next_at = time.monotonic()


def percentiles(latencies):
    ordered = sorted(latencies)
    if not ordered:
        return {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
    return {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000
            for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))}


def start_load(port, clients):
    return Load(("127.0.0.1", port), "/small", threads=clients).start()


def restart_proxy(proxy, events):
    started = time.monotonic()
    proxy.kill(signal.SIGTERM)
    code = proxy.process.wait(timeout=60)
    events.append(f"{proxy.name} drained in {time.monotonic() - started:.1f} s, exit {code}")
    started = time.monotonic()
    proxy.start()
    proxy.wait_ready(30)
    events.append(f"{proxy.name} ready again after {time.monotonic() - started:.2f} s")
    return code


def restart_control_plane(control, pusher, events, down_seconds):
    pusher.control_down.set()
    control.kill()
    control.process.wait()
    time.sleep(down_seconds)  # The outage.
    control.start()
    # The address file tells that it listens; a push that began before may still fail.
    time.sleep(1)
    pusher.control_down.clear()
    events.append(f"control plane killed and away for {down_seconds:.0f} s")


def live_everywhere(fleet, control, proxies, body):
    """Why the last revision is not live on every proxy; empty if it is."""
    done = fleet.ctl(control, "rollout", "--wait", "--min-proxies", str(len(proxies)), "--timeout", "20s",
                     check=False)
    problems = [] if done.returncode == 0 else [(done.stdout + done.stderr).strip()]
    for proxy in proxies:
        # The listener wants a PROXY header.
        seen = fetch(proxy.listener(), target="/churn", proxy_header=b"PROXY UNKNOWN\r\n").body.decode()
        if seen != body:
            problems.append(f"{proxy.name} serves {seen!r}, the last accepted change is {body!r}")
    return problems


def run(options, engine):
    events, problems = [], []
    with support.Fleet() as fleet:
        upstreams = [fleet.echo(name).addresses()["http"] for name in ("one", "two")]
        control = fleet.control_plane()
        fleet.apply(control, BASE.format(one=upstreams[0], two=upstreams[1]))
        proxies = [fleet.proxy(f"p{i + 1}", "--drain-grace", "2s", control=control, io_engine=engine)
                   for i in range(2)]
        for proxy in proxies:
            proxy.wait_ready()
        _, port = fleet.haproxy(proxies)

        quiet = start_load(port, options.clients)
        time.sleep(max(2.0, options.seconds / 12))
        quiet.stop()

        started = time.monotonic()
        load = start_load(port, options.clients)
        pusher = Pusher(fleet, control, upstreams, options.pushes_per_second).start()
        time.sleep(options.seconds / 3)
        if restart_proxy(proxies[0], events) != 0:
            problems.append(f"{proxies[0].name} did not exit with 0: {proxies[0].log()}")
        time.sleep(max(0.0, started + options.seconds * 2 / 3 - time.monotonic()))
        restart_control_plane(control, pusher, events, options.down_seconds)
        time.sleep(max(0.0, started + options.seconds - time.monotonic()))
        pusher.stop()
        load.stop()
        elapsed = time.monotonic() - started
        problems += live_everywhere(fleet, control, proxies, pusher.last_body)

    for when, what in load.failures[:10] + quiet.failures[:10]:
        problems.append(f"request failed at {time.strftime('%H:%M:%S', time.gmtime(when))}: {what}")
    problems += pusher.failures[:10]
    if pusher.accepted == 0:
        problems.append("no push was accepted")
    return {"engine": engine, "seconds": elapsed, "requests": load.count, "failed_requests": len(load.failures),
            "requests_before": quiet.count, "failed_requests_before": len(quiet.failures),
            "pushes_accepted": pusher.accepted, "pushes_while_down": pusher.while_down,
            "pushes_failed": len(pusher.failures), "before": percentiles(quiet.latencies),
            "during": percentiles(load.latencies), "events": events, "problems": problems}


def show(result):
    print(f"I/O engine {result['engine']}")
    for event in result["events"]:
        print(event)
    print(f"requests {result['requests']} in {result['seconds']:.0f} s, failed {result['failed_requests']}")
    print(f"pushes accepted {result['pushes_accepted']}, while the control plane was down "
          f"{result['pushes_while_down']}, failed {result['pushes_failed']}")
    for name in ("before", "during"):
        row = result[name]
        print(f"latency {name}: p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, max {row['max_ms']:.1f} ms")
    for problem in result["problems"]:
        print(f"FAILED: {problem}")
    if not result["problems"]:
        print("ok: no request failed, and the last revision is live everywhere")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pushes-per-second", type=float, default=10)
    parser.add_argument("--down-seconds", type=float, default=3, help="how long the control plane stays away")
    parser.add_argument("--io-engine", default="uring,epoll", help="of the proxies; one run for each")
    parser.add_argument("--json", help="file for the results, a list with one entry for each engine")
    options = parser.parse_args()
    results = []
    for engine in options.io_engine.split(","):
        results.append(run(options, engine))
        show(results[-1])
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=2)
    return 1 if any(result["problems"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
