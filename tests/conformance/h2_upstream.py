"""A server of HTTP/2 that breaks its rules: the path of a request says how."""

import collections
import socket
import struct

import hpack

from tests.conformance import h2_raw as h2
from tests.support.tcp_server import TcpServer

COUNT = 200_000
OK = b"\x88"  # :status 200


def fields(*pairs):
    return b"".join(h2.literal(name, value) for name, value in pairs)


def answer(stream, block=OK, body=b"hello", end=True):
    return h2.headers(stream, block, end_stream=False) + h2.frame(h2.DATA, h2.END_STREAM if end else 0, stream, body)


def status(text, *more):
    return lambda stream, _: answer(stream, fields((b":status", text), *more))


def field(name, value):
    return lambda stream, _: answer(stream, OK + h2.literal(name, value))


def flood(piece):
    """Behind a response whose body does not end."""
    return lambda stream, _: answer(stream, end=False) + piece(stream) * COUNT


def _large_head(stream, _):
    piece = h2.literal(b"x", b"y" * 16_000)
    return (h2.headers(stream, OK + piece, end_stream=False, end_headers=False) + h2.frame(h2.CONTINUATION, stream=stream, payload=piece) * 64
            + h2.frame(h2.CONTINUATION, h2.END_HEADERS, stream) + h2.frame(h2.DATA, h2.END_STREAM, stream, b"hello"))


def _first_refused(code):
    return lambda stream, seen: h2.rst_stream(stream, code) if seen == 1 else answer(stream)


def _first_goaway(stream, seen):
    # Not processed: whoever asked may ask again, elsewhere.
    return h2.frame(h2.GOAWAY, payload=struct.pack(">II", max(0, stream - 2), 0)) if seen == 1 else answer(stream)


def _trailers(*pairs, end=True):
    return lambda stream, _: answer(stream, end=False) + h2.headers(stream, fields(*pairs), end_stream=end)


# What the client in front is to see: a status; CUT: the response has begun and is not whole.
CUT = "cut"
BAD = frozenset({502, CUT})

CASES = {
    "ok": (status(b"200"), {200}),
    "informational before": (lambda stream, _: h2.headers(stream, fields((b":status", b"103"), (b"link", b"</x>")), end_stream=False) + answer(stream), {200}),
    "value with CR LF": (field(b"x", b"a\r\n\r\nHTTP/1.1 200 OK"), {502}),
    "value with LF": (field(b"x", b"a\nset-cookie: b"), {502}),
    "value with NUL": (field(b"x", b"a\0b"), {502}),
    "name in upper case": (field(b"X-Upper", b"a"), {502}),
    "name with a colon": (field(b"x:y", b"a"), {502}),
    "name with a space": (field(b"x y", b"a"), {502}),
    "name with CR LF": (field(b"x\r\ny", b"a"), {502}),
    "name empty": (field(b"", b"a"), {502}),
    "connection": (field(b"connection", b"close"), {502}),
    "transfer-encoding": (field(b"transfer-encoding", b"chunked"), {502}),
    "upgrade": (field(b"upgrade", b"h2c"), {502}),
    "no status": (lambda stream, _: answer(stream, fields((b"x", b"y"))), {502}),
    "status twice": (status(b"200", (b":status", b"200")), {502}),
    "status of letters": (status(b"abc"), {502}),
    "status of two digits": (status(b"20"), {502}),
    "status of four digits": (status(b"2000"), {502}),
    "status 099": (status(b"099"), {502}),
    "status 101": (status(b"101"), {502}),
    "status empty": (status(b""), {502}),
    "status behind a field": (lambda stream, _: answer(stream, fields((b"x", b"y"), (b":status", b"200"))), {502}),
    "pseudo-header of a request": (status(b"200", (b":path", b"/")), {502}),
    "unknown pseudo-header": (status(b"200", (b":x", b"/")), {502}),
    "length too small": (field(b"content-length", b"3"), BAD),
    "length too large": (field(b"content-length", b"30"), BAD),
    "length twice another": (lambda stream, _: answer(stream, OK + fields((b"content-length", b"5"), (b"content-length", b"3"))), {502}),
    "length with a plus": (field(b"content-length", b"+5"), {502}),
    "length without a body": (lambda stream, _: h2.headers(stream, OK + fields((b"content-length", b"5"))), {502}),
    "DATA before HEADERS": (lambda stream, _: h2.frame(h2.DATA, h2.END_STREAM, stream, b"hello"), {502}),
    "trailers": (_trailers((b"x", b"y")), {200}),
    "trailers with a pseudo-header": (_trailers((b":status", b"200")), BAD),
    "trailers with CR LF": (_trailers((b"x", b"y\r\nz")), BAD),
    "trailers that do not end": (_trailers((b"x", b"y"), end=False), BAD),
    "reset": (lambda stream, _: h2.rst_stream(stream, 2), {502}),
    "reset midway": (lambda stream, _: answer(stream, end=False) + h2.rst_stream(stream, 2), BAD),
    "refused, then served": (_first_refused(7), {200}),
    "GOAWAY before it, then served": (_first_goaway, {200}),
    "closed, not a word": (lambda stream, _: None, {502, 503}),
    "PUSH_PROMISE": (lambda stream, _: h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, stream, struct.pack(">I", 2) + h2.request()) + answer(stream), {502}),
    "HEADERS of a stream of its own": (lambda stream, _: h2.headers(2, OK) + answer(stream), {502}),
    "DATA of stream 0": (lambda stream, _: h2.frame(h2.DATA, payload=b"x") + answer(stream), {502}),
    "a frame too large": (lambda stream, _: h2.headers(stream, OK, end_stream=False) + h2.frame(h2.DATA, h2.END_STREAM, stream, b"x" * 20_000), BAD),
    "a head of 1 MB": (_large_head, {502}),
    "no HPACK": (lambda stream, _: h2.headers(stream, b"\xff\xff\xff\xff\xff\xff\xff"), {502}),
    "HPACK bomb": (lambda stream, _: h2.headers(stream, OK + h2.literal(b"x", b"y" * 3900, add=True) + h2.indexed(62) * 12_000), {502}),
    "more than the window": (lambda stream, _: h2.headers(stream, OK, end_stream=False) + h2.frame(h2.DATA, stream=stream, payload=b"x" * 16_384) * 2_000, BAD),
    "PING flood": (flood(lambda _: h2.frame(h2.PING, payload=b"12345678")), BAD),
    "SETTINGS flood": (flood(lambda _: h2.settings()), BAD),
    "WINDOW_UPDATE flood": (flood(lambda _: h2.window_update(0, 1)), BAD),
    "flood of empty DATA": (flood(lambda stream: h2.frame(h2.DATA, stream=stream)), BAD),
    "flood of padding": (flood(lambda stream: h2.frame(h2.DATA, h2.PADDED, stream, b"\0")), BAD),
    "flood of unknown frames": (flood(lambda _: h2.frame(0xbb, payload=b"12345678")), BAD),
    "flood of informational responses": (lambda stream, _: h2.headers(stream, fields((b":status", b"103")), end_stream=False) * COUNT, BAD),
    "GOAWAY flood": (flood(lambda stream: h2.frame(h2.GOAWAY, payload=struct.pack(">II", stream, 0))), BAD),
}


class Upstream(TcpServer):
    def __init__(self):
        self.seen = collections.Counter()
        super().__init__()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, decoder = Reader(connection), hpack.Decoder()
        if reader.take(24) != h2.PREFACE:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(h2.settings())
        while True:
            kind, flags, stream, payload = reader.frame()
            if kind == h2.SETTINGS and not flags & h2.ACK:
                connection.sendall(h2.frame(h2.SETTINGS, h2.ACK))
            elif kind == h2.PING and not flags & h2.ACK:
                connection.sendall(h2.frame(h2.PING, h2.ACK, payload=payload))
            elif kind == h2.GOAWAY:
                return
            elif kind == h2.HEADERS:
                block = payload[5:] if flags & h2.PRIORITY_FLAG else payload
                name = dict(decoder.decode(block, raw=False))[":path"][1:].replace("%20", " ")
                self.seen[name] += 1
                data = CASES[name][0](stream, self.seen[name])
                if data is None:
                    return
                connection.sendall(data)


class Reader:
    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def take(self, count):
        while len(self.buffer) < count:
            data = self.connection.recv(65_536)
            if not data:
                raise OSError("the end")
            self.buffer += data
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def frame(self):
        head = self.take(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return kind, flags, stream & 0x7fffffff, self.take(int.from_bytes(head[:3], "big"))
