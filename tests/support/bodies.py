"""Bodies of which every byte is known: an upstream that sends and takes them, and clients that read them."""

import collections
import hashlib
import json
import random
import socket
import struct
import threading

from tests.support.tcp_server import TcpServer

LARGE = 36 << 20
BODY = random.Random(7).randbytes(LARGE)
SLICE = 256 * 1024


def digest(size):
    return hashlib.sha256(memoryview(BODY)[:size]).hexdigest()


def slices(size, step=SLICE):
    view = memoryview(BODY)
    for start in range(0, size, step):
        yield view[start:min(start + step, size)]


def send_body(connection, size, chunked):
    for piece in slices(size):
        if chunked:
            connection.sendall(b"%x\r\n" % len(piece))
        connection.sendall(piece)
        if chunked:
            connection.sendall(b"\r\n")
    if chunked:
        connection.sendall(b"0\r\n\r\n")


class Peer:
    """Reads heads and bodies from a socket, and keeps only what the bodies hash to."""

    def __init__(self, connection):
        self.socket, self.buffer = connection, b""

    def _more(self):
        data = self.socket.recv(SLICE)
        self.buffer += data
        return len(data)

    def line(self, end=b"\r\n"):
        while end not in self.buffer:
            if not self._more():
                raise EOFError(self.buffer)
        found, self.buffer = self.buffer.split(end, 1)
        return found

    def head(self):
        """The first line, and the fields."""
        first, *rest = self.line(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return first, {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in rest)}

    def take(self, count, digest, pause=None):
        """Whether `count` bytes came; None: all until the end."""
        have = 0
        while count is None or have < count:
            if not self.buffer and not self._more():
                return have, count is None
            piece = self.buffer if count is None else self.buffer[:count - have]
            self.buffer = self.buffer[len(piece):]
            digest.update(piece)
            have += len(piece)
            if pause:
                pause(len(piece))
        return have, True

    def body(self, fields, pause=None):
        """Size, hash, and whether it was complete."""
        found = hashlib.sha256()
        if "content-length" in fields:
            size, complete = self.take(int(fields["content-length"]), found, pause)
        elif fields.get("transfer-encoding") == "chunked":
            size, complete = 0, True
            try:
                while complete and (length := int(self.line(), 16)):
                    have, complete = self.take(length, found, pause)
                    size += have
                    complete = complete and self.line() == b""
                self.line()
            except EOFError:
                complete = False
        else:
            size, complete = self.take(None, found, pause)
        return size, found.hexdigest(), complete


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Upstream(TcpServer):
    """GET /length/N, /chunked/N, /close/N: that many bytes; /cut/N, /reset/N: the length of twice as many; /flaky/N: first
    503 with that many. POST: says what came; to /leave/N: leaves after that many."""

    def __init__(self):
        self.ended_early = threading.Event()
        self.seen = collections.Counter()
        super().__init__()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connection)
        try:
            while self._exchange(connection, peer):
                pass
        except (OSError, EOFError):
            self.ended_early.set()

    def _exchange(self, connection, peer):
        try:
            line, fields = peer.head()
        except EOFError:
            return False
        method, target, _ = line.split(" ")
        self.seen[target] += 1
        if method == "POST" and target.startswith("/leave/"):
            peer.take(int(target.split("/")[2]), hashlib.sha256())
            return False
        if method == "POST":
            size, found, complete = peer.body(fields)
            answer = json.dumps([size, found, complete]).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            return True
        _, kind, size = target.split("/")
        size = int(size)
        if kind == "chunked":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        elif kind == "close":
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        else:
            status = b"503 Busy" if kind == "flaky" and self.seen[target] % 2 else b"200 OK"
            length = 2 * size if kind in ("cut", "reset") else size
            connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, length))
        send_body(connection, size, kind == "chunked")
        if kind == "reset":
            reset(connection)
        return kind in ("length", "chunked", "flaky")


class Slow(threading.Thread):
    """A client that reads a long body at a steady, low rate."""

    def __init__(self, address, rate, size=32 << 20):
        super().__init__(daemon=True)
        self.rate, self.received, self.broken = rate, 0, False
        self.stopped = threading.Event()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self.socket.sendall(b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size)

    def run(self):
        try:
            while not self.stopped.wait(0.05):
                data = self.socket.recv(int(self.rate * 0.05))
                self.received += len(data)
                if not data:
                    self.broken = True
                    return
        except OSError:
            self.broken = True

    def stop(self):
        self.stopped.set()
        self.join()
        self.socket.close()
