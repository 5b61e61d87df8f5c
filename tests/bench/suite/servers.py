"""Starts the servers under test from the configurations in tests/bench/peers."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from tests.bench.suite import machine

PEERS_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers")

# Portico on io_uring that gathers, as an engine of its own.
GATHERING, GATHER_MICROS = "gather", 200
PORTICO = "portico"
# In the order of the tables.
PEERS = ("haproxy", "nginx", "envoy", "traefik", "caddy", "node")

_START_SECONDS = 90  # 100,000 routes take some of them long


class StartError(RuntimeError):
    """A server did not come up."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fill(template, values):
    """Replaces @NAME@; everything in `values` must be text or a number."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template


class Server:
    """A running server. `pids` is what its CPU time and memory are summed over."""

    def __init__(self, name, engine, process, port, log_path, folder):
        self.name, self.engine, self.process = name, engine, process
        self.port, self.log_path, self.folder = port, log_path, folder
        self.tls_port = None
        self.whole_tree = False
        self.values = {}

    @property
    def label(self):
        return f"{self.name} {self.engine}" if self.engine else self.name

    @property
    def pids(self):
        return machine.tree(self.process.pid) if self.whole_tree else [self.process.pid]

    def rss_kib(self):
        return machine.rss_kib(self.pids)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-3000:]

    def wait_until_it_answers(self, path="/", headers=()):
        """Until a request gets any answer that the upstream or a policy gave."""
        deadline = time.monotonic() + _START_SECONDS
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers))
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5) as reply:
                    if reply.status == 200:
                        return
            except OSError as error:
                if self.process.poll() is not None:
                    raise StartError(f"{self.label} exited with {self.process.returncode}: {self.log()}") from error
                if time.monotonic() > deadline:
                    raise StartError(f"{self.label} does not answer: {error}: {self.log()}") from error
            time.sleep(0.05)

    def truncate_logs(self):
        """Access logs of a measured window are not kept: they lie in memory. Returns their size."""
        size = 0
        for name in os.listdir(self.folder):
            if name.endswith(".log"):
                path = os.path.join(self.folder, name)
                size += os.path.getsize(path)
                os.truncate(path, 0)
        return size

    def get(self, path, headers=()):
        """(status, header fields) of one request."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status, reply.headers
        except urllib.error.HTTPError as error:
            return error.code, error.headers

    def stop(self):
        pids = machine.tree(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


class Starter:
    """Starts servers with what one run of the benchmark has: programs, cores, a scratch folder, the upstream.

    `programs`: name to path, of Portico's binaries and of the peers; `node` also needs `node_modules`.
    """

    def __init__(self, programs, folder, proxy_core, upstream_port):
        self.programs, self.folder, self.proxy_core = programs, folder, proxy_core
        self.upstream_port = upstream_port
        self._started = 0

    def start(self, name, engine="", kind="plain", files=None, tls=False, **values):
        """`kind` names the configuration: peers/NAME/KIND.*. `files`: more files to write beside it,
        {name: text}. `values` fill its @NAMES@, besides @PORT@, @UPSTREAM_PORT@ and @DIR@, and @TLS_PORT@ with `tls`.
        """
        folder, port = self._new_folder(f"{name}{engine}-{kind}"), free_port()
        values = {**values, "PORT": port, "UPSTREAM_PORT": self.upstream_port, "DIR": folder}
        if tls:
            values["TLS_PORT"] = free_port()
        for file_name, text in (files or {}).items():
            with open(os.path.join(folder, file_name), "w") as f:
                f.write(text)
        config = self._write_config(name, kind, folder, values)
        command, environment = self._command(name, engine, config, folder, port)
        server = self._spawn(name, engine, command, environment, folder, port)
        server.whole_tree = kind == "change"
        server.values = values
        server.tls_port = values.get("TLS_PORT")
        return server

    def start_portico(self, engine, flags):
        """A proxy that gets its configuration otherwise than from a file."""
        folder, port = self._new_folder(f"portico{engine}"), free_port()
        command = self._portico_command(engine, port) + flags
        return self._spawn(PORTICO, engine, command, {}, folder, port)

    def rewrite(self, server, kind, **values):
        """Writes the configuration of a running server anew, with other values."""
        server.values.update(values)
        self._write_config(server.name, kind, server.folder, server.values)

    def text(self, name, kind, **values):
        """A configuration as text."""
        folder = self._new_folder(f"{name}-text")
        path = self._write_config(name, kind, folder, {**values, "UPSTREAM_PORT": self.upstream_port})
        with open(path) as f:
            return f.read()

    def _new_folder(self, name):
        self._started += 1
        folder = os.path.join(self.folder, f"{self._started:02}-{name}")
        os.makedirs(folder)
        return folder

    def _spawn(self, name, engine, command, environment, folder, port):
        log_path = os.path.join(folder, "server.log")
        with open(log_path, "ab") as log:
            process = subprocess.Popen(machine.pinned(self.proxy_core, command), stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, env={**os.environ, **environment})
        return Server(name, engine, process, port, log_path, folder)

    def _write_config(self, name, kind, folder, values):
        """Fills KIND.* and what belongs to it, KIND-*; returns the path of the former."""
        source = os.path.join(PEERS_FOLDER, name)
        main_config = None
        for file_name in sorted(os.listdir(source)):
            if not file_name.startswith((f"{kind}.", f"{kind}-")):
                continue
            with open(os.path.join(source, file_name)) as f:
                text = fill(f.read(), values)
            with open(os.path.join(folder, file_name), "w") as f:
                f.write(text)
            if file_name.startswith(f"{kind}."):
                main_config = os.path.join(folder, file_name)
        if main_config is None:
            raise StartError(f"{name} has no configuration {kind}")
        return main_config

    def _command(self, name, engine, config, folder, port):
        program = self.programs[name]
        if name == PORTICO:
            return self._portico_command(engine, port) + ["--config", config], {}
        if name == "haproxy":
            master = ["-W"] if os.path.basename(config).startswith("change") else []
            return [program, *master, "-db", "-f", config], {}
        if name == "nginx":
            return [program, "-c", config, "-e", "stderr", "-p", folder], {}
        if name == "envoy":
            return [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error",
                    "--use-dynamic-base-id"], {}
        if name == "traefik":
            return [program, f"--configFile={config}"], {"GOMAXPROCS": "1"}
        if name == "caddy":
            return [program, "run", "--config", config, "--adapter", "caddyfile"], {
                "GOMAXPROCS": "1", "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        if name == "node":
            return [program, config], {"NODE_PATH": self.programs["node_modules"], "NODE_ENV": "production"}
        raise ValueError(f"no server is called {name}")

    def _portico_command(self, engine, port):
        command = [self.programs[PORTICO], "--workers", "1", "--admin-address", f"127.0.0.1:{free_port()}",
                   "--node-id", f"bench-{engine}", "--listener-address", f"http=127.0.0.1:{port}"]
        if engine == GATHERING:
            command += ["--io-engine=uring", f"--io-gather-micros={GATHER_MICROS}"]
        elif self.programs.get("portico_has_engines"):
            command.append(f"--io-engine={engine}")
        return command
