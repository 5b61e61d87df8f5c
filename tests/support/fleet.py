"""Starts Portico's programs, and what stands around them, on free loopback ports.

Everything started here is ended by stop(), by process id. `Fleet` is a context manager:

    with Fleet() as fleet:
        control = fleet.control_plane()
        proxy = fleet.proxy("p1", control=control)
        fleet.apply(control, YAML)
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

_ROOT = os.environ.get("PORTICO_BIN_ROOT", "")


def binary(path):
    """A built program: from the runfiles in a test, from bazel-bin otherwise."""
    for root in (_ROOT, "", "bazel-bin"):
        candidate = os.path.join(root, path) if root else path
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return os.path.abspath(candidate)
    raise FileNotFoundError(f"{path}: build it first (bazel build --config=opt //...)")


ONE_ROUTE = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{endpoint}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}], timeout: {timeout}}}
"""


# The beginning of many a configuration, for str.format(): a listener whose access log Fleet.access_log() reads.
LOGGED_LISTENER = """kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/access.log"}}
---
"""


def one_route(endpoint, timeout="15s"):
    """Resources that send every request to one endpoint."""
    return ONE_ROUTE.format(endpoint=endpoint, timeout=timeout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, seconds=20.0):
    """Polls until condition() is true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.01)


def http_get(url, timeout=5.0):
    """(status, body) without raising for 4xx and 5xx; (0, reason) if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def io_engine_of(metrics):
    """The event engine, and why it is not io_uring ("" if nothing kept the proxy from it)."""
    found = re.findall(r'^portico_io_engine_info\{engine="(\w+)",fallback_reason="(\w*)"\} 1$', metrics, re.MULTILINE)
    if len(found) != 1:
        raise RuntimeError(metrics)
    return found[0]


class Process:
    """One program, its log, and the addresses that it wrote to its address file."""

    def __init__(self, folder, name, command, address_file=None):
        self.name, self.command, self.address_file = name, command, address_file
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None
        self.start()

    def start(self):
        if self.address_file and os.path.exists(self.address_file):
            os.unlink(self.address_file)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        if self.address_file:
            wait_until(self._started, f"{self.name} writing its addresses")

    def _started(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} exited with {self.process.returncode}: {self.log()}")
        return os.path.exists(self.address_file)

    def addresses(self):
        with open(self.address_file) as f:
            return dict(line.strip().split("=", 1) for line in f if "=" in line)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-4000:]

    def kill(self, with_signal=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process

    def terminate(self, seconds=60):
        """SIGTERM, and the exit code."""
        self.kill(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def fds(self):
        """Open descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pipe_ends(self):
        """Of those, ends of pipes."""
        count = 0
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                count += os.readlink(f"/proc/{self.pid}/fd/{fd}").startswith("pipe:")
            except FileNotFoundError:
                pass  # Closed meanwhile.
        return count

    def sanitized(self):
        """Whether AddressSanitizer is in it."""
        with open(f"/proc/{self.pid}/maps") as f:
            return "libasan" in f.read()

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise RuntimeError("no VmRSS")


class Proxy(Process):
    def admin(self, path="/ready"):
        return http_get(f"http://{self.addresses()['admin']}{path}")

    def metrics(self):
        """Value by series, as /metrics writes it: name, or name{label="value"}."""
        status, text = self.admin("/metrics")
        if status != 200:
            raise RuntimeError(f"/metrics of {self.name}: {status} {text}")
        return {series: float(value) for series, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")}

    def io_engine(self):
        return io_engine_of(self.admin("/metrics")[1])

    def wait_ready(self, seconds=20.0):
        wait_until(lambda: self.admin("/ready")[0] == 200, f"{self.name} being ready: {self.log()}", seconds)

    def listener(self, name="http"):
        host, port = self.addresses()[f"listener.{name}"].rsplit(":", 1)
        return host, int(port)


class Fleet:
    """Owns a folder and processes."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="portico-fleet-")
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def access_log(self, name="access.log"):
        """Its records so far."""
        with open(self.path(name)) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def add(self, process):
        self.processes.append(process)
        return process

    def echo(self, name):
        """The demo service; its address is addresses()["http"]."""
        file = self.path(f"{name}.addresses")
        return self.add(Process(self.folder, name, [
            binary("tools/demo/echo_service"), "--address", "127.0.0.1:0", "--name", name,
            "--address-file", file], file))

    def control_plane(self, *more, grpc_port=None, metrics_port=None):
        # Fixed ports, so that a restart finds its proxies again.
        file = self.path("control.addresses")
        return self.add(Process(self.folder, "control", [
            binary("controlplane/portico_control"), "--insecure",
            "--grpc-address", f"127.0.0.1:{grpc_port or free_port()}",
            "--metrics-address", f"127.0.0.1:{metrics_port or free_port()}",
            "--store", self.path("control.db"), "--address-file", file, *more], file))

    def cache_key(self):
        path = self.path("cache.key")
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.write(os.urandom(32))
            os.chmod(path, 0o600)
        return path

    def proxy(self, name, *more, control=None, config=None, workers=2, listeners=("http",),
              binary_path=None, launcher=(), io_engine=None):
        """`launcher`: a command that starts the proxy with its arguments. `io_engine`: of --io-engine; default:
        PORTICO_IO_ENGINE of the environment, or what the proxy takes by itself."""
        file = self.path(f"{name}.addresses")
        cache = self.path(f"{name}.cache")
        os.makedirs(cache, exist_ok=True)
        command = [*launcher, binary_path or binary("dataplane/portico_proxy"), "--node-id", name,
                   "--admin-address", f"127.0.0.1:{free_port()}", "--workers", str(workers),
                   "--address-file", file]
        for listener in listeners:
            command += ["--listener-address", f"{listener}=127.0.0.1:{free_port()}"]
        io_engine = io_engine or os.environ.get("PORTICO_IO_ENGINE")
        if io_engine:
            command += ["--io-engine", io_engine]
        if config:
            command += ["--config", config]
        if control:
            command += ["--control-plane", control.addresses()["grpc"], "--insecure",
                        "--cache-dir", cache, "--cache-key-file", self.cache_key()]
        return self.add(Proxy(self.folder, name, command + list(more), file))

    def ctl(self, control, *arguments, check=True, stdin=None):
        """porticoctl; returns the completed process with text output."""
        done = subprocess.run(
            [binary("tools/porticoctl/porticoctl"), *arguments, "--server",
             control.addresses()["grpc"], "--insecure"],
            capture_output=True, text=True, input=stdin, timeout=120)
        if check and done.returncode != 0:
            raise RuntimeError(f"porticoctl {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def apply(self, control, yaml, *more, check=True):
        return self.ctl(control, "apply", "-f", "-", *more, check=check, stdin=yaml)

    def haproxy(self, proxies, listener="http"):
        """TCP mode with PROXY v2, health checks on the proxies' /ready."""
        port = free_port()
        servers = "".join(
            "    server {name} {host}:{port} send-proxy-v2 check port {admin} inter 100ms fastinter 50ms "
            "downinter 100ms rise 1 fall 1\n".format(
                name=p.name, host=p.listener(listener)[0], port=p.listener(listener)[1],
                admin=p.addresses()["admin"].rsplit(":", 1)[1]) for p in proxies)
        config = self.write("haproxy.cfg", f"""
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    retries 3
    option redispatch 1
frontend in
    bind 127.0.0.1:{port}
    default_backend proxies
backend proxies
    balance roundrobin
    option httpchk GET /ready
    http-check expect status 200
{servers}""")
        process = self.add(Process(self.folder, "haproxy", ["/usr/sbin/haproxy", "-db", "-f", config]))

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, "haproxy listening")
        return process, port
