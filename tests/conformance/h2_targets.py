"""What speaks HTTP/2 and can be attacked: Portico, and other people's servers to measure beside it.

Each target has an address in cleartext (`plain`) and one with TLS (`secure`), and answers GET / with 200 and a body.
"""

import os
import socket

from tests.conformance import registry_tools
from tests.support import fleet as support
from tests.support import tls_files

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"{more}}}
---
kind: Listener
name: https
spec: {{address: "127.0.0.1:0", tls: {{certificates: [main]}}{more}}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{endpoint}"}}], circuit_breaker: {{max_connections: 5000, max_requests: 5000}}, outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}], timeout: {timeout}}}
"""


class Target:
    """`processes` are those whose memory counts."""

    def __init__(self, name, plain, secure, process):
        self.name, self.plain, self.secure, self.process = name, plain, secure, process

    def rss_kib(self):
        """Of the process and its children."""
        return sum(_rss_kib(pid) for pid in [self.process.pid, *_children(self.process.pid)])

    def alive(self):
        return self.process.process.poll() is None

    def metrics(self):
        """What it says of itself; nothing where it is not Portico."""
        return self.process.metrics() if isinstance(self.process, support.Proxy) else {}


def _rss_kib(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return 0


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(child) for child in f.read().split()]
    except FileNotFoundError:
        return []


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def _ports(fleet, name, command, *ports):
    process = fleet.add(_Gentle(fleet.folder, name, command))
    for port in ports:
        support.wait_until(lambda port=port: listens(port) or process.process.poll() is not None, f"{name} listening")
    if process.process.poll() is not None:
        raise RuntimeError(f"{name} has ended: {process.log()}")
    return process


class _Gentle(support.Process):
    """Has children, which it ends when it is asked to end."""

    def kill(self, with_signal=15):
        return super().kill(with_signal)


def authority(fleet):
    """The fleet's own, made once."""
    if not hasattr(fleet, "authority"):
        fleet.authority = tls_files.Authority(fleet.path("pki"))
        fleet.localhost = fleet.authority.issue("localhost", "127.0.0.1")
    return fleet.authority


def portico(fleet, endpoint=None, workers=2, more="", secure=True, timeout="15s"):
    """`more`: YAML inside the spec of both listeners, from a comma on."""
    authority(fleet)
    endpoint = endpoint or fleet.echo("echo").addresses()["http"]
    text = CONFIG.format(endpoint=endpoint, more=more, timeout=timeout) + tls_files.certificate_yaml("main", fleet.localhost)
    if not secure:
        text = "\n---\n".join(part for part in text.split("\n---\n") if "name: https" not in part and "kind: Certificate" not in part)
    proxy = fleet.proxy("p1", config=fleet.write("portico.yaml", text), workers=workers, listeners=("http", "https") if secure else ("http",))
    proxy.wait_ready()
    return Target("portico", proxy.listener("http"), proxy.listener("https") if secure else None, proxy)


def _index(fleet):
    os.makedirs(fleet.path("htdocs"), exist_ok=True)
    os.chmod(fleet.folder, 0o755)
    with open(fleet.path("htdocs/index.html"), "w") as f:
        f.write("hello, this is the index page\n" * 4)
    return fleet.path("htdocs")


def nginx(fleet, name="nginx"):
    """With the defaults of its HTTP/2."""
    authority(fleet)
    plain, secure, http1 = support.free_port(), support.free_port(), support.free_port()
    pair = fleet.localhost
    config = fleet.write(f"{name}.conf", f"""
daemon off;
pid {fleet.path(name + ".pid")};
worker_processes 2;
error_log {fleet.path(name + ".error")};
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {fleet.path(name + "-body")};
  server {{
    listen 127.0.0.1:{plain} http2;
    listen 127.0.0.1:{secure} ssl http2;
    listen 127.0.0.1:{http1};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {pair.chain_path};
    ssl_certificate_key {pair.key_path};
    root {_index(fleet)};
    error_page 405 =200 /index.html;
  }}
}}""")
    process = _ports(fleet, name, [registry_tools.debian("nginx", "nginx-light"), "-c", config, "-e", fleet.path(name + ".error")],
                     plain, secure, http1)
    target = Target("nginx", ("127.0.0.1", plain), ("127.0.0.1", secure), process)
    target.http1 = http1
    return target


def nghttpx(fleet):
    """A proxy of nghttp2's authors, before nginx."""
    backend = nginx(fleet, "backend")
    plain, secure = support.free_port(), support.free_port()
    process = _ports(fleet, "nghttpx", [
        registry_tools.debian("nghttpx", "nghttp2-proxy"), "--conf=/dev/null", f"--frontend=127.0.0.1,{plain};no-tls", f"--frontend=127.0.0.1,{secure}",
        f"--backend=127.0.0.1,{backend.http1}", "--workers=2", "--accesslog-file=/dev/null", "--no-ocsp", fleet.localhost.key_path,
        fleet.localhost.chain_path], plain, secure)
    return Target("nghttpx", ("127.0.0.1", plain), ("127.0.0.1", secure), process)


def nghttpd(fleet):
    """A server of nghttp2's authors: one process for each address."""
    authority(fleet)
    program = registry_tools.debian("nghttpd", "nghttp2-server")
    plain, secure = support.free_port(), support.free_port()
    root = _index(fleet)
    process = _ports(fleet, "nghttpd", [program, "--no-tls", "-a", "127.0.0.1", "-d", root, str(plain)], plain)
    _ports(fleet, "nghttpd-tls", [program, "-a", "127.0.0.1", "-d", root, str(secure), fleet.localhost.key_path, fleet.localhost.chain_path], secure)
    return Target("nghttpd", ("127.0.0.1", plain), ("127.0.0.1", secure), process)


TARGETS = {"portico": portico, "nginx": nginx, "nghttpx": nghttpx, "nghttpd": nghttpd}
