"""gRPC of other people through Portico, in cleartext and over TLS on both sides: Go's interoperability client and server,
Python's (the C core), and grpcurl.

  --target nghttpx   goes through nghttpx instead, to see the check work without Portico
"""

import argparse
import base64
import http.client
import json
import os
import ssl
import struct
import subprocess
import time

from tests.conformance import h2_raw, h2_targets, registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support import tls_files

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
GO = "google.golang.org/grpc/interop/{}@v1.85.0"
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
PYTHON = ("grpcio==1.85.1", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1")

INTEROP = ("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
           "cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
           "unimplemented_method", "unimplemented_service")

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Listener
name: https
spec: {{address: "127.0.0.1:0", tls: {{certificates: [main]}}}}
---
kind: Upstream
name: go
spec: {{endpoints: [{{address: "127.0.0.1:{go}"}}], protocol: http2{tls}}}
---
kind: Upstream
name: python
spec: {{endpoints: [{{address: "127.0.0.1:{python}"}}], protocol: http2{tls}}}
---
kind: Upstream
name: down
spec: {{endpoints: [{{address: "127.0.0.1:{down}"}}], protocol: http2}}
---
kind: Route
name: python
spec: {{match: {{path: {{prefix: /conformance.Echo}}}}, upstreams: [{{name: python}}], timeout: 60s, grpc_web: true}}
---
kind: Route
name: python-health
spec: {{match: {{path: {{prefix: /grpc.health.v1.Health}}}}, upstreams: [{{name: python}}], timeout: 60s}}
---
kind: Route
name: python-reflection
spec: {{match: {{path: {{prefix: /grpc.reflection.v1alpha.ServerReflection}}}}, upstreams: [{{name: python}}], timeout: 60s}}
---
kind: Route
name: go
spec: {{match: {{path: {{prefix: /grpc.testing.TestService}}}}, upstreams: [{{name: go}}], timeout: 60s}}
---
kind: Route
name: go-unimplemented
spec: {{match: {{path: {{prefix: /grpc.testing.UnimplementedService}}}}, upstreams: [{{name: go}}], timeout: 60s}}
---
kind: Route
name: down
spec: {{match: {{path: {{prefix: /down.Service}}}}, upstreams: [{{name: down}}], timeout: 5s}}
---
kind: Route
name: slow
spec: {{match: {{path: {{prefix: /slow.Service}}}}, upstreams: [{{name: python}}], timeout: 0.5s, rewrite: {{prefix: /conformance.Echo}}}}
---
kind: Route
name: forbidden
spec: {{match: {{path: {{prefix: /forbidden.Service}}}}, respond: {{status: 403, body: "no"}}}}
---
kind: Route
name: secret
spec: {{match: {{path: {{prefix: /secret.Service}}}}, respond: {{status: 401, body: "no"}}}}
"""


class Servers:
    """The upstreams, each on a port in cleartext and one with TLS."""

    def __init__(self, fleet):
        h2_targets.authority(fleet)
        pair = fleet.localhost
        self.go, self.go_tls, self.python, self.python_tls, self.down = (support.free_port() for _ in range(5))
        go = registry_tools.go_tool(GO.format("server"))
        for name, command in (
                ("go", [go, f"-port={self.go}"]),
                ("go-tls", [go, f"-port={self.go_tls}", "-use_tls", f"-tls_cert_file={pair.chain_path}", f"-tls_key_file={pair.key_path}"]),
                ("python", [registry_tools.python(*PYTHON), os.path.join(PEERS, "grpc_server.py"), str(self.python), str(self.python_tls),
                            pair.chain_path, pair.key_path])):
            fleet.add(support.Process(fleet.folder, name, command))
        for port in (self.go, self.go_tls, self.python, self.python_tls):
            support.wait_until(lambda port=port: h2_targets.listens(port), "the servers listening")


def portico(fleet, servers, secure):
    tls = ', tls: {ca_bundles: [ca], server_name: localhost}' if secure else ""
    text = CONFIG.format(go=servers.go_tls if secure else servers.go, python=servers.python_tls if secure else servers.python, down=servers.down, tls=tls)
    text += tls_files.certificate_yaml("main", fleet.localhost)
    with open(fleet.authority.ca_path) as f:
        text += "---\nkind: CaBundle\nname: ca\nspec:\n  certificates: |\n" + tls_files.indented(f.read())
    name = "secure" if secure else "plain"
    proxy = fleet.proxy(name, config=fleet.write(f"{name}.yaml", text), listeners=("http", "https"))
    proxy.wait_ready()
    return proxy, proxy.listener("https" if secure else "http")[1]


def nghttpx(fleet, servers, secure):
    port = support.free_port()
    tls = ";tls;sni=localhost" if secure else ""
    go, python = (servers.go_tls, servers.python_tls) if secure else (servers.go, servers.python)
    process = fleet.add(support.Process(fleet.folder, f"nghttpx-{secure}", [
        registry_tools.debian("nghttpx", "nghttp2-proxy"), "--conf=/dev/null", f"--frontend=127.0.0.1,{port}{'' if secure else ';no-tls'}",
        f"--backend=127.0.0.1,{go};/grpc.testing.TestService/:/grpc.testing.UnimplementedService/;proto=h2{tls}", f"--backend=127.0.0.1,{python};;proto=h2{tls}",
        f"--cacert={fleet.authority.ca_path}", "--no-ocsp", "--accesslog-file=/dev/null", fleet.localhost.key_path, fleet.localhost.chain_path]))
    support.wait_until(lambda: h2_targets.listens(port), "nghttpx listening")
    return process, port


class Run:
    def __init__(self, verdicts, fleet, transport, port, local):
        self.verdicts, self.fleet, self.transport, self.port, self.local = verdicts, fleet, transport, port, local
        self.secure = transport == "secure"

    def check(self, what, holds, found=""):
        return self.verdicts.check(f"{self.transport}: {what}", holds, found)

    def go(self):
        client = registry_tools.go_tool(GO.format("client"))
        tls = ["-use_tls", "-use_test_ca", f"-ca_file={self.fleet.authority.ca_path}"] if self.secure else []
        for case in INTEROP:
            done = subprocess.run([client, "-server_host=localhost", f"-server_port={self.port}", f"-test_case={case}", *tls],
                                  capture_output=True, text=True, timeout=60)
            self.check(f"Go: {case}", done.returncode == 0, done.stderr[-600:])

    def python(self):
        done = subprocess.run([registry_tools.python(*PYTHON), os.path.join(PEERS, "grpc_client.py"), f"localhost:{self.port}",
                               self.fleet.authority.ca_path if self.secure else "-", *(["local"] if self.local else [])],
                              capture_output=True, text=True, timeout=300)
        if not self.check("Python: the client ran to its end", done.returncode == 0, done.stderr[-2000:]):
            return
        for case, wrong in json.loads(done.stdout).items():
            self.check(f"Python: {case}", not wrong, wrong)

    def grpcurl(self):
        program = [registry_tools.go_tool(GRPCURL), *(["-cacert", self.fleet.authority.ca_path] if self.secure else ["-plaintext"])]

        def call(*arguments):
            *options, what = arguments
            return subprocess.run([*program, *options, f"localhost:{self.port}", *what], capture_output=True, text=True, timeout=60)
        done = call(["list"])
        self.check("grpcurl: reflection lists", "grpc.health.v1.Health" in done.stdout.split(), done.stdout + done.stderr)
        done = call(["describe", "grpc.health.v1.Health"])
        self.check("grpcurl: reflection describes", "HealthCheckRequest" in done.stdout, done.stdout + done.stderr)
        done = call("-d", '{"service": "conformance.Echo"}', ["grpc.health.v1.Health/Check"])
        self.check("grpcurl: health", json.loads(done.stdout or "{}").get("status") == "SERVING", done.stdout + done.stderr)
        done = call("-d", '{"service": "nobody"}', ["grpc.health.v1.Health/Check"])
        self.check("grpcurl: an error", "NotFound" in done.stderr, done.stdout + done.stderr)

    def timeout(self):
        """grpc-timeout of a client that has no clock of its own."""
        import hpack
        name = b"timeout %d" % time.monotonic_ns()
        fields = [(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"300m")]
        scheme, began, found = (b"https" if self.secure else b"http"), time.monotonic(), {}
        block = h2_raw.request(b"POST", b"/conformance.Echo/Sleep", b"localhost", scheme, fields)
        with h2_raw.Connection(("127.0.0.1", self.port), self.secure, h2_raw.settings() + h2_raw.frame(h2_raw.SETTINGS, h2_raw.ACK)) as connection:
            connection.send(h2_raw.headers(1, block, end_stream=False)
                            + h2_raw.frame(h2_raw.DATA, h2_raw.END_STREAM, 1, b"\0" + struct.pack(">I", len(name)) + name))
            decoder = hpack.Decoder()
            while (frame := connection.read()) is not None:
                kind, flags, stream, payload = frame
                if kind == h2_raw.HEADERS and stream == 1:
                    found.update(decoder.decode(payload))
                if stream == 1 and (kind == h2_raw.RST_STREAM or (kind in (h2_raw.HEADERS, h2_raw.DATA) and flags & h2_raw.END_STREAM)):
                    break
        took = time.monotonic() - began
        self.check("grpc-timeout: DEADLINE_EXCEEDED by the proxy", (found.get(":status"), found.get("grpc-status")) == ("200", "4"), found)
        self.check("grpc-timeout: in time", 0.25 < took < 2, f"{took:.2f} s")

    def _web(self, method, message, text=False):
        """(HTTP status, messages, trailers) of a call of grpc-web."""
        tls = {"context": ssl.create_default_context(cafile=self.fleet.authority.ca_path)} if self.secure else {}
        connection = (http.client.HTTPSConnection if self.secure else http.client.HTTPConnection)("localhost", self.port, timeout=20, **tls)
        kind = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
        body = b"\0" + struct.pack(">I", len(message)) + message
        connection.request("POST", "/conformance.Echo/" + method, base64.b64encode(body) if text else body,
                           {"Content-Type": kind, "Accept": kind, "X-Grpc-Web": "1"})
        answer = connection.getresponse()
        got, right = answer.read(), answer.getheader("content-type", "").startswith(kind.split("+")[0])
        connection.close()
        if text:
            got = decode_pieces(got)
        messages, trailers = unframe(got)
        for name in ("grpc-status", "grpc-message"):
            if answer.getheader(name) is not None:
                trailers.setdefault(name, answer.getheader(name))
        return answer.status, right, messages, trailers.get("grpc-status")

    def web(self):
        for text in (False, True):
            what = "grpc-web-text" if text else "grpc-web"
            for method, message, wanted in (("Unary", b"hello", (200, True, [b"hello"], "0")), ("Unary", b"", (200, True, [b""], "0")),
                                            ("Unary", b"x" * 300_000, (200, True, [b"x" * 300_000], "0")),
                                            ("ServerStream", b"3 0", (200, True, [b"0:", b"1:", b"2:"], "0")), ("Fail", b"5 gone", (200, True, [], "5")),
                                            ("FailLate", b"", (200, True, [b"0", b"1", b"2"], "15")), ("Nothing", b"", (200, True, [], "12"))):
                try:
                    found = self._web(method, message, text)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    found = repr(error)
                self.check(f"{what}: {method} of {len(message)} bytes", found == wanted, str(found)[:300])


def decode_pieces(text):
    """Base64 that was encoded piece by piece, with padding in between."""
    out, piece = b"", b""
    for i in range(0, len(text), 4):
        piece = text[i:i + 4]
        out += base64.b64decode(piece, validate=True)
    return out


def unframe(data):
    """(messages, trailers) of a body of grpc-web."""
    messages, trailers = [], {}
    while data:
        if len(data) < 5:
            raise ValueError(f"half a frame: {data!r}")
        kind, length = data[0], struct.unpack(">I", data[1:5])[0]
        payload, data = data[5:5 + length], data[5 + length:]
        if len(payload) != length:
            raise ValueError("a frame cut short")
        if kind & 0x80:
            trailers.update((name.strip().lower(), value.strip()) for name, value in
                            (line.split(":", 1) for line in payload.decode().split("\r\n") if line))
        else:
            messages.append(payload)
    return messages, trailers


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=("portico", "nghttpx"), default="portico")
    options.add_argument("--transport", choices=("plain", "secure"), action="append")
    options = options.parse_args()
    registry_tools.run_with("tests.conformance.grpc_check", *registry_tools.HTTP2_PACKAGES)
    with Verdicts("grpc") as verdicts, support.Fleet() as fleet:
        servers = Servers(fleet)
        for transport in options.transport or ("plain", "secure"):
            make = portico if options.target == "portico" else nghttpx
            process, port = make(fleet, servers, transport == "secure")
            run = Run(verdicts, fleet, transport, port, options.target == "portico")
            for part in ("go", "python", "grpcurl") + (("timeout", "web") if options.target == "portico" else ()):
                getattr(run, part)()
                verdicts.say(f"{transport}: {part}: done")
            verdicts.check(f"{transport}: {options.target} lives", process.process.poll() is None, process.log())


if __name__ == "__main__":
    main()
