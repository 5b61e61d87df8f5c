"""Web servers of other people as upstreams: each says in x-seen what it saw, and writes one line for each request."""

import os
import signal
import socket

from tests.conformance import registry_tools
from tests.support import fleet as support

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


class _Parent(support.Process):
    """Has children, which it ends when it is asked to end."""

    def kill(self, with_signal=signal.SIGTERM):
        return super().kill(with_signal)


class RealServer:
    """Owned by a Fleet."""

    def __init__(self, fleet, name):
        self.name, self.port = name, support.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log_path = fleet.path(f"{name}.seen")
        with open(self.log_path, "w"):
            pass
        os.chmod(self.log_path, 0o666)
        self.process = fleet.add(_Parent(fleet.folder, name, getattr(self, "_" + name)(fleet)))
        support.wait_until(self._listens, f"{name} listening")

    def _listens(self):
        if self.process.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {self.process.log()}")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def seen(self):
        """Its lines: "METHOD target", or whatever the server says of a request that it refused."""
        with open(self.log_path, errors="replace") as f:
            return f.read().splitlines()

    def _nginx(self, fleet):
        config = fleet.write("nginx.conf", f"""
daemon off;
pid {fleet.path("nginx.pid")};
worker_processes 1;
error_log {fleet.path("nginx.error")};
events {{ worker_connections 512; }}
http {{
  log_format seen '$request_method $request_uri';
  access_log {self.log_path} seen;
  keepalive_timeout 60s;
  client_body_temp_path {fleet.path("body")};
  server {{
    listen {self.address};
    location / {{ add_header x-seen $request_uri always; return 200 "ok\\n"; }}
  }}
}}""")
        return [registry_tools.debian("nginx", "nginx-light"), "-c", config, "-e", fleet.path("nginx.error")]

    def _apache(self, fleet):
        program = registry_tools.debian("apache2", "apache2-bin")
        modules = "/usr/lib/apache2/modules"
        os.makedirs(fleet.path("htdocs"))
        with open(fleet.path("htdocs/index.html"), "w") as f:
            f.write("ok\n")
        config = fleet.write("apache.conf", f"""
ServerName localhost
ServerRoot {fleet.folder}
PidFile {fleet.path("apache.pid")}
Mutex file:{fleet.folder}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule headers_module {modules}/mod_headers.so
Listen {self.address}
User www-data
KeepAliveTimeout 60
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
DocumentRoot {fleet.path("htdocs")}
<Directory {fleet.path("htdocs")}>
  Require all granted
  FallbackResource /index.html
</Directory>
Header always set x-seen "expr=%{{THE_REQUEST}}"
LogFormat "%m %U%q" seen
CustomLog {self.log_path} seen
ErrorLog {fleet.path("apache.error")}
""")
        os.chmod(fleet.folder, 0o755)
        return [program, "-D", "FOREGROUND", "-f", config]

    def _node(self, _):
        return [registry_tools.debian("node", "nodejs"), os.path.join(PEERS, "echo_server.js"), str(self.port), self.log_path]

    def _gunicorn(self, _):
        python = registry_tools.python("gunicorn==23.0.0")
        return ["env", f"SEEN_LOG={self.log_path}", python, "-m", "gunicorn", "--chdir", PEERS, "--bind", self.address,
                "--worker-class", "gthread", "--threads", "4", "--keep-alive", "60", "--log-level", "error",
                "echo_app:application"]

    def _go(self, _):
        return [registry_tools.go_program(os.path.join(PEERS, "echo_server.go")), str(self.port), self.log_path]


NAMES = ("nginx", "apache", "node", "gunicorn", "go")
