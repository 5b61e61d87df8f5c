"""Everything that runs: control plane, proxies, balancer, Prometheus, demo services."""

import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import urllib.request

from processes import Process, QuickstartError, stop_all, wait_for

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SERVICES = ("users-1", "users-2", "orders", "products", "payments")
PROXIES = ("proxy-1", "proxy-2")
PROGRAMS = {
    "control": "controlplane/portico_control",
    "proxy": "dataplane/portico_proxy",
    "ctl": "tools/porticoctl/porticoctl",
    "echo": "tools/demo/echo_service",
}
ISSUER = "https://issuer.example.com"
AUDIENCE = "portico-demo"


def split_address(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Stack:
    """Starts and stops; knows every address. `folder` keeps stores, logs and caches."""

    def __init__(self, folder, binaries, workers=None):
        self.folder = os.path.abspath(folder)
        self.binaries = os.path.abspath(binaries)
        self.workers = workers or os.cpu_count()
        self.processes = {}
        self.gateway = self.prometheus = self.token = self.api_key = ""
        self._ports = {}
        for name in ("logs", "run", "store", "keys", "prometheus/targets"):
            os.makedirs(self.path(name), exist_ok=True)
        self._lock = open(self.path("lock"), "w", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise QuickstartError(f"{folder} is in use by another copy; give another --state-dir") from error
        for program in PROGRAMS.values():
            if not os.access(self.program(program), os.X_OK):
                raise QuickstartError(f"{self.program(program)} is missing; build it, or leave --binaries out")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def program(self, name):
        return os.path.join(self.binaries, name)

    # Starting.

    def _add(self, name, command, **options):
        process = Process(self.folder, name, command, **options)
        self.processes[name] = process
        return process.start()

    def start_services(self):
        for name in SERVICES:
            self._add(name, [self.program(PROGRAMS["echo"]), "--address", "127.0.0.1:0", "--name", name,
                             "--address-file", self.path("run", f"{name}.addresses")])
        for name in SERVICES:
            self.processes[name].address("http")

    def start_control_plane(self):
        """Again on its former ports, if it ran before."""
        grpc = self._ports.get("control.grpc", "127.0.0.1:0")
        metrics = self._ports.get("control.metrics", "127.0.0.1:0")
        control = self._add("control", [
            self.program(PROGRAMS["control"]), "--insecure", "--grpc-address", grpc,
            "--metrics-address", metrics, "--store", self.path("store", "portico.db"),
            "--address-file", self.path("run", "control.addresses")])
        for key in ("grpc", "metrics"):
            self._ports[f"control.{key}"] = control.address(key)

    def start_proxy(self, name):
        """Again on its former ports, if it ran before; ready later."""
        key_file = self.path("keys", f"{name}.cache-key")
        if not os.path.exists(key_file):
            with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
        os.makedirs(self.path("cache", name), exist_ok=True)
        process = self._add(name, [
            self.program(PROGRAMS["proxy"]), "--node-id", name, "--insecure",
            "--control-plane", self._ports["control.grpc"],
            "--admin-address", self._ports.get(f"{name}.admin", "127.0.0.1:0"),
            "--listener-address", "http=" + self._ports.get(f"{name}.http", "127.0.0.1:0"),
            "--workers", self.workers, "--cache-dir", self.path("cache", name),
            "--cache-key-file", key_file, "--drain-grace", "2s", "--label", "place=quickstart",
            "--address-file", self.path("run", f"{name}.addresses")])
        self._ports[f"{name}.admin"] = process.address("admin")

    def learn_listeners(self):
        """The listeners' ports, known once a revision is live."""
        for name in PROXIES:
            self._ports[f"{name}.http"] = self.processes[name].address("listener.http")

    def learn_https(self):
        """The proxies' ports of the listener `https`, once it is live."""
        for name in PROXIES:
            self._ports[f"{name}.https"] = self.processes[name].address("listener.https")

    def start_balancer(self):
        # HAProxy takes over a socket that is already bound, so that the port is free for sure.
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.gateway = "127.0.0.1:%d" % listener.getsockname()[1]
        environment = {"PORTICO_BIND": f"fd@{listener.fileno()}"}
        for number, name in enumerate(PROXIES, start=1):
            host, port = split_address(self.admin(name))
            environment[f"PORTICO_PROXY_{number}"] = self.proxy_http(name)
            environment[f"PORTICO_ADMIN_{number}"] = host
            environment[f"PORTICO_ADMIN_PORT_{number}"] = str(port)
        haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
        process = self._add("haproxy", [haproxy, "-db", "-f", os.path.join(ROOT, "deploy/haproxy/haproxy.cfg")],
                  environment=environment, pass_fds=(listener.fileno(),))
        listener.close()
        wait_for(lambda: self._balances(process), f"HAProxy serving (log: {process.log})")

    def _balances(self, process):
        if not process.alive():
            raise QuickstartError(f"HAProxy ended at once; see {process.log}:\n{process.tail()}")
        try:
            with urllib.request.urlopen(f"http://{self.gateway}/healthz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def start_prometheus(self):
        for name in ("prometheus.yml", "portico.rules.yml"):
            shutil.copy(os.path.join(ROOT, "deploy/prometheus", name), self.path("prometheus", name))
        targets = {"control": [self._ports["control.metrics"]],
                   "proxies": [self.admin(name) for name in PROXIES]}
        for name, addresses in targets.items():
            with open(self.path("prometheus", "targets", f"{name}.json"), "w", encoding="utf-8") as file:
                json.dump([{"targets": addresses}], file)
        # Series of a former run, which had other ports, would stay in answers for minutes.
        shutil.rmtree(self.path("prometheus", "data"), ignore_errors=True)
        process = self._add("prometheus", [
            "prometheus", "--config.file", self.path("prometheus", "prometheus.yml"),
            "--storage.tsdb.path", self.path("prometheus", "data"),
            "--web.listen-address", "127.0.0.1:0"])
        self.prometheus = wait_for(lambda: self._prometheus_address(process),
                                   f"Prometheus listening (log: {process.log})")

    @staticmethod
    def _prometheus_address(process):
        """It does not log the port it got: the kernel knows."""
        if not process.alive():
            raise QuickstartError(f"Prometheus ended at once; see {process.log}:\n{process.tail()}")
        inodes = set()
        for fd in os.listdir(f"/proc/{process.pid}/fd"):
            try:
                match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{process.pid}/fd/{fd}"))
            except FileNotFoundError:
                continue
            if match:
                inodes.add(match.group(1))
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                fields = line.split()
                listening = fields[3] == "0A"
                if listening and fields[9] in inodes:
                    return "127.0.0.1:%d" % int(fields[1].split(":")[1], 16)
        return None

    # Addresses.

    def admin(self, name):
        return self._ports[f"{name}.admin"]

    def proxy_http(self, name):
        return self._ports[f"{name}.http"]

    def proxy_https(self, name):
        return self._ports[f"{name}.https"]

    @staticmethod
    def require_file(path, output):
        if not os.path.exists(path):
            raise QuickstartError(f"{path} was not made: {output}")

    @property
    def control_grpc(self):
        return self._ports["control.grpc"]

    def write_env(self):
        """DIR/env, for `source DIR/env`."""
        values = {"GATEWAY_HTTP": self.gateway}
        for number, name in enumerate(PROXIES, start=1):
            values[f"PROXY_HTTP_{number}"] = self.proxy_http(name)
            values[f"PROXY_ADMIN_{number}"] = self.admin(name)
            if f"{name}.https" in self._ports:
                values[f"PROXY_HTTPS_{number}"] = self.proxy_https(name)
        values.update(CONTROL_GRPC=self.control_grpc, CONTROL_METRICS=self._ports["control.metrics"],
                      PROMETHEUS=self.prometheus, TOKEN=self.token, API_KEY=self.api_key,
                      PORTICO_SERVER=self.control_grpc, PORTICO_INSECURE="1",
                      PORTICOCTL=self.program(PROGRAMS["ctl"]))
        for name, process in self.processes.items():
            kind, _, number = name.upper().rpartition("-")
            values[f"{kind}_PID_{number}" if kind else f"{number}_PID"] = process.pid
        lines = [f"{name}={shlex.quote(str(value))}" for name, value in values.items()]
        # For porticoctl these must reach programs, too.
        lines.append("export PORTICO_SERVER PORTICO_INSECURE")
        temporary = self.path("env.new")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(temporary, self.path("env"))

    # Using it.

    def ctl(self, *arguments, check=True, stdin=None):
        """Runs porticoctl; the finished process, output as text."""
        command = [self.program(PROGRAMS["ctl"]), *arguments]
        environment = {**os.environ, "PORTICO_INSECURE": "1"}
        if "control.grpc" in self._ports:
            environment["PORTICO_SERVER"] = self.control_grpc
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120,
                              env=environment, check=False)
        if check and done.returncode != 0:
            raise QuickstartError(
                f"porticoctl {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def stop(self):
        stop_all(list(self.processes.values()))
