"""Requests of HTTP/2 that turn into something else when they are written as HTTP/1.1, and what Portico is to make of each.

A case is one stream: header fields as they are, a body, and trailers. `expect` is a set of outcomes: FORWARDED (an upstream
answered), a status of Portico's own, RESET (RST_STREAM or GOAWAY), or CUT (forwarded, but not whole: no answer).
"""

from tests.conformance.smuggling_table import CUT, FORWARDED, SMUGGLED

RESET = "reset"
REFUSED = frozenset({400, RESET})
HIDDEN = SMUGGLED + b"X: y"


class Case:
    """`body`: None means that the request ends with its head. `ends`: "stream", "reset" or "close"."""

    def __init__(self, name, fields, expect, body=None, trailers=None, ends="stream"):
        self.group, self.name, self.fields, self.body, self.trailers, self.ends = "HTTP/2", name, fields, body, trailers, ends
        self.expect = set(expect) if isinstance(expect, (set, frozenset)) else {expect}


def head(*more, method=b"GET", path=b"/case", scheme=b"http", authority=b"h"):
    """None leaves a field out."""
    pseudo = [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", authority)]
    return [(name, value) for name, value in pseudo if value is not None] + list(more)


def post(*more, **changes):
    return head(*more, **dict({"method": b"POST"}, **changes))


def _values():
    breaks = {"CR LF": b"a\r\n", "LF": b"a\n", "CR": b"a\r", "NUL": b"a\0b", "CR LF and a request": b"a\r\n\r\n" + HIDDEN,
              "CR LF and a field": b"a\r\nTransfer-Encoding: chunked", "LF and a field": b"a\nContent-Length: 35"}
    for name, value in breaks.items():
        yield Case(f"value with {name}", head((b"x", value)), REFUSED)
        yield Case(f"cookie with {name}", head((b"cookie", value)), REFUSED)
    yield Case("x-forwarded-for with CR LF", head((b"x-forwarded-for", b"1.2.3.4\r\nX: y")), REFUSED)
    yield Case("x-request-id with CR LF", head((b"x-request-id", b"a\r\n\r\n" + HIDDEN)), REFUSED)
    yield Case("value with a space before", head((b"x", b" a")), REFUSED | {FORWARDED})
    yield Case("value with a space behind", head((b"x", b"a ")), REFUSED | {FORWARDED})
    yield Case("value with high bytes", head((b"x", b"\xff\x80")), REFUSED | {FORWARDED})
    yield Case("value empty", head((b"x", b"")), FORWARDED)
    yield Case("cookies in pieces", head((b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")), FORWARDED)


def _names():
    bad = {"upper case": b"X-Upper", "a colon": b"x:y", "a colon before": b":x", "a colon behind": b"x:", "a space": b"x y", "a space behind": b"x ",
           "a space before": b" x", "a tab": b"x\ty", "CR LF": b"x: y\r\nz", "LF": b"x\ny", "NUL": b"x\0y", "a high byte": b"x\xa0", "nothing": b"",
           "a request": b"x: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\nX", "a delete": b"x\x7f", "a parenthesis": b"x(y)", "a quote": b'x"y'}
    for name, field in bad.items():
        yield Case(f"name with {name}", head((field, b"z")), REFUSED)
    for name in (b"transfer-encoding ", b"transfer-encoding\t", b"content-length ", b"Transfer-Encoding", b"Content-Length", b"transfer-encoding:", b"host "):
        yield Case(f"name {name.decode()!r}", post((name, b"chunked")), REFUSED, body=b"0\r\n\r\n" + SMUGGLED)
    yield Case("name transfer_encoding", post((b"transfer_encoding", b"chunked")), FORWARDED, body=b"0\r\n\r\n" + SMUGGLED)
    yield Case("name content_length", post((b"content_length", b"0")), FORWARDED, body=SMUGGLED)


def _connection():
    for name, value in ((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"), (b"transfer-encoding", b"xchunked"),
                        (b"transfer-encoding", b""), (b"connection", b"close"), (b"connection", b"transfer-encoding"), (b"connection", b"x, content-length"),
                        (b"keep-alive", b"timeout=5"), (b"proxy-connection", b"keep-alive"), (b"upgrade", b"h2c"), (b"upgrade", b"websocket"),
                        (b"te", b"gzip"), (b"te", b"chunked, trailers")):
        yield Case(f"{name.decode()}: {value.decode()}", post((name, value)), REFUSED, body=b"0\r\n\r\n" + SMUGGLED)
    yield Case("te: trailers", head((b"te", b"trailers")), FORWARDED)
    yield Case("http2-settings", head((b"http2-settings", b"AAMAAABkAAQAAP__")), REFUSED | {FORWARDED})
    yield Case("transfer-encoding and content-length", post((b"transfer-encoding", b"chunked"), (b"content-length", b"40")), REFUSED,
               body=b"0\r\n\r\n" + SMUGGLED)


def _pseudo():
    for name, value in ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/smuggled"), (b":authority", b"h")):
        yield Case(f"{name.decode()} twice", head()[:4] + [(name, value)], REFUSED)
        yield Case(f"{name.decode()} behind a field", [pair for pair in head() if pair[0] != name] + [(b"x", b"y"), (name, value)], REFUSED)
    for name in (b":method", b":scheme", b":path"):
        yield Case(f"no {name.decode()}", [pair for pair in head() if pair[0] != name], REFUSED)
        yield Case(f"{name.decode()} empty", [(n, b"" if n == name else v) for n, v in head()], REFUSED)
    yield Case(":status", head()[:4] + [(b":status", b"200")], REFUSED)
    yield Case("unknown pseudo-header", head()[:4] + [(b":x", b"y")], REFUSED)
    yield Case(":protocol without CONNECT", head()[:4] + [(b":protocol", b"websocket")], REFUSED)
    yield Case("CONNECT", [(b":method", b"CONNECT"), (b":authority", b"h:80")], REFUSED | {404, 405, 501})
    yield Case("CONNECT with a path", head(method=b"CONNECT"), REFUSED | {404, 405, 501})


def _methods():
    for name, value in (("a request", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\nGET"), ("a space", b"GET /smuggled"), ("CR LF", b"GET\r\n"),
                        ("NUL", b"G\0ET"), ("a colon", b"GET:"), ("a line before", b"\r\nGET"), ("a high byte", b"G\xffT")):
        yield Case(f"method with {name}", head(method=value), REFUSED)
    yield Case("method unknown", head(method=b"PURGE"), REFUSED | {FORWARDED, 501})


def _paths():
    bad = {"a space": b"/case /smuggled", "a version": b"/case HTTP/1.1\r\nX: y", "a request": b"/case HTTP/1.1\r\nHost: h\r\n\r\nGET /smuggled",
           "CR LF": b"/case\r\n", "LF": b"/case\nx", "CR": b"/case\rx", "NUL": b"/case\0", "a tab": b"/case\tx", "a space before": b" /case",
           "no slash": b"case", "absolute form": b"http://other/smuggled", "an at sign": b"@other/case", "an asterisk": b"*",
           "a backslash": b"\\case", "a delete": b"/case\x7f"}
    for name, value in bad.items():
        yield Case(f"path with {name}", head(path=value), REFUSED)
    yield Case("path with a fragment", head(path=b"/case#x"), REFUSED)
    yield Case("path with high bytes", head(path=b"/case\xff"), REFUSED | {FORWARDED})
    yield Case("path with an encoded NUL", head(path=b"/case%00"), REFUSED)
    yield Case("path with encoded CR LF", head(path=b"/case%0d%0aX:%20y"), REFUSED | {FORWARDED})
    yield Case("path with two slashes", head(path=b"//other/case"), REFUSED | {FORWARDED})
    yield Case("OPTIONS with an asterisk", head(method=b"OPTIONS", path=b"*"), REFUSED | {FORWARDED, 404})


def _authorities():
    bad = {"a space": b"h other", "CR LF": b"h\r\nX: y", "a request": b"h\r\n\r\n" + HIDDEN, "NUL": b"h\0", "userinfo": b"u@h", "a slash": b"h/case",
           "a bad port": b"h:x", "two ports": b"h:80:80", "a query": b"h?x", "a comma": b"h,other"}
    for name, value in bad.items():
        yield Case(f"authority with {name}", head(authority=value), REFUSED)
        yield Case(f"host with {name}", head((b"host", value), authority=None), REFUSED)
    yield Case("host alone", head((b"host", b"h"), authority=None), FORWARDED)
    yield Case("host the same", head((b"host", b"h")), REFUSED | {FORWARDED})
    yield Case("host another", head((b"host", b"other")), REFUSED | {FORWARDED})
    yield Case("host twice", head((b"host", b"h"), (b"host", b"other"), authority=None), REFUSED)
    yield Case("host twice the same", head((b"host", b"h"), (b"host", b"h"), authority=None), REFUSED)
    yield Case("neither authority nor host", head(authority=None), REFUSED)
    yield Case("authority empty", head(authority=b""), REFUSED)
    yield Case("scheme with a host", head(scheme=b"http://other/smuggled?"), REFUSED)
    yield Case("scheme with CR LF", head(scheme=b"http\r\nX: y"), REFUSED)
    yield Case("scheme https in cleartext", head(scheme=b"https"), REFUSED | {FORWARDED})


def _lengths():
    for name, value in (("too small", b"4"), ("zero", b"0"), ("too large", b"60"), ("plus", b"+35"), ("minus", b"-1"), ("hex", b"0x23"), ("list", b"35, 35"),
                        ("empty", b""), ("65 bits", b"18446744073709551651"), ("space", b"3 5"), ("letter", b"35a"), ("quoted", b'"35"')):
        yield Case(f"length {name}", post((b"content-length", value)), REFUSED | {CUT}, body=SMUGGLED)
    yield Case("length right", post((b"content-length", str(len(SMUGGLED)).encode())), FORWARDED, body=SMUGGLED)
    yield Case("length twice another", post((b"content-length", b"0"), (b"content-length", str(len(SMUGGLED)).encode())), REFUSED, body=SMUGGLED)
    yield Case("length twice the same", post(*[(b"content-length", str(len(SMUGGLED)).encode())] * 2), REFUSED, body=SMUGGLED)
    yield Case("length without a body", post((b"content-length", b"5")), REFUSED)
    yield Case("length of a GET without a body", head((b"content-length", b"5")), REFUSED)
    yield Case("length of 0", post((b"content-length", b"0")), FORWARDED)


def _bodies():
    for name, body in (("a request", SMUGGLED), ("the end of chunks", b"0\r\n\r\n" + SMUGGLED), ("chunks", b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
                       ("nothing", b""), ("64 KB of requests", SMUGGLED * 1800)):
        yield Case(f"body of {name}", post(), FORWARDED, body=body)
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PURGE"):
        yield Case(f"body of {method.decode()}", head(method=method), FORWARDED, body=SMUGGLED)
    yield Case("expect", post((b"expect", b"100-continue"), (b"content-length", b"5")), FORWARDED, body=b"hello")
    yield Case("body reset midway", post((b"content-length", b"50")), CUT, body=b"hello", ends="reset")
    yield Case("body without a length reset midway", post(), CUT, body=b"hello", ends="reset")
    yield Case("connection closed midway", post((b"content-length", b"50")), CUT, body=b"hello", ends="close")
    yield Case("connection closed midway without a length", post(), CUT, body=b"hello", ends="close")


def _trailers():
    for name, fields in (("a pseudo-header", [(b":path", b"/smuggled")]), ("CR LF", [(b"x", b"y\r\n\r\n" + HIDDEN)]), ("upper case", [(b"X", b"y")]),
                         ("a colon", [(b"x:y", b"z")]), ("connection", [(b"connection", b"close")]),
                         ("transfer-encoding", [(b"transfer-encoding", b"chunked")])):
        yield Case(f"trailers with {name}", post(), REFUSED | {CUT}, body=b"hello", trailers=fields)
    for name, fields in (("a field", [(b"x", b"y")]), ("content-length", [(b"content-length", b"35")]), ("host", [(b"host", b"other")]),
                         ("x-forwarded-for", [(b"x-forwarded-for", b"10.0.0.1")])):
        yield Case(f"trailers with {name}", post(), REFUSED | {CUT, FORWARDED}, body=b"hello", trailers=fields)


def cases():
    for group in (_values, _names, _connection, _pseudo, _methods, _paths, _authorities, _lengths, _bodies, _trailers):
        yield from group()
