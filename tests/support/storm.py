"""Thousands of connections that are dropped at every point of a request, from one thread.

A connection follows a script: a generator that yields what it waits for (Send, Sleep, Read, Connected) and
returns how it leaves: "close", "reset" (RST), or "linger" (it never leaves by itself: stop() resets it).
The scripts know what the proxy owes them: one that waits for an answer that does not come in time, or
gets a wrong one, is a failure of the proxy and ends up in Storm.failures.
"""

import collections
import errno
import heapq
import random
import select
import socket
import struct
import threading
import time

# How long a script waits for what it is owed.
PATIENCE = 20.0
LARGE = 4_000_000


class Send:
    """Resumes with how many bytes were taken: fewer when the peer does not take them in time, or has gone."""

    def __init__(self, data, seconds=PATIENCE):
        self.data, self.seconds = data, seconds


class Sleep:
    def __init__(self, seconds):
        self.seconds = seconds


class Read:
    """Resumes with the next bytes: b"" at the end of the stream, None after a reset, TIMED_OUT."""

    def __init__(self, limit=65536, seconds=PATIENCE):
        self.limit, self.seconds = limit, seconds


TIMED_OUT = object()


class Owed(Exception):
    """The proxy did not do what it owes to a client."""


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Scripts. Each gets its random numbers and yields.

def head(method, target, *fields):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: storm", *fields, "", ""]).encode()


def farewell(rng):
    return rng.choice(["close", "close", "reset"])


def read_head(buffer):
    """Reads up to the end of a head; (head, what came after it)."""
    while b"\r\n\r\n" not in buffer:
        data = yield Read()
        if data is TIMED_OUT:
            raise Owed("no response in time")
        if not data:
            raise Owed(f"closed instead of a response after {buffer[:100]!r}")
        buffer += data
    return buffer.split(b"\r\n\r\n", 1)


def read_response(buffer=b"", want=b"200"):
    """Reads a response with a length; returns what came after it."""
    first, buffer = yield from read_head(buffer)
    if not first.startswith(b"HTTP/1.1 " + want):
        raise Owed(f"instead of {want}: {first[:200]!r} {buffer[:200]!r}")
    length = 0
    for line in first.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    have = len(buffer)
    while have < length:
        data = yield Read(262144)
        if data is TIMED_OUT or not data:
            raise Owed(f"{have} of {length} bytes of a body")
        have += len(data)
        buffer = data
    return buffer[len(buffer) - (have - length):] if have > length else b""


def read_until_closed(seconds=PATIENCE):
    while True:
        data = yield Read(262144, seconds)
        if data is TIMED_OUT:
            raise Owed("the connection stays open")
        if not data:
            return


def before_any_byte(rng):
    yield Sleep(rng.choice([0, 0.01, 0.3]))
    return farewell(rng)


def in_the_head(rng):
    data = head("GET", "/x", "X-A: " + "a" * rng.choice([10, 3000]))
    yield Send(data[:rng.randrange(1, len(data))])
    yield Sleep(rng.choice([0, 0.05, 0.3]))
    return farewell(rng)


def byte_by_byte(rng):
    for byte in head("GET", "/x")[:rng.randrange(1, 30)]:
        yield Send(bytes([byte]))
        yield Sleep(0.002)
    return farewell(rng)


def after_the_head(rng):
    yield Send(head("PUT", "/x", rng.choice(["Content-Length: 100000", "Transfer-Encoding: chunked"])))
    yield Sleep(rng.choice([0, 0.05, 0.3]))
    return farewell(rng)


def in_the_body(rng):
    yield Send(head("PUT", "/x", "Content-Length: 1000000"))
    for _ in range(rng.randrange(1, 8)):
        yield Send(b"b" * rng.choice([1, 1000, 60_000]))
        yield Sleep(rng.choice([0, 0.01]))
    return farewell(rng)


def in_a_chunk(rng):
    yield Send(head("POST", "/x", "Transfer-Encoding: chunked"))
    data = b"".join(b"%x\r\n" % size + b"c" * size + b"\r\n" for size in (1, 500, 20_000))
    yield Send(data[:rng.randrange(len(data))])
    yield Sleep(rng.choice([0, 0.05]))
    return farewell(rng)


def while_the_response_is_sent(rng):
    """Reads a little of a large response, then no more."""
    yield Send(head("GET", f"/x?bytes={LARGE}{rng.choice(['', '&chunked=1'])}"))
    for _ in range(rng.randrange(0, 4)):
        if not (yield Read(rng.choice([1, 1000, 65536]))):
            break
    yield Sleep(rng.choice([0, 0.05, 0.5]))
    return farewell(rng)


def reset_after_the_request(rng):
    yield Send(head("GET", rng.choice(["/x", "/x?delay_ms=50", "/x?bytes=200000"])))
    return "reset"


def half_close(rng):
    """The request is complete and the client still reads: it is owed an answer that begins within a second."""
    yield Send(head("GET", rng.choice(["/x", "/x?bytes=100000", "/x?delay_ms=30"])))
    yield "half"
    began = time.monotonic()
    try:
        yield from read_response()
    except Owed:
        if time.monotonic() - began < 0.9:
            raise
        return "close"
    yield from read_until_closed()
    return "close"


def half_close_in_the_middle(rng):
    data = rng.choice([head("GET", "/x")[:-2], head("PUT", "/x", "Content-Length: 1000") + b"b" * 10])
    yield Send(data)
    yield "half"
    yield from read_until_closed()
    return "close"


def pipelined_and_gone(rng):
    count = rng.randrange(2, 20)
    yield Send(head("GET", rng.choice(["/x", "/x?bytes=20000"])) * count)
    buffer = b""
    for _ in range(rng.randrange(0, count)):
        buffer = yield from read_response(buffer)
    return farewell(rng)


def upstream_pending(rng):
    yield Send(head("GET", f"/x?delay_ms={rng.choice([100, 2000, 60_000])}"))
    yield Sleep(rng.choice([0, 0.02, 0.3]))
    return farewell(rng)


def upstream_breaks(rng):
    yield Send(head("GET", "/x?reset=1"))
    yield from read_response(want=b"502")
    return farewell(rng)


def nonsense(rng):
    yield Send(rng.choice([rng.randbytes(200) + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 100,
                           head("GET", "/x", "X: " + "y" * 100_000)]))
    yield from read_until_closed()
    return "close"


def well_behaved(rng):
    for _ in range(rng.randrange(1, 5)):
        kind = rng.randrange(3)
        if kind == 0:
            yield Send(head("GET", "/x"))
        elif kind == 1:
            yield Send(head("PUT", "/x", "Content-Length: 50000") + b"b" * 50_000)
        else:
            yield Send(head("GET", "/x?bytes=300000"))
        yield from read_response()
    return "close"


def linger_in_the_response(_):
    yield Send(head("GET", "/x?bytes=1000000000"))
    yield Read(1000)
    return "linger"


def linger_in_the_head(_):
    yield Send(b"GET / HTTP/1.1\r\nHo")
    return "linger"


def linger_in_the_body(_):
    yield Send(head("PUT", "/x", "Content-Length: 1000000") + b"b" * 100_000)
    return "linger"


def linger_upstream(_):
    yield Send(head("GET", "/x?delay_ms=60000"))
    return "linger"


DROPS = (before_any_byte, in_the_head, byte_by_byte, after_the_head, in_the_body, in_a_chunk,
         while_the_response_is_sent, reset_after_the_request, half_close, half_close_in_the_middle,
         pipelined_and_gone, upstream_pending, upstream_breaks, nonsense, well_behaved)
# What is still there when the proxy is told to end.
LINGERING = (linger_in_the_response, linger_in_the_head, linger_in_the_body, linger_upstream)


class _Client:
    """One connection and where its script is."""

    __slots__ = ("socket", "script", "name", "want", "data", "deadline", "events", "sent")

    def __init__(self, sock, script, name):
        self.socket, self.script, self.name = sock, script, name
        self.want, self.data, self.deadline, self.events, self.sent = None, b"", 0.0, 0, 0


class Storm:
    """`connections` at once, each replaced by the next as soon as it is gone, until stop()."""

    def __init__(self, address, connections, seed=1, scripts=DROPS, forgive=False, pause=0.0):
        """`forgive`: nothing is owed, as when the proxy is being ended. `pause`: seconds, random up to this,
        that a new connection waits before its script begins."""
        self.address, self.connections, self.scripts, self.forgive = address, connections, scripts, forgive
        self.pause = pause
        self.rng = random.Random(seed)
        self.opened, self.most, self.refused = 0, 0, 0
        self.failures, self.ended = [], collections.Counter()
        self._clients, self._deadlines, self._sequence = {}, [], 0
        self._stop, self._leave = threading.Event(), threading.Event()
        self._epoll = select.epoll()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self, finish=PATIENCE + 5):
        """No new connections; those that are open get `finish` seconds to end their scripts."""
        self._stop.set()
        self._thread.join(timeout=finish)
        self._leave.set()
        self._thread.join(timeout=30)
        if self._thread.is_alive():
            raise RuntimeError("the storm does not end")
        return self

    @property
    def open(self):
        return len(self._clients)

    # The loop.

    def _run(self):
        try:
            while not self._leave.is_set() and (self._clients or not self._stop.is_set()):
                self._top_up()
                for fd, events in self._epoll.poll(self._wait()):
                    client = self._clients.get(fd)
                    if client:
                        self._ready(client, events)
                self._expire()
        except Exception as error:  # A defect of the storm itself must not look like calm.
            self.failures.append(f"the storm itself: {error!r}")
            raise
        finally:
            for client in list(self._clients.values()):
                self._end(client, "reset")
            self._epoll.close()

    def _wait(self):
        if not self._deadlines:
            return 0.05
        return max(0.0, min(0.05, self._deadlines[0][0] - time.monotonic()))

    def _top_up(self):
        # A bounded number in one turn, so that those that are open get theirs.
        for _ in range(200):
            if self._stop.is_set() or len(self._clients) >= self.connections:
                return
            sock = socket.socket()
            sock.setblocking(False)
            code = sock.connect_ex(self.address)
            if code not in (0, errno.EINPROGRESS):
                self.refused += 1
                sock.close()
                return
            script = self.rng.choice(self.scripts)
            client = _Client(sock, self._started(script, random.Random(self.rng.random())), script.__name__)
            self._clients[sock.fileno()] = client
            self.opened += 1
            self.most = max(self.most, len(self._clients))
            self._epoll.register(sock.fileno(), 0)
            self._advance(client, None)

    def _started(self, script, rng):
        yield Send(b"")  # Until it is connected.
        if self.pause:
            yield Sleep(rng.random() * self.pause)
        return (yield from script(rng))

    def _advance(self, client, value):
        """Runs the script until it waits."""
        while True:
            try:
                want = client.script.send(value)
            except StopIteration as stop:
                if stop.value != "linger":
                    self._end(client, stop.value)
                else:
                    self._watch(client, 0)
                    client.want = None
                return
            except Owed as failure:
                if not self.forgive:
                    self.failures.append(f"{client.name}: {failure}")
                self._end(client, "close")
                return
            if want == "half":
                try:
                    client.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                value = None
                continue
            client.want, client.data, client.sent = want, getattr(want, "data", b""), 0
            self._sequence += 1
            client.deadline = time.monotonic() + want.seconds
            heapq.heappush(self._deadlines, (client.deadline, self._sequence, client))
            self._watch(client, {Send: select.EPOLLOUT, Read: select.EPOLLIN, Sleep: 0}[type(want)])
            return

    def _watch(self, client, events):
        if client.events != events:
            client.events = events
            self._epoll.modify(client.socket.fileno(), events)

    def _ready(self, client, events):
        want = client.want
        if isinstance(want, Send):
            try:
                client.sent += client.socket.send(client.data[client.sent:]) if client.data else 0
                if not client.data:
                    code = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code:
                        self.refused += 1
                        self._end(client, "close")
                        return
            except BlockingIOError:
                return
            except OSError:
                self._advance(client, client.sent)  # It finds out when it reads.
                return
            if client.sent >= len(client.data):
                self._advance(client, client.sent)
        elif isinstance(want, Read):
            try:
                data = client.socket.recv(want.limit)
            except BlockingIOError:
                return
            except OSError:
                data = None
            self._advance(client, data)
        elif events & (select.EPOLLHUP | select.EPOLLERR):
            # Reported whether it is asked for or not; nobody waits for it now.
            if want is None:
                self._end(client, "close")
            else:
                self._epoll.modify(client.socket.fileno(), select.EPOLLET)
                client.events = select.EPOLLET

    def _expire(self):
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, client = heapq.heappop(self._deadlines)
            # It may have gone on since, or have gone.
            if client.want is None or client.deadline > now or client.socket.fileno() < 0:
                continue
            client.deadline = float("inf")
            want = client.want
            self._advance(client, {Send: client.sent, Read: TIMED_OUT, Sleep: None}[type(want)])

    def _end(self, client, how):
        self.ended[f"{client.name}: {how}"] += 1
        del self._clients[client.socket.fileno()]
        client.want = None
        client.script.close()
        if how == "reset":
            reset(client.socket)
        else:
            client.socket.close()
