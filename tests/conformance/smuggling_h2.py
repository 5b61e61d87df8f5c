"""One case of smuggling_h2_table.py on a connection of its own, and what came back."""

import hpack

from tests.conformance import h2_raw as h2
from tests.conformance.smuggling_h2_table import CUT, FORWARDED, RESET

FRAME = 16_384


def _block(fields):
    return b"".join(h2.literal(name, value) for name, value in fields)


def _data(body, end):
    pieces = [body[i:i + FRAME] for i in range(0, len(body), FRAME)] or [b""]
    return b"".join(h2.frame(h2.DATA, h2.END_STREAM if end and i == len(pieces) - 1 else 0, 1, piece) for i, piece in enumerate(pieces))


def _request(case):
    whole = case.ends == "stream"
    out = h2.headers(1, _block(case.fields), end_stream=whole and case.body is None and case.trailers is None)
    if case.body is not None:
        out += _data(case.body, whole and case.trailers is None)
    if case.trailers is not None:
        out += h2.headers(1, _block(case.trailers))
    return out + (h2.rst_stream(1) if case.ends == "reset" else b"")


def exchange(address, case, decode_seen):
    """(outcome, target that the server says it saw or None)."""
    connection = h2.Connection(address, first=h2.settings() + h2.frame(h2.SETTINGS, h2.ACK), timeout=10)
    with connection:
        try:
            connection.send(_request(case))
        except OSError:
            pass  # Refused already: the answer says why.
        if case.ends == "close":
            return CUT, None
        if case.ends == "reset":
            # The proxy has taken all of it once it answers a PING behind it.
            connection.send(h2.frame(h2.PING, payload=b"12345678"))
        return _answer(connection, case, decode_seen)


def _answer(connection, case, decode_seen):
    decoder, fields, body = hpack.Decoder(), {}, b""
    while True:
        found = connection.read()
        if found is None:
            return RESET, None
        kind, flags, stream, payload = found
        if kind == h2.GOAWAY and payload[4:8] != b"\0\0\0\0":
            return RESET, None
        if kind == h2.RST_STREAM and stream == 1:
            return (FORWARDED if fields.get(":status") else RESET), decode_seen(fields.get("x-seen"))
        if kind == h2.PING and flags & h2.ACK and case.ends == "reset":
            return CUT, None
        if kind == h2.HEADERS and stream == 1:
            got = {(n if isinstance(n, str) else n.decode("latin-1")): (v if isinstance(v, str) else v.decode("latin-1"))
                   for n, v in decoder.decode(payload, raw=True)}
            fields = got if not fields or fields.get(":status", "").startswith("1") else fields
        elif kind == h2.DATA and stream == 1:
            body += payload
        if kind in (h2.HEADERS, h2.DATA) and stream == 1 and flags & h2.END_STREAM:
            own = body.startswith(b'{"error": ') and b'"reason": ' in body
            return int(fields[":status"]) if own else FORWARDED, decode_seen(fields.get("x-seen"))


def matches(case, outcome):
    return outcome in case.expect or (CUT in case.expect and outcome in (RESET, 400, 408))
