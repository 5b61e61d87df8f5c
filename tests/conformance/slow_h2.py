"""Clients of HTTP/2 that hold connections by being slow: what each sends at first, and what every half second after."""

import ssl
import struct
import time

from tests.conformance import h2_raw as h2

TICK = 0.5


class Mode:
    """`first(scheme)`: behind the preface and SETTINGS; `each`: every TICK; `window`: of streams; `reads`: whether it takes what is sent to it;
    `acknowledges`: the other side's SETTINGS.
    `deadline`: "header", "idle" or "route", of slow_check.py; `ends`: "stream" or "connection"."""

    def __init__(self, name, first, each, deadline, ends, reasons, window=65_535, reads=True, preface=h2.PREFACE,
                 acknowledges=True):
        self.name, self.first, self.each, self.deadline, self.ends, self.reasons = name, first, each, deadline, ends, reasons
        self.window, self.reads, self.preface, self.acknowledges = window, reads, preface, acknowledges


def _get(scheme, path=b"/length/4000000"):
    return h2.headers(1, h2.request(path=path, scheme=scheme))


def _post(scheme):
    return h2.headers(1, h2.request(b"POST", b"/echo/slow", scheme=scheme, more=[(b"content-length", b"1000")]), end_stream=False)


def _unfinished(scheme):
    return h2.headers(1, h2.request(scheme=scheme), end_headers=False)


def _many(scheme):
    return b"".join(h2.headers(stream, h2.request(path=b"/length/4000000", scheme=scheme)) for stream in range(1, 9, 2))


CUT = frozenset({"client_too_slow", "client_disconnected", "upstream_timeout"})

MODES = (
    Mode("slow preface", lambda _: b"", b"", "header", "connection", frozenset(), preface=h2.PREFACE[:10]),
    Mode("HEADERS that do not end", _unfinished, h2.frame(h2.CONTINUATION, stream=1, payload=b""), "header", "connection", frozenset()),
    Mode("HEADERS that stop midway", lambda scheme: _unfinished(scheme)[:20], b"", "header", "connection", frozenset()),
    Mode("SETTINGS not acknowledged", lambda _: b"", b"", "idle", "connection", frozenset(), acknowledges=False),
    Mode("nothing behind SETTINGS", lambda _: b"", b"", "idle", "connection", frozenset()),
    Mode("PING only", lambda _: b"", h2.frame(h2.PING, payload=b"12345678"), "idle", "connection", frozenset()),
    Mode("slow body", _post, h2.frame(h2.DATA, stream=1, payload=b"x"), "route", "stream", frozenset({"body_timeout", "client_disconnected"})),
    Mode("body that does not come", _post, b"", "header", "stream", frozenset({"body_timeout", "client_disconnected"})),
    Mode("window of zero", _get, b"", "header", "stream", CUT, window=0),
    Mode("window of zero with PING", _get, h2.frame(h2.PING, payload=b"12345678"), "header", "stream", CUT, window=0),
    Mode("window by bytes", _get, h2.window_update(1, 1), "route", "stream", CUT, window=0),
    Mode("responses unread", _many, b"", "route", "connection", CUT, window=1 << 24, reads=False),
)


class Client:
    def __init__(self, address, secure, mode):
        self.mode, self.ended, self.streams, self.closed, self.code = mode, 0.0, set(), False, None
        preface, h2.PREFACE = h2.PREFACE, mode.preface
        try:
            first = b"" if len(mode.preface) < 24 else h2.settings((h2.SETTINGS_INITIAL_WINDOW_SIZE, mode.window))
            first += h2.frame(h2.SETTINGS, h2.ACK) if first and mode.acknowledges else b""
            self.connection = h2.Connection(address, secure, first, receive_buffer=4096 if not mode.reads else 0)
        finally:
            h2.PREFACE = preface
        if mode.window > 65_535:
            self.connection.send(h2.window_update(0, 1 << 28))
        if mode.first(self.connection.scheme):
            self.connection.send(mode.first(self.connection.scheme))
        self.connection.socket.setblocking(False)
        self.began, self.received = time.monotonic(), b""

    @property
    def done(self):
        return self.closed or (self.mode.ends == "stream" and bool(self.streams))

    def note_end(self):
        if self.done and not self.ended:
            self.ended = time.monotonic() - self.began

    def send(self, data):
        try:
            self.connection.socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.closed = True
        self.note_end()

    def receive(self):
        try:
            while True:
                piece = self.connection.socket.recv(65_536)
                if not piece:
                    self.closed = True
                    break
                self.received += piece
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.closed = True
        self._frames()
        self.note_end()

    def _frames(self):
        while len(self.received) >= 9:
            length = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + length:
                return
            kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
            if kind == h2.GOAWAY:
                self.code = h2.code_name(struct.unpack(">I", self.received[13:17])[0])
            if kind == h2.RST_STREAM or (kind in (h2.DATA, h2.HEADERS) and flags & h2.END_STREAM):
                self.streams.add(stream)
            self.received = self.received[9 + length:]


def attack(address, secure, mode, count, limit, late):
    """(seconds until each client was ended, 0 for one that was not; codes of GOAWAY). One that does not read begins to after
    `limit` seconds: only then it can see that it was ended before."""
    clients, deadline = [], time.monotonic() + limit + late
    for _ in range(count):
        clients.append(Client(address, secure, mode))
    if not mode.reads:
        time.sleep(limit)
        for client in clients:
            client.began = time.monotonic() - limit
    while time.monotonic() < deadline and not all(client.done for client in clients):
        for client in clients:
            if not client.done:
                client.receive()
            if not client.done and mode.each:
                client.send(mode.each)
        time.sleep(TICK)
    for client in clients:
        client.connection.close()
    return [client.ended for client in clients], {client.code for client in clients if client.code}
