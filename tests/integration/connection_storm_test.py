"""Connections dropped at every point of a request, thousands at a time: nothing leaks, and nobody else notices.

    tests/integration/connection_storm_test.py [--seconds 60] [--connections 10000] [--pause 12]
                                               [--io-engine uring|epoll] [--json FILE]

As a program it runs one storm of the given size and prints what was held before, at its height and after it.
Build first: bazel build --config=opt //dataplane:portico_proxy //tools/demo:echo_service
"""

import argparse
import json
import os
import re
import resource
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402
from tests.support.http_client import fetch  # noqa: E402
from tests.support.load import Load  # noqa: E402
from tests.support.storm import DROPS, LINGERING, Storm  # noqa: E402

# Upstream connections go soon after their last request, so that what is left over shows.
CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Upstream
name: storm
spec:
  endpoints: [{{address: "{storm}"}}]
  idle_timeout: 0.5s
  connect_timeout: 20s
  circuit_breaker: {{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}
  outlier_detection: {{disabled: true}}
---
kind: Upstream
name: probe
spec: {{endpoints: [{{address: "{probe}"}}], idle_timeout: 0.5s}}
---
kind: Route
name: storm
spec: {{match: {{hosts: [storm], path: {{prefix: /}}}}, upstreams: [{{name: storm}}], timeout: 60s, retry: {{attempts: 1}}}}
---
kind: Route
name: probe
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: probe}}]}}
"""

KINDS = ("downstream_buffers", "upstream_buffers", "coroutine_frames", "timers")


def held(proxy):
    """What the proxy holds now."""
    metrics = proxy.metrics()
    counts = {kind: metrics[f'portico_worker_objects{{kind="{kind}"}}'] for kind in KINDS}
    for side in ("downstream", "upstream"):
        counts[f"{side}_connections"] = metrics[f"portico_{side}_connections_active"]
    counts["requests"] = metrics["portico_requests_active"]
    counts["pipe_ends"] = proxy.pipe_ends()
    counts["descriptors"] = proxy.fds() - counts["pipe_ends"]
    return {name: int(value) for name, value in counts.items()}


def too_much(counts, base, workers):
    """What is held beyond the base, as text. Pipes are kept for reuse, up to 64 for each worker."""
    return [f"{counts[name]} {name}, {value} before" for name, value in base.items()
            if counts[name] > (value if name != "pipe_ends" else 2 * 64 * workers)]


class Scene:
    """A proxy, its upstreams, and what it holds at rest."""

    def __init__(self, fleet, workers=2, io_engine=None):
        self.fleet, self.workers = fleet, workers
        config = fleet.write("config.yaml", CONFIG.format(
            storm=fleet.echo("storm").addresses()["http"], probe=fleet.echo("probe").addresses()["http"]))
        self.proxy = fleet.proxy("proxy", "--drain-grace", "0.5s", "--drain-timeout", "2s", config=config,
                                 workers=workers, io_engine=io_engine)
        self.proxy.wait_ready()
        self.address = self.proxy.listener()
        # Every worker has met both upstreams.
        for host in ("storm", "probe"):
            for _ in range(16 * workers):
                fetch(self.address, target="/small", host=host)
        self.base = self.rest()

    def rest(self, seconds=30):
        """What is held once nobody is connected any more, on either side."""
        def quiet():
            counts = held(self.proxy)
            return not any(counts[name] for name in ("requests", "downstream_connections",
                                                     "upstream_connections")) and counts
        return support.wait_until(quiet, f"the end of all connections: {held(self.proxy)}", seconds)

    def wait_for_base(self, seconds=30):
        """What is held in the end: the base, or what is too much of it."""
        deadline = time.monotonic() + seconds
        while True:
            counts = self.rest(seconds)
            if not too_much(counts, self.base, self.workers) or time.monotonic() > deadline:
                return counts

    def probe(self):
        return Load(self.address, "/small", threads=2, check=lambda response: response.body == b"Hello, world!",
                    pause=0.002)

    def drain(self):
        """SIGTERM; (exit code, what the workers say was left over, as (buffers, frames, timers))."""
        code = self.proxy.terminate()
        pattern = r"left over: (\d+) buffers, (\d+) coroutine frames, (\d+) timers"
        return code, [tuple(map(int, numbers)) for numbers in re.findall(pattern, self.proxy.log())]


class Cases:
    ENGINE = None

    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def scene(self, workers=2):
        return Scene(self.fleet, workers, self.ENGINE)

    def storm(self, scene, connections, seconds, **options):
        storm = Storm(scene.address, connections, **options).start()
        time.sleep(seconds)
        return storm.stop()

    def test_nothing_leaks_and_nobody_else_notices(self):
        scene = self.scene()
        probe = scene.probe().start()
        storm = self.storm(scene, connections=300, seconds=6)
        probe.stop()
        self.assertEqual(storm.failures, [])
        self.assertEqual(storm.refused, 0)
        self.assertEqual({name.split(":")[0] for name in storm.ended}, {script.__name__ for script in DROPS})
        self.assertEqual(probe.failures, [])
        self.assertGreater(probe.count, 50)
        self.assertEqual(too_much(scene.wait_for_base(), scene.base, scene.workers), [])
        code, left = scene.drain()
        self.assertEqual(code, 0, scene.proxy.log())
        self.assertEqual(left, [(0, 0, 0)] * 2, scene.proxy.log())

    def test_sigterm_in_the_middle_of_it(self):
        scene = self.scene()
        probe = scene.probe().start()
        storm = Storm(scene.address, 200, seed=2, scripts=DROPS + LINGERING * 2, forgive=True).start()
        support.wait_until(lambda: storm.opened > 400, "the storm")
        scene.proxy.kill(signal.SIGTERM)
        # The probe is told to go, and a connection that it opens afterwards may be refused.
        support.wait_until(lambda: scene.proxy.admin("/ready")[0] != 200, "not being ready")
        probe.stop()
        code, left = scene.drain()
        storm.stop(finish=0)
        self.assertEqual(probe.failures, [])
        self.assertEqual(code, 0, scene.proxy.log())
        self.assertEqual(left, [(0, 0, 0)] * 2, scene.proxy.log())

    def test_connections_that_all_become_ready_at_once(self):
        """More at once than a ring or a batch of events has room for."""
        scene = self.scene(workers=1)
        go = threading.Event()
        connections = 500 if scene.proxy.sanitized() else 3000
        storm = Storm(scene.address, connections, seed=3, scripts=(all_at_the_same_time(go),)).start()
        support.wait_until(lambda: storm.most >= connections, "all connections", 60)
        go.set()
        storm.stop(finish=60)
        self.assertEqual(storm.failures, [])
        self.assertEqual(too_much(scene.wait_for_base(), scene.base, scene.workers), [])


class EpollTest(Cases, unittest.TestCase):
    ENGINE = "epoll"


class AutoTest(Cases, unittest.TestCase):
    """io_uring where the kernel has it."""
    ENGINE = "auto"


def all_at_the_same_time(go):
    """A script whose connections all send when the first second begins after `go` is set."""
    from tests.support import storm

    def script(_):
        while not go.is_set():
            yield storm.Sleep(1.0 - time.monotonic() % 1.0)
        yield storm.Send(storm.head("GET", "/small"))
        yield from storm.read_response()
        return "close"
    return script


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=12.0,
                        help="a connection waits up to that many seconds before it begins, so that many are there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--io-engine", help="of the proxy; default: its own choice")
    parser.add_argument("--json")
    options = parser.parse_args()
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with support.Fleet() as fleet:
        scene = Scene(fleet, options.workers, options.io_engine)
        probe = scene.probe().start()
        storm = Storm(scene.address, options.connections, options.seed, pause=options.pause).start()
        height, until = {}, time.monotonic() + options.seconds
        while time.monotonic() < until:
            time.sleep(1)
            height = {name: max(value, height.get(name, 0)) for name, value in held(scene.proxy).items()}
        storm.stop()
        probe.stop()
        after = scene.wait_for_base()
        engine = [name for name in scene.proxy.metrics() if "engine" in name]
        code, left = scene.drain()
    result = {"engine": engine, "opened": storm.opened, "most_at_once": storm.most, "refused": storm.refused,
              "ended": dict(storm.ended), "storm_failures": len(storm.failures), "probe_requests": probe.count,
              "probe_failures": len(probe.failures), "before": scene.base, "height": height, "after": after,
              "exit_code": code, "left_over": left}
    print(f"engine {engine}: {storm.opened} connections, {storm.most} at once, {storm.refused} not connected")
    print(f"{'':24}{'before':>10}{'height':>10}{'after':>10}")
    for name, value in scene.base.items():
        print(f"{name:24}{value:10}{height[name]:10}{after[name]:10}")
    print(f"probe: {probe.count} requests, {len(probe.failures)} failed")
    print(f"drained with exit code {code}; left over (buffers, frames, timers) by worker: {left}")
    problems = storm.failures[:10] + [what for _, what in probe.failures[:10]]
    problems += too_much(after, scene.base, options.workers)
    if code != 0 or left != [(0, 0, 0)] * options.workers:
        problems.append("the end was not clean")
    for problem in problems:
        print(f"FAILED: {problem}")
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=2)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
