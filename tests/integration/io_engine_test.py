"""Which event engine the proxy takes, and what it says about it. Runs the example of docs/io-engine.md."""

import os
import re
import subprocess
import sys
import unittest

from tests.support import fleet as support
from tests.support.http_client import fetch

CONFIG = """
kind: Listener
name: http
spec: {address: "127.0.0.1:0"}
---
kind: Route
name: all
spec: {match: {path: {prefix: /}}, respond: {status: 200, body: ok}}
"""

# Starts its arguments where a filter answers io_uring_setup (number 425 everywhere) with EPERM, as the default
# profiles of containers do.
WITHOUT_URING = """
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(filters))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "prctl")
os.execv(sys.argv[1], sys.argv[1:])
"""


class IoEngineTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.config = self.fleet.write("config.yaml", CONFIG)

    def page(self):
        with open("docs/io-engine.md", encoding="utf-8") as file:
            return file.read()

    def start(self, name, **options):
        proxy = self.fleet.proxy(name, "--drain-grace", "0s", config=self.config, **options)
        proxy.wait_ready()
        self.assertEqual(fetch(proxy.listener()).status, 200)
        return proxy, proxy.io_engine()

    def test_epoll_when_asked_for(self):
        proxy, info = self.start("epoll", io_engine="epoll")
        self.assertEqual(info, ("epoll", ""))
        self.assertIn("event engine: epoll", proxy.log())
        self.assertEqual(proxy.terminate(), 0)

    def test_auto_takes_uring_or_says_why_not(self):
        proxy, (engine, reason) = self.start("auto", io_engine="auto")
        self.assertEqual(engine, "uring" if reason == "" else "epoll")
        self.assertIn(f"event engine: {engine}", proxy.log())
        self.assertIn("`portico_io_engine_info`", self.page())
        metrics = proxy.metrics()
        self.assertGreater(metrics["portico_io_engine_system_calls_total"], 0)
        self.assertGreater(metrics["portico_io_engine_completions_total"], 0)
        self.assertEqual(metrics["portico_io_engine_buffer_refusals_total"], 0)
        self.assertEqual(metrics['portico_buffer_bytes{state="lent"}'] > 0, engine == "uring")
        self.assertEqual(proxy.terminate(), 0)

    def test_falls_back_where_it_is_blocked(self):
        proxy, (engine, reason) = self.start("blocked", io_engine="auto",
                                             launcher=[sys.executable, "-c", WITHOUT_URING])
        self.assertEqual(engine, "epoll")
        self.assertIn(reason, ("blocked", "disabled_by_sysctl"))
        self.assertIn(f"`{reason}`", self.page())
        self.assertIn(f"event engine: epoll, which costs more CPU than uring, because of {reason}", proxy.log())
        self.assertEqual(proxy.terminate(), 0)

    def test_uring_that_is_blocked_is_an_error(self):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_URING, support.binary("dataplane/portico_proxy"), "--node-id", "n",
             "--config", self.config, "--admin-address", "127.0.0.1:0", "--io-engine", "uring"],
            capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--io-engine=uring: the kernel refuses io_uring", done.stdout + done.stderr)

    def test_every_reason_is_documented(self):
        for reason in ("disabled_by_sysctl", "blocked", "not_in_kernel", "kernel_too_old", "no_memory", "no_descriptors"):
            self.assertIn(f"| `{reason}` |", self.page())

    def test_example_of_the_page(self):
        example = re.search(r"^```sh\n(.*?)^```", self.page(), re.MULTILINE | re.DOTALL).group(1)
        programs = self.fleet.path("bin")
        os.mkdir(programs)
        os.symlink(os.path.abspath(support.binary("dataplane/portico_proxy")), os.path.join(programs, "portico_proxy"))
        done = subprocess.run(["/bin/sh", "-eu", "-c", example], capture_output=True, text=True, timeout=120,
                              cwd=self.fleet.folder, env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 0, done.stderr)
        engine, reason = support.io_engine_of(done.stdout)
        shown = re.search(r'prints `(portico_io_engine_info[^`]*)`', self.page()).group(1)
        if reason == "":
            self.assertEqual(done.stdout.strip(), shown)
        else:
            self.assertEqual(engine, "epoll")


if __name__ == "__main__":
    unittest.main()
