"""The scenarios g to j: TLS and HTTP/2."""

import json
import os
import socket
import ssl
import subprocess
import time

from tests.bench.suite import load, machine, rounds, scenarios, servers

PEERS = ("haproxy", "nginx", "envoy")
# Connections of g, and of h at once.
KEEP_ALIVE, HANDSHAKES = 64, 32
# Of i.
H2_CONNECTIONS, H2_STREAMS = 16, 32
# Of j.
RESTING = 2000
_SERVER_NAME = "api.example.com"
_REST_SECONDS = 2


class Certificate:
    """A certificate on P-256 that signs itself, and what the configurations need of it."""

    def __init__(self, folder):
        self.chain_file, self.key_file, self.pair_file = (
            os.path.join(folder, name) for name in ("chain.pem", "key.pem", "pair.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={_SERVER_NAME}", "-addext", f"subjectAltName=DNS:{_SERVER_NAME}", "-keyout", self.key_file,
             "-out", self.chain_file], check=True, capture_output=True)
        self.chain, self.key = _read(self.chain_file), _read(self.key_file)
        with open(self.pair_file, "w") as f:
            f.write(self.chain + self.key)

    def values(self):
        """For the configurations; texts as YAML writes them in one line."""
        return {"CHAIN_FILE": self.chain_file, "KEY_FILE": self.key_file, "PAIR": self.pair_file,
                "CHAIN": json.dumps(self.chain), "KEY": json.dumps(self.key)}


def _read(path):
    with open(path) as f:
        return f.read()


def _start(bench, subjects):
    """Servers with a cleartext and a TLS port."""
    certificate = Certificate(bench.folder("tls"))
    return bench.start_all(subjects, "tls", tls=True, **certificate.values())


def keep_alive(bench):
    """g: what TLS adds to a small request over connections that stay."""
    return _measured(bench, [("plain", KEEP_ALIVE, {}), ("TLS", KEEP_ALIVE, {"tls": True})], "g")


def handshakes(bench):
    """h: a connection with a whole handshake for each request."""
    return _measured(bench, [("handshake", HANDSHAKES, {"tls": True, "close": True})], "h")


def _measured(bench, loads, scenario):
    running = _start(bench, bench.wanted(PEERS))
    rows = []
    try:
        for variant, connections, options in loads:
            rows += bench.rows([scenarios.Case(scenario, variant, server, connections, **options) for server in running])
    finally:
        scenarios.stop_all(running)
    return rows


def http2(bench):
    """i: HTTP/2 over TLS, many streams on few connections; HTTP/1.1 to the upstream."""
    if not bench.programs.get("h2load"):
        bench.failures.append("i: no h2load: tools/setup.sh installs nghttp2-client")
        return []
    running = _start(bench, bench.wanted(PEERS))
    try:
        cases = [scenarios.Case("i", f"h2 over TLS, {H2_STREAMS} streams each", server, H2_CONNECTIONS, tls=True) for server in running]
        cases = [case for case in cases if bench.options.only in case.load() and _speaks_http2(bench, case)]
        found = rounds.interleave(cases, bench.options.rounds, lambda case: _h2_window(bench, case), bench.say_round,
                                  most_extra=bench.options.extra_rounds)
        return [bench.row(case, found[case]) for case in cases]
    finally:
        scenarios.stop_all(running)


def _speaks_http2(bench, case):
    try:
        Http2Connections(case.server.tls_port, 1).close()
        return True
    except (load.LoadError, OSError) as error:
        bench.failures.append(f"{case.name()}: {error}")
        return False


def _h2_window(bench, case):
    """h2load tells no quantiles of latency."""
    options, server = bench.options, case.server
    pids = server.pids
    report = load.around(
        bench.programs["bench_around"], options.load_core, [*pids, bench.upstream.pid, *bench.extra_pids],
        [bench.programs["h2load"], "-c", str(H2_CONNECTIONS), "-m", str(H2_STREAMS), "-D", f"{1000 * options.seconds:.0f}ms",
         "--npn-list=h2", f"https://127.0.0.1:{server.tls_port}/"], options.seconds + 60)
    report.update(load.h2load_figures(report["output"], report["seconds"]))
    return rounds.figures(report, pids, server.rss_kib())


def idle(bench):
    """j: memory of connections that rest after one request, over TLS with HTTP/1.1 and with HTTP/2."""
    rows = []
    certificate = Certificate(bench.folder("tls"))
    for variant in ("idle TLS", "idle h2 over TLS"):
        if bench.options.only not in variant:
            continue
        for subject in bench.wanted(PEERS):
            for server in bench.start_all([subject], "tls", tls=True, **certificate.values()):
                try:
                    before, after = _rest(bench, server, variant)
                except (load.LoadError, OSError) as error:
                    bench.failures.append(f"j {server.label}, {variant}: {error}")
                    continue
                finally:
                    server.stop()
                rows.append({
                    "scenario": "j", "variant": variant, "server": server.name, "engine": server.engine,
                    "connections": RESTING, **dict.fromkeys(rounds.FIGURES), "rss_kib": after, "rss_before_kib": before,
                    "kib_per_connection": (after - before) / RESTING, "rounds": 1})
                bench.say(f"j {variant:17} {server.label:14} {(after - before) / RESTING:8.2f} KiB/connection")
    return rows


def _rest(bench, server, variant):
    """(KiB before, KiB with the connections)"""
    options = bench.options
    # So that what every server sets up with its first requests is not counted.
    load.run(options.load_tool, options.load_core, server.tls_port, [], 0.5, load.TOUCHED_AT_ONCE, tls=True)
    if variant != "idle TLS":
        Http2Connections(server.tls_port, 64).close()
    time.sleep(_REST_SECONDS)
    before = server.rss_kib()
    if variant == "idle TLS":
        connections = load.IdleConnections(options.load_tool, options.load_core, server.tls_port, RESTING, tls=True)
    else:
        connections = Http2Connections(server.tls_port, RESTING)
    try:
        time.sleep(_REST_SECONDS)
        return before, server.rss_kib()
    finally:
        connections.close()


# Frames of RFC 9113.
_DATA, _HEADERS, _SETTINGS, _GOAWAY = 0, 1, 4, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def _frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


# GET https / from the static table, and the authority as a literal that no table keeps (RFC 7541).
_GET = b"\x82\x87\x84\x01" + bytes((len(_SERVER_NAME),)) + _SERVER_NAME.encode()
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0) + _frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, _GET)


class Http2Connections:
    """`count` connections that have each served a request."""

    def __init__(self, port, count):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        self._sockets = []
        machine.raise_file_limit()
        try:
            for _ in range(count):
                self._sockets.append(self._open(context, port))
        except OSError:
            self.close()
            raise

    @staticmethod
    def _open(context, port):
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(plain, server_hostname=_SERVER_NAME)
        if connection.selected_alpn_protocol() != "h2":
            raise load.LoadError("the server does not choose h2")
        connection.sendall(_HELLO)
        data, acknowledged = b"", False
        while True:
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                size, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
                stream = int.from_bytes(data[5:9], "big")
                data = data[9 + size:]
                if kind == _SETTINGS and not flags & _ACK:
                    connection.sendall(_frame(_SETTINGS, _ACK, 0))
                    acknowledged = True
                elif kind == _GOAWAY:
                    raise load.LoadError("the server said GOAWAY")
                elif stream == 1 and kind in (_DATA, _HEADERS) and flags & _END_STREAM and acknowledged:
                    return connection
            more = connection.recv(16384)
            if not more:
                raise load.LoadError("the server closed a connection")
            data += more

    def close(self):
        for connection in self._sockets:
            connection.close()
