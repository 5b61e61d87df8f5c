"""A control plane and two proxies behind a real L4 balancer: what a fleet owes its users."""

import json
import os
import re
import socket
import threading
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import fetch
from tests.support.load import Load

BASE = """
kind: Listener
name: http
spec: {{address: "0.0.0.0:8080", proxy_protocol: {proxy_protocol}}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{echo}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}
"""


def route(name, path, body):
    return (f"kind: Route\nname: {name}\nspec:\n  match: {{path: {{exact: {path}}}}}\n"
            f"  respond: {{status: 200, body: \"{body}\"}}\n")


class FleetTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def start(self, proxies=2, proxy_protocol="off", apply=True):
        self.control = self.fleet.control_plane()
        self.echo = self.fleet.echo("echo").addresses()["http"]
        self.base = BASE.format(echo=self.echo, proxy_protocol=proxy_protocol)
        if apply:
            self.fleet.apply(self.control, self.base)
        self.proxies = [self.fleet.proxy(f"p{i + 1}", "--drain-grace", "1s", control=self.control)
                        for i in range(proxies)]
        if apply:
            for proxy in self.proxies:
                proxy.wait_ready()

    def apply(self, yaml, *more, check=True):
        return self.fleet.apply(self.control, yaml, *more, check=check)

    def wait_live(self):
        self.fleet.ctl(self.control, "rollout", "--wait", "--min-proxies", str(len(self.proxies)))

    def body(self, proxy, path):
        response = fetch(proxy.listener(), target=path)
        return response.status, response.body.decode()

    def metric(self, proxy, name):
        match = re.search(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", proxy.admin("/metrics")[1], re.M)
        return float(match.group(1)) if match else None

    def test_not_ready_before_the_first_revision(self):
        self.start(proxies=1, apply=False)
        status, text = self.proxies[0].admin("/ready")
        self.assertEqual(status, 503, text)
        self.assertEqual(self.proxies[0].admin("/live")[0], 200)
        self.apply(self.base)
        self.proxies[0].wait_ready()
        self.assertEqual(self.body(self.proxies[0], "/x")[0], 200)

    def test_a_change_is_live_on_every_proxy_after_rollout(self):
        self.start()
        self.apply(route("new", "/new", "v1"))
        self.wait_live()
        for proxy in self.proxies:
            self.assertEqual(self.body(proxy, "/new"), (200, "v1"))
        self.apply(route("new", "/new", "v2"))
        self.wait_live()
        for proxy in self.proxies:
            self.assertEqual(self.body(proxy, "/new"), (200, "v2"))
        self.fleet.ctl(self.control, "rollback", "2")
        self.wait_live()
        for proxy in self.proxies:
            self.assertEqual(self.body(proxy, "/new"), (200, "v1"))
        self.fleet.ctl(self.control, "delete", "route", "new")
        self.wait_live()
        for proxy in self.proxies:
            self.assertIn("/new", json.loads(self.body(proxy, "/new")[1])["path"])

    def test_a_broken_push_changes_nothing_and_says_why(self):
        self.start()
        before = self.metric(self.proxies[0], "portico_config_revision")
        done = self.apply("kind: Route\nname: bad\nspec:\n  match: {path: {regex: \"(\"}}\n"
                          "  upstreams: [{name: ecko}]\n", check=False)
        self.assertEqual(done.returncode, 1)
        text = done.stdout + done.stderr
        self.assertIn("spec.match.path.regex", text)
        self.assertIn("spec.upstreams[0].name", text)
        self.assertIn("echo", text)  # The near name.
        self.assertEqual(self.metric(self.proxies[0], "portico_config_revision"), before)
        self.assertEqual(self.body(self.proxies[0], "/x")[0], 200)

    def test_a_proxy_that_cannot_listen_rejects_and_serves_on(self):
        self.start()
        other = socket.create_server(("127.0.0.1", 0))  # Without SO_REUSEPORT: nobody can join it.
        self.addCleanup(other.close)
        taken = other.getsockname()[1]
        done = self.apply(f"kind: Listener\nname: more\nspec: {{address: \"127.0.0.1:{taken}\"}}\n", check=False)
        self.assertEqual(done.returncode, 0, done.stderr)  # Only the proxies can know.
        rollout = self.fleet.ctl(self.control, "rollout", "--wait", "--timeout", "10s", check=False)
        self.assertEqual(rollout.returncode, 4, rollout.stdout + rollout.stderr)
        self.assertIn("spec.address", rollout.stdout + rollout.stderr)
        self.assertEqual(self.body(self.proxies[0], "/x")[0], 200)
        self.assertEqual(self.proxies[0].admin("/ready")[0], 200)
        # The next good revision heals it.
        self.fleet.ctl(self.control, "delete", "listener", "more")
        self.wait_live()

    def test_control_plane_killed_and_a_proxy_restarted_meanwhile(self):
        self.start()
        self.apply(route("kept", "/kept", "kept"))
        self.wait_live()
        # The cache is written behind the switch, at most once a second.
        support.wait_until(lambda: os.listdir(self.fleet.path("p1.cache")), "a cache file")
        time.sleep(1.5)
        self.control.kill()
        self.control.process.wait()
        self.assertEqual(self.body(self.proxies[0], "/kept"), (200, "kept"))
        self.assertEqual(self.proxies[0].terminate(), 0)
        self.proxies[0].start()
        self.proxies[0].wait_ready()
        self.assertEqual(self.body(self.proxies[0], "/kept"), (200, "kept"))
        # Back again: it has everything it acknowledged, and the proxy follows.
        self.control.start()
        self.apply(route("later", "/later", "later"))
        self.wait_live()
        for proxy in self.proxies:
            self.assertEqual(self.body(proxy, "/kept"), (200, "kept"))
            self.assertEqual(self.body(proxy, "/later"), (200, "later"))

    def test_a_corrupt_cache_is_not_used(self):
        self.start(proxies=1)
        proxy = self.proxies[0]
        folder = self.fleet.path("p1.cache")
        support.wait_until(lambda: os.listdir(folder), "a cache file")
        self.assertEqual(proxy.terminate(), 0)
        self.control.kill()
        self.control.process.wait()
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "r+b") as f:
                f.seek(-20, os.SEEK_END)
                byte = f.read(1)
                f.seek(-20, os.SEEK_END)
                f.write(bytes([byte[0] ^ 1]))
        proxy.start()
        support.wait_until(lambda: "WARNING" in proxy.log(), "a warning")
        self.assertEqual(proxy.admin("/ready")[0], 503)
        self.control.start()
        proxy.wait_ready()
        self.assertEqual(self.body(proxy, "/x")[0], 200)

    def test_changes_under_load_through_the_balancer_fail_no_request(self):
        self.start(proxy_protocol="required")
        _, port = self.fleet.haproxy(self.proxies)
        load = Load(("127.0.0.1", port), "/small", threads=4)
        load.start()
        for i in range(15):
            self.apply(route("churn", "/churn", f"v{i}"))
        self.wait_live()
        self.assertEqual(self.proxies[0].terminate(), 0)
        self.proxies[0].start()
        self.proxies[0].wait_ready()
        load.stop()
        self.assertGreater(load.count, 100)
        self.assertEqual(load.failures, [])

    def test_unchanged_content_makes_no_revision(self):
        self.start(proxies=1)
        before = self.metric(self.proxies[0], "portico_config_revision")
        applied = self.metric(self.proxies[0], "portico_config_applied_total")
        self.apply(self.base)
        self.wait_live()
        self.assertEqual(self.metric(self.proxies[0], "portico_config_revision"), before)
        self.assertEqual(self.metric(self.proxies[0], "portico_config_applied_total"), applied)

    def test_rate_limit_counters_survive_revisions(self):
        self.start(proxies=1)
        limited = ("kind: RateLimitPolicy\nname: few\nspec: {rate: {requests: 3, per: 3600s}, key: [{client_address: {}}]}\n"
                   "---\nkind: Route\nname: limited\nspec: {match: {path: {prefix: /limited}}, "
                   "respond: {status: 200, body: \"v0\"}, rate_limits: [few]}\n")
        self.apply(limited)
        self.wait_live()
        statuses = []
        for i in range(5):
            statuses.append(self.body(self.proxies[0], "/limited")[0])
            self.apply(limited.replace("v0", f"v{i + 1}"))
            self.wait_live()
        self.assertEqual(statuses, [200, 200, 200, 429, 429])

    def test_concurrent_authors_do_not_overwrite_each_other(self):
        self.start(proxies=1)
        results = []

        def push(i):
            results.append(self.apply(route(f"r{i}", f"/r{i}", "x"), "--expected-revision", "1",
                                      check=False).returncode)
        threads = [threading.Thread(target=push, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), [0, 1, 1, 1])


if __name__ == "__main__":
    unittest.main()
