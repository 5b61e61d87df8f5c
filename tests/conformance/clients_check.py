"""Clients of other people fetch, upload 100 MB and download 100 MB through Portico; all bytes are compared."""

import hashlib
import http.server
import json
import os
import random
import shutil
import subprocess
import sys
import threading

from tests.conformance import registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support

SIZE = 100 << 20
PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/download":
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(SIZE))
            self.end_headers()
            with open(self.server.body_path, "rb") as f:
                shutil.copyfileobj(f, self.wfile, 1 << 18)
        elif self.path == "/page":
            with open(os.path.join(PEERS, "body_page.html"), "rb") as f:
                self.answer(f.read(), "text/html")
        else:
            self.answer(b"hello")

    def pieces(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 1 << 18))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def do_POST(self):
        if self.path == "/report":
            self.server.reports.append(json.loads(b"".join(self.pieces())))
            self.answer(b"")
            return
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        self.answer(digest.hexdigest().encode())

    do_PUT = do_POST


def output(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Clients:
    def __init__(self, fleet, base, body_path, server):
        self.fleet, self.base, self.body_path, self.server = fleet, base, body_path, server
        self.target = fleet.path("downloaded")

    def curl(self):
        program = [registry_tools.debian("curl", "curl"), "-sSf"]
        found = {"fetch": output([*program, f"{self.base}/hello"]), "upload": output([*program, "-T", self.body_path, f"{self.base}/upload"])}
        output([*program, "-o", self.target, f"{self.base}/download"])
        return found | {"download": digest_of(self.target)}

    def wget(self):
        program = [registry_tools.debian("wget", "wget"), "-q", "-O"]
        found = {"fetch": output([*program, "-", f"{self.base}/hello"]),
                 "upload": output([*program, "-", f"--post-file={self.body_path}", f"{self.base}/upload"])}
        output([*program, self.target, f"{self.base}/download"])
        return found | {"download": digest_of(self.target)}

    def httpx(self):
        return json.loads(output([registry_tools.python("httpx==0.28.1"), os.path.join(PEERS, "body_client.py"), self.base, self.body_path]))

    def undici(self):
        environment = dict(os.environ, NODE_PATH=registry_tools.node_modules("undici@6.21.0"))
        return json.loads(output([registry_tools.debian("node", "nodejs"), os.path.join(PEERS, "body_client.js"), self.base, self.body_path],
                                 env=environment))

    def go(self):
        return json.loads(output([registry_tools.go_program(os.path.join(PEERS, "body_client.go")), self.base, self.body_path]))

    def chromium(self):
        program = registry_tools.debian("chromium", "chromium")
        profile = self.fleet.path("profile")
        process = self.fleet.add(support.Process(self.fleet.folder, "chromium", [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--remote-debugging-port=0", f"{self.base}/page"]))
        support.wait_until(lambda: self.server.reports or process.process.poll() is not None, "the page's report", 120)
        process.kill(15)
        process.process.wait(timeout=20)
        return self.server.reports[-1] if self.server.reports else {"error": process.log()}


NAMES = ("curl", "wget", "httpx", "undici", "go", "chromium")


def main(names):
    with Verdicts("clients") as verdicts:
        with support.Fleet() as fleet:
            body_path = fleet.path("body")
            with open(body_path, "wb") as f:
                f.write(random.Random(7).randbytes(SIZE))
            wanted = digest_of(body_path)
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads, server.body_path, server.reports = True, body_path, []
            threading.Thread(target=server.serve_forever, daemon=True).start()
            config = fleet.write("config.yaml", support.one_route("127.0.0.1:%d" % server.server_address[1], timeout="300s"))
            proxy = fleet.proxy("p1", config=config)
            proxy.wait_ready()
            clients = Clients(fleet, "http://%s:%d" % proxy.listener("http"), body_path, server)
            for name in names or NAMES:
                try:
                    found = getattr(clients, name)()
                except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                    found = {"error": str(error)}
                for what, right in (("fetch", "hello"), ("upload", wanted), ("download", wanted)):
                    verdicts.check(f"{name}: {what}", found.get(what) == right, found.get("error", found.get(what)))
                verdicts.say(f"{name}: done")
            verdicts.check("the proxy lives", proxy.process.poll() is None, proxy.log())
            server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
