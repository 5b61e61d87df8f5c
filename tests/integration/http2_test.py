"""HTTP/2 from real clients through the real proxy. Runs the example of docs/http2.md."""

import hashlib
import http.server
import os
import re
import socket
import struct
import subprocess
import threading
import time
import unittest

from tests.support import bodies
from tests.support import fleet as support

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{endpoint}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}
---
kind: Route
name: own
spec: {{match: {{path: {{exact: /own}}}}, respond: {{status: 200, body: "own"}}}}
"""

REASONS = ("header_timeout", "h2_refused_stream", "headers_too_large", "too_many_headers", "header_bomb", "h2_flood",
           "reset_flood", "ping_flood", "settings_flood", "priority_flood", "window_update_flood", "empty_frame_flood",
           "unknown_frame_flood", "body_timeout", "client_too_slow")


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Cookie", self.headers.get("Cookie", ""))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Http2Test(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def page(self):
        with open("docs/http2.md", encoding="utf-8") as file:
            return file.read()

    def start(self):
        server = Server(("127.0.0.1", 0), Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        config = CONFIG.format(folder=self.fleet.folder, endpoint=f"127.0.0.1:{server.server_address[1]}")
        proxy = self.fleet.proxy("p1", "--drain-grace", "0s", config=self.fleet.write("config.yaml", config))
        proxy.wait_ready()
        return proxy

    def curl(self, proxy, path, *more):
        host, port = proxy.listener()
        return subprocess.run(["curl", "-sS", "--max-time", "60", "--http2-prior-knowledge", *more,
                               f"http://{host}:{port}{path}"], capture_output=True, timeout=120, check=True).stdout

    def test_requests_and_bodies(self):
        proxy = self.start()
        self.assertEqual(self.curl(proxy, "/own", "-w", " %{http_version}"), b"own 2")
        self.assertIn(b"HTTP/2 200", self.curl(proxy, "/", "-I"))
        body = os.urandom(5_000_000)
        path = self.fleet.path("body")
        with open(path, "wb") as file:
            file.write(body)
        for more in ((), ("-H", "Expect: 100-continue"), ("-T", "-")):
            upload = ["--data-binary", f"@{path}"] if "-T" not in more else ["-X", "POST", "-T", path]
            got = self.curl(proxy, "/", *upload, *(m for m in more if m not in ("-T", "-")))
            self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(body).digest())
        cookies = self.curl(proxy, "/", "-i", "-H", "Cookie: a=1", "-H", "Cookie: b=2")
        self.assertIn(b"x-cookie: a=1; b=2", cookies)
        self.assertEqual(proxy.terminate(), 0)
        with open(self.fleet.path("access.log"), encoding="utf-8") as log:
            self.assertIn('"HTTP/2"', log.read())

    def test_many_streams(self):
        proxy = self.start()
        host, port = proxy.listener()
        done = subprocess.run(["h2load", "-n", "4000", "-c", "4", "-m", "100", f"http://{host}:{port}/own",
                               f"http://{host}:{port}/"], capture_output=True, text=True, timeout=120, check=True)
        self.assertIn("4000 succeeded, 0 failed, 0 errored, 0 timeout", done.stdout)
        self.assertEqual(proxy.terminate(), 0)

    def test_a_client_that_reads_nothing(self):
        """100 large responses at a time: what waits for it is bounded for its connection, not for each of them."""
        upstream = bodies.Upstream()
        self.addCleanup(upstream.close)
        config = CONFIG.format(folder=self.fleet.folder, endpoint=upstream.address)
        streams, path = 100, b"/length/4000000"
        for windows in (65535, 1 << 28):
            with self.subTest(windows=windows):
                proxy = self.fleet.proxy(f"p{windows}", config=self.fleet.write("config.yaml", config), workers=1)
                proxy.wait_ready()
                upstream.seen.clear()
                with socket.socket() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                    client.connect(proxy.listener())
                    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, windows))
                                   + frame(8, 0, 0, struct.pack(">I", windows))
                                   + b"".join(frame(1, 5, 2 * i + 1, b"\x82\x86\x41\x01h\x04" + bytes([len(path)]) + path)
                                              for i in range(streams)))
                    support.wait_until(lambda: upstream.seen[path.decode()] == streams, "all requests")
                    most = 0
                    for _ in range(20):
                        most = max(most, proxy.metrics()['portico_buffer_bytes{state="in_use"}'])
                        time.sleep(0.1)
                    # A response's head lies in a buffer of 16 KiB; as much of a body waits, and the share of all.
                    self.assertLess(most, 100 * 2 * 16384 + 768 * 1024 + (1 << 20))
                    self.assertGreater(most, 100 * 16384)
                    print(f"windows of {windows}: {most / 1024:.0f} KiB of buffers")
                self.assertEqual(proxy.terminate(), 0)

    def test_every_reason_is_documented(self):
        for reason in REASONS:
            self.assertIn(f"`{reason}`", self.page())

    def test_example_of_the_page(self):
        example = re.search(r"^```sh\n(.*?)^```", self.page(), re.MULTILINE | re.DOTALL).group(1)
        programs = self.fleet.path("bin")
        os.mkdir(programs)
        os.symlink(os.path.abspath(support.binary("dataplane/portico_proxy")), os.path.join(programs, "portico_proxy"))
        done = subprocess.run(["/bin/sh", "-eu", "-c", example], capture_output=True, text=True, timeout=120,
                              cwd=self.fleet.folder, env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), re.search(r"^prints `([^`]*)`", self.page(), re.MULTILINE).group(1))


if __name__ == "__main__":
    unittest.main()
