"""Start, drain, bad command lines: what an operator does to one proxy."""

import os
import re
import signal
import subprocess
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection, fetch
from tests.support.load import Load


class LifecycleTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def static_proxy(self, name, echo, *more):
        config = self.fleet.write(f"{name}.yaml", support.one_route(echo))
        proxy = self.fleet.proxy(name, *more, config=config)
        proxy.wait_ready()
        return proxy

    def test_drain_under_load_fails_no_request_and_exits_0(self):
        proxy = self.static_proxy("draining", self.fleet.echo("echo").addresses()["http"],
                                  "--drain-grace", "1s")
        load = Load(proxy.listener(), "/small", threads=4)
        load.start()
        served = re.compile(r"^portico_requests_total\{[^}]*\} (\d+)$", re.MULTILINE)
        support.wait_until(lambda: sum(map(int, served.findall(proxy.admin("/metrics")[1]))) > 10, "traffic")
        slow = Connection(proxy.listener())
        slow.send(b"GET /?delay_ms=2500 HTTP/1.1\r\nHost: t\r\n\r\n")
        proxy.kill(signal.SIGTERM)
        support.wait_until(lambda: proxy.admin("/ready")[0] == 503, "not being ready")
        load.stop()
        self.assertEqual(slow.read_response().status, 200)
        self.assertEqual(proxy.process.wait(timeout=20), 0)
        self.assertEqual(load.failures, [])

    @staticmethod
    def threads(pid):
        """Policy and niceness, the latter against this process's, by name; workers are one."""
        seen = {}
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as f:
                name = f.read().strip()
            if name.startswith("iou-"):
                continue  # The kernel's own, for a worker's ring.
            policy = os.sched_getscheduler(int(thread)) & ~os.SCHED_RESET_ON_FORK
            niceness = os.getpriority(os.PRIO_PROCESS, int(thread)) - os.getpriority(os.PRIO_PROCESS, 0)
            seen.setdefault("worker" if name.startswith("worker-") else name, set()).add((policy, niceness))
        return seen

    def test_threads_that_do_not_serve_give_way_to_those_that_do(self):
        proxy = self.static_proxy("threads", self.fleet.echo("echo").addresses()["http"], "--workers", "2")
        most = 19 - os.getpriority(os.PRIO_PROCESS, 0)
        background = {(os.SCHED_BATCH, min(10, most))}
        wanted = {"worker": {(os.SCHED_OTHER, 0)}, "access-log": {(os.SCHED_BATCH, min(5, most))},
                  "configuration": background, "drain": background}

        # A thread says so when it first runs.
        def as_wanted():
            seen = self.threads(proxy.process.pid)
            return all(seen.get(name) == how for name, how in wanted.items()) and all(
                how == background for name, how in seen.items() if name not in wanted)
        support.wait_until(as_wanted, f"threads as {wanted}")

    def test_drain_by_post_only(self):
        proxy = self.static_proxy("posted", self.fleet.echo("echo").addresses()["http"],
                                  "--drain-grace", "0s")
        self.assertEqual(proxy.admin("/drain")[0], 405)
        host, port = proxy.addresses()["admin"].rsplit(":", 1)
        self.assertIn(fetch((host, int(port)), "POST", "/drain", body=b"", host=f"127.0.0.1:{port}").status, (200, 202))
        self.assertEqual(proxy.process.wait(timeout=20), 0)

    def test_upstream_restart_is_survived(self):
        echo = self.fleet.echo("echo")
        proxy = self.static_proxy("survivor", echo.addresses()["http"])
        self.assertEqual(fetch(proxy.listener()).status, 200)
        echo.command[echo.command.index("--address") + 1] = echo.addresses()["http"]
        for _ in range(3):
            echo.kill()
            echo.process.wait()
            self.assertIn(fetch(proxy.listener()).status, (502, 503))
            echo.start()
            # The idle connections are known to be gone: no request is lost to them.
            self.assertEqual(fetch(proxy.listener()).status, 200)

    def run_proxy(self, *arguments):
        return subprocess.run([support.binary("dataplane/portico_proxy"), *arguments],
                              capture_output=True, text=True, timeout=20)

    def test_bad_command_lines_say_what_to_do_in_one_line(self):
        bad_yaml = self.fleet.write("bad.yaml", "kind: Route\nname: x\nspec: {match: {path: {prefix: /}}, upstreams: [{name: nobody}]}\n")
        for arguments, needle in (
                (["--no-such-flag"], "no-such-flag"),
                ([], "--control-plane"),
                (["--config", "/nonexistent.yaml"], "/nonexistent.yaml"),
                (["--config", bad_yaml, "--workers", "0"], "workers"),
                (["--config", bad_yaml, "--admin-address", "0.0.0.0:1"], "loopback"),
                (["--config", bad_yaml, "--listener-address", "nonsense"], "listener-address"),
                (["--control-plane", "192.0.2.1:7400", "--insecure"], "loopback"),
                (["--control-plane", "127.0.0.1:7400"], "--tls-cert"),
        ):
            with self.subTest(arguments=arguments):
                done = self.run_proxy(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(needle, done.stderr)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_bad_static_configuration_lists_every_violation(self):
        bad = self.fleet.write("bad.yaml", """
kind: Route
name: x
spec: {match: {path: {regex: "("}}, upstreams: [{name: nobody}]}
""")
        done = self.run_proxy("--config", bad)
        self.assertEqual(done.returncode, 2)
        self.assertIn("spec.match.path.regex", done.stderr)
        self.assertIn("nobody", done.stderr)


if __name__ == "__main__":
    unittest.main()
