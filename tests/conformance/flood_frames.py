"""What HTTP/2 clients send to keep a server busy: prebuilt bytes, and how the connection is to end."""

import struct

from tests.conformance import h2_raw as h2

COUNT = 200_000
STREAMS = 4_000

CALM = frozenset({"ENHANCE_YOUR_CALM"})
# Where RFC 9113 has an error of its own for the first frame of it.
PROTOCOL = CALM | {"PROTOCOL_ERROR"}


class Flood:
    """`make(scheme)`: all bytes behind the client's preface. `codes`: of GOAWAY. `refused`: the connection may as well live
    on, if none of its requests but the first is served. None among the codes: it may be closed without a GOAWAY. `reads`: whether the client takes answers while it sends."""

    def __init__(self, name, make, codes=CALM, reads=True, refused=False):
        self.name, self.make, self.codes, self.reads, self.refused = name, make, codes, reads, refused


def _opened(scheme):
    """A request on stream 1 whose body does not come."""
    return h2.headers(1, h2.request(b"POST", scheme=scheme), end_stream=False)


def _served(scheme):
    """A request on stream 1."""
    return h2.headers(1, h2.request(scheme=scheme))


def _ids(count):
    return range(1, 2 * count, 2)


def _settings(_):
    pair = h2.settings((h2.SETTINGS_INITIAL_WINDOW_SIZE, 65535)) + h2.settings((h2.SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20))
    return pair * (COUNT // 2)


def _priority(_):
    return b"".join(h2.frame(h2.PRIORITY, stream=3 + 2 * (i % 50_000), payload=struct.pack(">IB", 0, i & 255)) for i in range(COUNT))


def _continuation(scheme, piece):
    return h2.headers(1, h2.request(scheme=scheme), end_headers=False) + h2.frame(h2.CONTINUATION, stream=1, payload=piece) * COUNT


def _bomb(scheme, name, value):
    """A field goes into the table once and is named by one byte, COUNT times over the streams."""
    first = h2.request(scheme=scheme) + h2.literal(name, value, add=True)
    each = 16_000
    out = [h2.headers(1, first)]
    for stream in list(_ids(COUNT // each + 2))[1:]:
        out.append(h2.headers(stream, h2.request(scheme=scheme) + h2.indexed(62) * each))
    return b"".join(out)


FLOODS = (
    Flood("PING", lambda _: h2.frame(h2.PING, payload=b"12345678") * COUNT),
    Flood("PING, answers unread", lambda _: h2.frame(h2.PING, payload=b"12345678") * COUNT, reads=False),
    Flood("PING ACK", lambda _: h2.frame(h2.PING, h2.ACK, payload=b"12345678") * COUNT, codes=PROTOCOL),
    Flood("SETTINGS, empty", lambda _: h2.settings() * COUNT),
    Flood("SETTINGS, empty, answers unread", lambda _: h2.settings() * COUNT, reads=False),
    Flood("SETTINGS, changing windows", _settings),
    Flood("SETTINGS ACK", lambda _: h2.frame(h2.SETTINGS, h2.ACK) * COUNT, codes=PROTOCOL),
    Flood("PRIORITY", _priority),
    Flood("WINDOW_UPDATE of the connection", lambda _: h2.window_update(0, 1) * COUNT),
    Flood("WINDOW_UPDATE of a stream", lambda scheme: _opened(scheme) + h2.window_update(1, 1) * COUNT),
    Flood("DATA, empty", lambda scheme: _opened(scheme) + h2.frame(h2.DATA, stream=1) * COUNT),
    Flood("DATA, padding only", lambda scheme: _opened(scheme) + h2.frame(h2.DATA, h2.PADDED, 1, b"\0") * COUNT),
    Flood("HEADERS, empty", lambda _: b"".join(h2.headers(stream, b"") for stream in _ids(COUNT)), codes=PROTOCOL),
    Flood("CONTINUATION, empty", lambda scheme: _continuation(scheme, b""), codes=PROTOCOL | {"INTERNAL_ERROR"}),
    Flood("CONTINUATION", lambda scheme: _continuation(scheme, h2.literal(b"x", b"y" * 20)), codes=PROTOCOL | {"INTERNAL_ERROR"}),
    Flood("HPACK bomb of 4 KB", lambda scheme: _bomb(scheme, b"x", b"y" * 3900), codes=PROTOCOL | {"COMPRESSION_ERROR"}, refused=True),
    Flood("HPACK bomb of cookies", lambda scheme: _bomb(scheme, b"cookie", b"a"), codes=PROTOCOL | {"COMPRESSION_ERROR"}, refused=True),
    Flood("HPACK bomb of empty fields", lambda scheme: _bomb(scheme, b"x", b""), codes=PROTOCOL | {"COMPRESSION_ERROR"}, refused=True),
    Flood("RST_STREAM of a closed stream", lambda scheme: _opened(scheme) + h2.rst_stream(1) * COUNT, codes=PROTOCOL | {"STREAM_CLOSED"}),
    Flood("GOAWAY", lambda _: h2.frame(h2.GOAWAY, payload=struct.pack(">II", 0, 0)) * COUNT, codes=CALM | {"NO_ERROR", None}),
    Flood("frames of unknown type", lambda _: h2.frame(0xbb, payload=b"12345678") * COUNT),
)


def _each(make):
    return lambda scheme: b"".join(make(stream, h2.request(scheme=scheme), scheme) for stream in _ids(STREAMS))


def _self_dependent(stream, block, _):
    return h2.headers(stream, block) + h2.frame(h2.PRIORITY, stream=stream, payload=struct.pack(">IB", stream, 15))


CLOSED = PROTOCOL | {"STREAM_CLOSED"}

# Streams that are opened and reset, by the client (rapid reset, CVE-2023-44487) or by the server at the client's
# instigation (MadeYouReset, CVE-2025-8671).
RESETS = (
    Flood("RST_STREAM by the client", _each(lambda stream, block, _: h2.headers(stream, block) + h2.rst_stream(stream))),
    Flood("WINDOW_UPDATE overflows", _each(lambda stream, block, _: h2.headers(stream, block) + h2.window_update(stream, 0x7fffffff)),
          codes=CALM | {"FLOW_CONTROL_ERROR"}),
    Flood("WINDOW_UPDATE of zero", _each(lambda stream, block, _: h2.headers(stream, block) + h2.window_update(stream, 0)), codes=PROTOCOL),
    Flood("DATA behind END_STREAM", _each(lambda stream, block, _: h2.headers(stream, block) + h2.frame(h2.DATA, stream=stream, payload=b"x")),
          codes=CLOSED),
    Flood("HEADERS behind END_STREAM", _each(lambda stream, block, _: h2.headers(stream, block) * 2), codes=CLOSED),
    Flood("PRIORITY on itself", _each(_self_dependent), codes=PROTOCOL),
    Flood("PRIORITY of a wrong length", _each(lambda stream, block, _: h2.headers(stream, block) + h2.frame(h2.PRIORITY, stream=stream, payload=b"123")),
          codes=CALM | {"FRAME_SIZE_ERROR"}),
    Flood("body shorter than its length", _each(lambda stream, block, scheme: h2.headers(
        stream, h2.request(b"POST", scheme=scheme, more=[(b"content-length", b"5")]))), codes=PROTOCOL),
    Flood("body longer than its length", _each(lambda stream, block, scheme: h2.headers(
        stream, h2.request(b"POST", scheme=scheme, more=[(b"content-length", b"1")]), end_stream=False)
        + h2.frame(h2.DATA, h2.END_STREAM, stream, b"xx")), codes=PROTOCOL),
    Flood("upper case in a name", _each(lambda stream, block, _: h2.headers(stream, block + h2.literal(b"Upper", b"x"))), codes=PROTOCOL),
    Flood("trailers without END_STREAM", _each(lambda stream, block, scheme: h2.headers(stream, h2.request(b"POST", scheme=scheme), end_stream=False)
                                              + h2.headers(stream, h2.literal(b"x", b"y"), end_stream=False)), codes=PROTOCOL),
)
