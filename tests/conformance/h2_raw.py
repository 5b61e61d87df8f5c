"""HTTP/2 by hand: frames of any kind, and a connection that sends what no library would."""

import collections
import select
import socket
import ssl
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20

CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")

SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_MAX_FRAME_SIZE = 3, 4, 5


def code_name(code):
    return CODES[code] if code < len(CODES) else str(code)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def rst_stream(stream, code=8):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def _integer(value, bits, first):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def _string(text):
    return _integer(len(text), 7, 0) + text


def indexed(index):
    return _integer(index, 7, 0x80)


def literal(name, value, add=False):
    """A field with a name of its own; `add`: into the dynamic table, where the newest has index 62."""
    return (b"\x40" if add else b"\x00") + _string(name) + _string(value)


def request(method=b"GET", path=b"/", authority=b"localhost", scheme=b"http", more=()):
    """The header block of a request."""
    fields = [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", authority), *more]
    return b"".join(literal(name, value) for name, value in fields)


def headers(stream, block, end_stream=True, end_headers=True):
    return frame(HEADERS, (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0), stream, block)


def status_byte(block):
    """The first byte of a header block's first field; changes of the table's size come before (RFC 7541 section 6.3)."""
    at = 0
    while block[at] & 0xe0 == 0x20:
        more = block[at] & 0x1f == 0x1f
        at += 1
        while more:
            more = block[at] & 0x80 != 0
            at += 1
    return block[at]


class Ending:
    """What an attack came to."""

    def __init__(self):
        self.goaway, self.last_stream, self.debug, self.closed, self.sent = None, None, b"", False, 0
        self.resets, self.answers, self.served = collections.Counter(), 0, 0
        self.seconds = 0.0

    @property
    def code(self):
        return None if self.goaway is None else code_name(self.goaway)

    def __str__(self):
        how = f"GOAWAY {self.code} last {self.last_stream} {self.debug[:60]!r}" if self.goaway is not None else "no GOAWAY"
        return (f"{how}, {'closed' if self.closed else 'left open'} after {self.sent} bytes and {self.seconds:.1f} s, "
                f"{self.answers} answers, {self.served} of them 200, resets {dict(self.resets)}")


class Connection:
    """The preface and SETTINGS are sent at once; nothing is answered by itself."""

    def __init__(self, address, secure=False, first=None, timeout=10, receive_buffer=0):
        self.secure, self.timeout, self.buffer, self.ended = secure, timeout, b"", False
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect(tuple(address))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = raw
        if secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(raw, server_hostname="localhost")
            if self.socket.selected_alpn_protocol() != "h2":
                raise RuntimeError(f"ALPN chose {self.socket.selected_alpn_protocol()}")
        self.scheme = b"https" if secure else b"http"
        self.send(PREFACE + (settings() if first is None else first))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _pop(self):
        """A whole frame that has come: (kind, flags, stream, payload), or None."""
        if len(self.buffer) < 9:
            return None
        length = int.from_bytes(self.buffer[:3], "big")
        if len(self.buffer) < 9 + length:
            return None
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        return kind, flags, stream & 0x7fffffff, payload

    def read(self, seconds=None):
        """The next frame; None at the end of the connection. TimeoutError."""
        deadline = time.monotonic() + (self.timeout if seconds is None else seconds)
        while True:
            found = self._pop()
            if found or self.ended:
                return found
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError) as error:
                if isinstance(error, TimeoutError):
                    raise
                data = b""
            self.ended = not data
            self.buffer += data

    def attack(self, data, reads=True, patience=5):
        """Sends all of it, and sees how the connection ends. Not `reads`: only once nothing more can be sent."""
        ending, view, began = Ending(), memoryview(data), time.monotonic()
        self.socket.setblocking(False)
        deadline, received = began + patience, self.buffer
        writable = True
        while time.monotonic() < deadline and not ending.closed:
            wants_write = ending.sent < len(view) and writable
            reading = reads or not wants_write
            poll = ([self.socket] if reading else [], [self.socket] if wants_write else [])
            ready = select.select(*poll, [], 1.0) if not (reading and self.secure and self.socket.pending()) else ([self.socket], [], [])
            if not any(ready) and not reads and wants_write:
                reads = True  # It takes no more: now it may say why.
            if ready[1]:
                try:
                    ending.sent += self.socket.send(view[ending.sent:ending.sent + 65536])
                    deadline = max(deadline, time.monotonic() + patience)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    pass
                except OSError:
                    writable = False
            if ready[0]:
                try:
                    piece = self.socket.recv(1 << 18)
                    ending.closed = not piece
                    received += piece
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    pass
                except OSError:
                    ending.closed = True
            received = self._note(received, ending)
            if time.monotonic() - began > 60:
                break
        ending.seconds = time.monotonic() - began
        return ending

    def _note(self, received, ending):
        position = 0
        while len(received) - position >= 9:
            length = int.from_bytes(received[position:position + 3], "big")
            if len(received) - position < 9 + length:
                break
            kind, payload = received[position + 3], received[position + 9:position + 9 + length]
            if kind == GOAWAY and length >= 8:
                # An orderly server may send one first that only announces.
                ending.last_stream, ending.goaway = struct.unpack(">II", payload[:8])
                ending.debug = payload[8:]
            elif kind == RST_STREAM and length == 4:
                ending.resets[code_name(struct.unpack(">I", payload)[0])] += 1
            elif kind == HEADERS:
                ending.answers += 1
                block = payload[1:] if payload and payload[0] & 0xe0 == 0x20 else payload  # The table's size.
                ending.served += block[:1] == b"\x88"
            position += 9 + length
        return received[position:]
