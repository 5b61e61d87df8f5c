"""Clients of other people fetch, upload 100 MB and download 100 MB through Portico; all bytes are compared.

  --protocol WHICH   h1, h1s (over TLS), h2 (over TLS) or h2c; default: all that a client speaks
  --target nghttpx   goes through nghttpx instead, to see the check work without Portico
  names              only these clients
"""

import argparse
import hashlib
import http.server
import json
import os
import random
import shutil
import subprocess
import threading

from tests.conformance import h2_targets, registry_tools
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
    """Each method: one client, one protocol; what it found, and the protocol that it says it spoke."""

    def __init__(self, fleet, protocol, base, body_path, server):
        self.fleet, self.protocol, self.base, self.body_path, self.server = fleet, protocol, base, body_path, server
        self.target, self.ca = fleet.path("downloaded"), fleet.authority.ca_path

    def curl(self):
        option = {"h1": "--http1.1", "h1s": "--http1.1", "h2": "--http2", "h2c": "--http2-prior-knowledge"}[self.protocol]
        program = [registry_tools.debian("curl", "curl"), "-sSf", option, "--cacert", self.ca]
        fetched = output([*program, "-w", " %{http_version}", f"{self.base}/hello"]).split(" ")
        found = {"fetch": fetched[0], "protocol": "HTTP/" + fetched[1], "upload": output([*program, "-T", self.body_path, f"{self.base}/upload"])}
        output([*program, "-o", self.target, f"{self.base}/download"])
        return found | {"download": digest_of(self.target)}

    def wget(self):
        program = [registry_tools.debian("wget", "wget"), "-q", f"--ca-certificate={self.ca}", "-O"]
        found = {"fetch": output([*program, "-", f"{self.base}/hello"]), "protocol": "HTTP/1.1",
                 "upload": output([*program, "-", f"--post-file={self.body_path}", f"{self.base}/upload"])}
        output([*program, self.target, f"{self.base}/download"])
        return found | {"download": digest_of(self.target)}

    def _peer(self, *program, **options):
        return json.loads(output([*program, self.base, self.body_path, self.protocol, self.ca], **options))

    def httpx(self):
        return self._peer(registry_tools.python("httpx[http2]==0.28.1"), os.path.join(PEERS, "body_client.py"))

    def undici(self):
        environment = dict(os.environ, NODE_PATH=registry_tools.node_modules("undici@7.16.0"))
        return self._peer(registry_tools.debian("node", "nodejs"), os.path.join(PEERS, "body_client.js"), env=environment)

    def go(self):
        return self._peer(registry_tools.go_program(os.path.join(PEERS, "body_client.go")))

    def chromium(self):
        program = registry_tools.debian("chromium", "chromium")
        profile = self.fleet.path(f"profile-{self.protocol}")
        self.server.reports.clear()
        process = self.fleet.add(support.Process(self.fleet.folder, "chromium", [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", *(["--disable-http2"] if self.protocol == "h1s" else []),
            f"--user-data-dir={profile}", "--remote-debugging-port=0", f"{self.base}/page"]))
        support.wait_until(lambda: self.server.reports or process.process.poll() is not None, "the page's report", 120)
        process.kill(15)
        process.process.wait(timeout=20)
        return self.server.reports[-1] if self.server.reports else {"error": process.log()}


# What each of them speaks: HTTP/1.1 in cleartext and over TLS, HTTP/2 over TLS and in cleartext with prior knowledge.
NAMES = {"curl": ("h1", "h1s", "h2", "h2c"), "wget": ("h1", "h1s"), "httpx": ("h1", "h1s", "h2", "h2c"), "undici": ("h1", "h1s", "h2"),
         "go": ("h1", "h1s", "h2", "h2c"), "chromium": ("h1", "h1s", "h2")}
SPOKEN = {"h1": ("HTTP/1.1", "http/1.1"), "h1s": ("HTTP/1.1", "http/1.1"), "h2": ("HTTP/2", "HTTP/2.0", "h2"), "h2c": ("HTTP/2", "HTTP/2.0", "h2")}


def nghttpx(fleet, endpoint):
    h2_targets.authority(fleet)
    plain, secure = support.free_port(), support.free_port()
    process = fleet.add(support.Process(fleet.folder, "nghttpx", [
        registry_tools.debian("nghttpx", "nghttp2-proxy"), "--conf=/dev/null", f"--frontend=127.0.0.1,{plain};no-tls", f"--frontend=127.0.0.1,{secure}",
        f"--backend={endpoint.replace(':', ',')}", "--no-ocsp", "--accesslog-file=/dev/null", fleet.localhost.key_path, fleet.localhost.chain_path]))
    support.wait_until(lambda: h2_targets.listens(secure), "nghttpx listening")
    return h2_targets.Target("nghttpx", ("127.0.0.1", plain), ("127.0.0.1", secure), process)


def run(verdicts, options):
    protocols = options.protocol or ["h1", "h1s", "h2", "h2c"]
    with support.Fleet() as fleet:
        body_path = fleet.path("body")
        with open(body_path, "wb") as f:
            f.write(random.Random(7).randbytes(SIZE))
        wanted = digest_of(body_path)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.body_path, server.reports = True, body_path, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = "127.0.0.1:%d" % server.server_address[1]
        if options.target == "portico":
            target = h2_targets.portico(fleet, endpoint, timeout="300s", secure=bool({"h1s", "h2"} & set(protocols)))
        else:
            target = nghttpx(fleet, endpoint)
        for name in options.names or NAMES:
            for protocol in (p for p in NAMES[name] if p in protocols):
                secure = protocol in ("h1s", "h2")
                base = "%s://localhost:%d" % (("https", target.secure[1]) if secure else ("http", target.plain[1]))
                try:
                    found = getattr(Clients(fleet, protocol, base, body_path, server), name)()
                except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                    found = {"error": str(error)}
                for what, right in (("fetch", ("hello",)), ("upload", (wanted,)), ("download", (wanted,)), ("protocol", SPOKEN[protocol])):
                    verdicts.check(f"{name}, {protocol}: {what}", found.get(what) in right, found.get("error", found.get(what)))
                verdicts.say(f"{name}, {protocol}: done")
        verdicts.check("the proxy lives", target.alive(), target.process.log())
        server.shutdown()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=("portico", "nghttpx"), default="portico")
    options.add_argument("--protocol", choices=("h1", "h1s", "h2", "h2c"), action="append")
    options.add_argument("names", nargs="*")
    options = options.parse_args()
    with Verdicts("clients") as verdicts:
        run(verdicts, options)


if __name__ == "__main__":
    main()
