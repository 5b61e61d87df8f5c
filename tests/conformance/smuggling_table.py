"""Requests that two parsers may read differently, and what Portico is to make of each.

A case is bytes on one connection of their own, after which the client ends its side. `expect` names one outcome for each
answer, in order: FORWARDED (an upstream answered), a status of Portico's own, or CUT (forwarded, but not whole: no answer).
No upstream may ever see the word "smuggled".
"""

FORWARDED, CUT = "forwarded", "cut"

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


class Case:
    def __init__(self, group, name, raw, *expect):
        self.group, self.name, self.raw, self.expect = group, name, raw, list(expect)


def head(*fields, method=b"POST", target=b"/case", version=b"HTTP/1.1", host=b"Host: h"):
    lines = [b" ".join([method, target, version])]
    return b"\r\n".join(lines + ([host] if host else []) + list(fields) + [b"", b""])


def get(*fields, **more):
    return head(*fields, method=b"GET", **more)


CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"


def _lengths():
    bad = {
        "plus": b"+5", "minus": b"-5", "hex": b"0x5", "comma same": b"5, 5", "comma other": b"5, 6", "space inside": b"5 5",
        "letter": b"5a", "empty": b"", "quoted": b'"5"', "float": b"5.0", "exponent": b"5e0", "65 bits": b"18446744073709551621",
        "64 bits signed": b"9223372036854775813", "many zeros": b"0" * 40 + b"5", "vertical tab": b"\x0b5",
        "form feed": b"5\x0c", "NUL": b"5\0", "arabic digit": "٥".encode(), "semicolon": b"5;x", "underscore": b"1_0",
    }
    for name, value in bad.items():
        yield Case("length", name, head(b"Content-Length: " + value) + b"hello" + SMUGGLED, 400)
    yield Case("length", "twice the same", head(b"Content-Length: 5", b"Content-Length: 5") + b"hello" + SMUGGLED, 400)
    yield Case("length", "twice another", head(b"Content-Length: 0", b"Content-Length: 35") + SMUGGLED, 400)
    yield Case("length", "thrice", head(*[b"Content-Length: 5"] * 3) + b"hello", 400)
    yield Case("length", "spaces around", head(b"Content-Length:  5  ") + b"hello", FORWARDED)
    yield Case("length", "tabs around", head(b"Content-Length:\t5\t") + b"hello", {FORWARDED, 400})
    yield Case("length", "leading zero", head(b"Content-Length: 05") + b"hello", FORWARDED)
    yield Case("length", "lower case name", head(b"content-length:5") + b"hello", FORWARDED)
    yield Case("length", "space before colon", head(b"Content-Length : 35") + SMUGGLED, 400)
    yield Case("length", "tab before colon", head(b"Content-Length\t: 35") + SMUGGLED, 400)
    yield Case("length", "NUL in name", head(b"Content-Len\0gth: 35") + SMUGGLED, 400)
    yield Case("length", "folded value", head(b"Content-Length:\r\n 35") + SMUGGLED, 400)
    yield Case("length", "underscore in name", head(b"Content_Length: 35", b"Content-Length: 0"), FORWARDED)
    yield Case("length", "in Connection", head(b"Connection: content-length", b"Content-Length: 35") + SMUGGLED, FORWARDED)
    yield Case("length", "body too short", head(b"Content-Length: 50") + b"hello", {FORWARDED, 400, CUT})
    yield Case("length", "GET with body", get(b"Content-Length: 35") + SMUGGLED, FORWARDED)
    yield Case("length", "HEAD with body", head(b"Content-Length: 35", method=b"HEAD") + SMUGGLED, FORWARDED)
    yield Case("length", "DELETE with body", head(b"Content-Length: 35", method=b"DELETE") + SMUGGLED, FORWARDED)
    yield Case("length", "OPTIONS with body", head(b"Content-Length: 35", method=b"OPTIONS") + SMUGGLED, FORWARDED)
    yield Case("length", "unknown method with body", head(b"Content-Length: 35", method=b"PURGE") + SMUGGLED, FORWARDED)


def _encodings():
    bad = {
        "gzip": b"gzip", "gzip, chunked": b"gzip, chunked", "chunked, gzip": b"chunked, gzip", "twice in one": b"chunked, chunked",
        "identity": b"identity", "identity, chunked": b"identity, chunked", "prefix": b"xchunked", "suffix": b"chunkedx",
        "parameter": b"chunked;q=1", "quoted": b'"chunked"', "empty": b"", "comma before": b", chunked", "comma after": b"chunked,",
        "vertical tab": b"\x0bchunked", "form feed": b"chunked\x0c", "NUL": b"chunked\0", "bell": b"chunked\x07",
        "space inside": b"chun ked", "kelvin sign": "chun\u212aed".encode(), "single quote": b"'chunked'", "cow": b"cow",
    }
    for name, value in bad.items():
        yield Case("encoding", name, head(b"Transfer-Encoding: " + value) + END + SMUGGLED, 400)
    lines = {
        "space before colon": [b"Transfer-Encoding : chunked"], "tab before colon": [b"Transfer-Encoding\t: chunked"],
        "folded before": [b"Transfer-Encoding:\r\n chunked"], "folded after": [b"Transfer-Encoding: chunked\r\n x"],
        "two fields": [CHUNKED, CHUNKED], "two fields, other": [CHUNKED, b"Transfer-Encoding: cow"],
        "with length": [CHUNKED, b"Content-Length: 5"], "with length before": [b"Content-Length: 5", CHUNKED],
        "with length 0": [b"Content-Length: 0", CHUNKED], "NUL in name": [b"Transfer\0-Encoding: chunked"],
        "after a bare CR": [b"X: y\rTransfer-Encoding: chunked"], "after a bare LF": [b"X: y\nTransfer-Encoding: chunked"],
        "leading space": [b" Transfer-Encoding: chunked"], "no colon": [b"Transfer-Encoding chunked"],
        "colon before": [b": Transfer-Encoding: chunked"], "high byte in name": [b"Transfer-Encoding\xa0: chunked"],
    }
    for name, fields in lines.items():
        yield Case("encoding", name, head(*fields) + END + SMUGGLED, 400)
    yield Case("encoding", "HTTP/1.0", head(CHUNKED, version=b"HTTP/1.0") + END + SMUGGLED, 400)
    yield Case("encoding", "HTTP/1.0 with length", head(CHUNKED, b"Content-Length: 5", version=b"HTTP/1.0") + END, 400)
    yield Case("encoding", "upper case", head(b"TRANSFER-ENCODING: CHUNKED") + END, FORWARDED)
    yield Case("encoding", "underscore in name", head(b"Transfer_Encoding: chunked", b"Content-Length: 5") + END, FORWARDED)
    yield Case("encoding", "in Connection", head(b"Connection: transfer-encoding", CHUNKED) + END, FORWARDED)
    yield Case("encoding", "GET", get(CHUNKED) + b"23\r\n" + SMUGGLED + b"\r\n" + END, FORWARDED)
    yield Case("encoding", "TE only", get(b"TE: chunked, trailers", b"Connection: TE"), FORWARDED)


def _chunks():
    good = {
        "usual": b"5\r\nhello\r\n" + END, "upper case": b"A\r\n0123456789\r\n" + END, "lower case": b"a\r\n0123456789\r\n" + END,
        "leading zeros": b"005\r\nhello\r\n" + END, "extension": b"5;name=value\r\nhello\r\n" + END,
        "quoted extension": b'5;name="a;b"\r\nhello\r\n' + END, "last chunk 000": b"5\r\nhello\r\n000\r\n\r\n",
        "a request as content": b"23\r\n" + SMUGGLED + b"\r\n" + END, "trailer": b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "trailer Content-Length": b"5\r\nhello\r\n0\r\nContent-Length: 35\r\n\r\n",
        "trailer Transfer-Encoding": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "trailer Host": b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n",
        "trailer x-forwarded-for": b"5\r\nhello\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    }
    for name, body in good.items():
        yield Case("chunks", name, head(CHUNKED) + body + get(target=b"/case-2"), FORWARDED, FORWARDED)
    bad = {
        "no size": b"\r\nhello\r\n" + END, "minus": b"-5\r\nhello\r\n" + END, "plus": b"+5\r\nhello\r\n" + END,
        "0x": b"0x5\r\nhello\r\n" + END, "space before size": b" 5\r\nhello\r\n" + END, "space after size": b"5 \r\nhello\r\n" + END,
        "tab after size": b"5\t\r\nhello\r\n" + END, "64 bits": b"10000000000000005\r\nhello\r\n" + END,
        "16 digits": b"0000000000000005\r\nhello\r\n" + END, "LF after size": b"5\nhello\r\n" + END,
        "CR after size": b"5\rhello\r\n" + END, "LF after data": b"5\r\nhello\n" + END, "nothing after data": b"5\r\nhello" + END,
        "data too long": b"5\r\nhello!\r\n" + END, "LF in extension": b"5;a\nb\r\nhello\r\n" + END,
        "CR in extension": b"5;a\rb\r\nhello\r\n" + END, "NUL in extension": b"5;\0\r\nhello\r\n" + END,
        "extension of 2000 bytes": b"5;" + b"a" * 2000 + b"\r\nhello\r\n" + END, "LF ends it": b"5\r\nhello\r\n0\n\n",
        "letter in size": b"5g\r\nhello\r\n" + END, "comma": b"5,\r\nhello\r\n" + END,
        "trailer without colon": b"5\r\nhello\r\n0\r\nX y\r\n\r\n", "trailer with LF": b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        "trailer with NUL": b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n", "trailer folded": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "trailer space before colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "trailers of 10 KB": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 1700 + b"\r\n",
    }
    for name, body in bad.items():
        yield Case("chunks", name, head(CHUNKED) + body + SMUGGLED, {400, CUT})
    yield Case("chunks", "not ended", head(CHUNKED) + b"5\r\nhello\r\n", {FORWARDED, 400, CUT})


def _lines():
    yield Case("lines", "LF only", b"GET /case HTTP/1.1\nHost: h\n\n" + SMUGGLED, 400)
    yield Case("lines", "LF after the first", b"GET /case HTTP/1.1\nHost: h\r\n\r\n", 400)
    yield Case("lines", "LF before the end", b"GET /case HTTP/1.1\r\nHost: h\r\n\n" + SMUGGLED, 400)
    yield Case("lines", "CR only", b"GET /case HTTP/1.1\rHost: h\r\r", 400)
    yield Case("lines", "CR CR LF", b"GET /case HTTP/1.1\r\nHost: h\r\r\n\r\n", 400)
    yield Case("lines", "CR in value", get(b"X: a\rb") + SMUGGLED, 400)
    yield Case("lines", "LF in value", get(b"X: a\nSmuggled: 1"), 400)
    yield Case("lines", "NUL in value", get(b"X: a\0b"), 400)
    yield Case("lines", "DEL in value", get(b"X: a\x7fb"), 400)
    yield Case("lines", "folded", get(b"X: a\r\n b"), 400)
    yield Case("lines", "folded by tab", get(b"X: a\r\n\tb"), 400)
    yield Case("lines", "folded first", b"GET /case HTTP/1.1\r\n Host: h\r\n\r\n", 400)
    yield Case("lines", "empty line before", b"\r\n" + get(), FORWARDED)
    yield Case("lines", "two empty lines before", b"\r\n\r\n" + get(), 400)
    yield Case("lines", "space before", b" " + get(), 400)
    yield Case("lines", "name with space", get(b"X y: z"), 400)
    yield Case("lines", "name with bracket", get(b"X[y: z"), 400)
    yield Case("lines", "no name", get(b": z"), 400)
    yield Case("lines", "no colon", get(b"X"), 400)
    yield Case("lines", "HTTP/0.9", b"GET /case\r\n" + SMUGGLED, 400)
    yield Case("lines", "HTTP/0.9 with CRLF", b"GET /case\r\n\r\n", 400)
    yield Case("lines", "version 0.9", get(version=b"HTTP/0.9"), 505)
    yield Case("lines", "version 1.2", get(version=b"HTTP/1.2"), 505)
    yield Case("lines", "version 2.0", get(version=b"HTTP/2.0"), 505)
    yield Case("lines", "version 1.10", get(version=b"HTTP/1.10"), 400)
    yield Case("lines", "version lower case", get(version=b"http/1.1"), 400)
    yield Case("lines", "space after version", get(version=b"HTTP/1.1 "), 400)
    yield Case("lines", "two spaces", b"GET  /case HTTP/1.1\r\nHost: h\r\n\r\n", 400)
    yield Case("lines", "tabs", b"GET\t/case\tHTTP/1.1\r\nHost: h\r\n\r\n", 400)
    yield Case("lines", "a word more", b"GET /case x HTTP/1.1\r\nHost: h\r\n\r\n", 400)
    yield Case("lines", "method with NUL", b"GE\0T /case HTTP/1.1\r\nHost: h\r\n\r\n", 400)
    yield Case("lines", "method with colon", b"GET: /case HTTP/1.1\r\nHost: h\r\n\r\n", 400)
    yield Case("lines", "a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400)
    yield Case("lines", "101 fields", get(*[b"X: y"] * 101), 431)
    yield Case("lines", "64 KB of fields", get(b"X: " + b"a" * 65536), 431)
    yield Case("lines", "64 KB of target", get(target=b"/case" + b"a" * 65536), 414)


def _targets():
    forwarded = {
        "absolute": b"http://h/case", "absolute https": b"https://h/case", "absolute, other host": b"http://other/case",
        "dots": b"/x/../case", "encoded dots": b"/x/%2e%2e/case", "encoded letter": b"/%63ase", "two slashes": b"/case//x",
        "encoded slash": b"/case%2fx", "encoded dots and slash": b"/case%2f..%2fx", "encoded backslash": b"/case%5cx",
        "encoded CRLF": b"/case%0d%0aX:%20y", "encoded CRLF in query": b"/case?a=%0d%0a%0d%0aGET%20/x", "semicolon": b"/case;a=b/..;/x",
        "twice encoded": b"/case%252e%252e%252f", "encoded space": b"/case%20HTTP/1.1", "parameters": b"/case?x=http://u@h/",
    }
    for name, target in forwarded.items():
        yield Case("target", name, get(target=target), FORWARDED)
    bad = {
        "NUL": b"/case\0", "encoded NUL": b"/case%00", "backslash": b"\\case", "backslash inside": b"/case\\..\\x", "fragment": b"/case#x",
        "userinfo": b"http://u:p@h/case", "userinfo alone": b"http://u@/case", "no host": b"http:///case", "empty port and more": b"http://h:1:2/case",
        "ftp": b"ftp://h/case", "no scheme": b"h/case", "half an escape": b"/case%2", "no hex": b"/case%zz", "unicode escape": b"/case%u002f",
        "authority": b"h:80", "star": b"*", "tab": b"/ca\tse", "CR": b"/ca\rse", "DEL": b"/case\x7f", "colon": b"://h/case", "backslash host": b"http://h\\@other/case",
    }
    for name, target in bad.items():
        yield Case("target", name, get(target=target) + SMUGGLED, 400)
    yield Case("target", "CONNECT", head(method=b"CONNECT", target=b"h:443") + SMUGGLED, 501)
    yield Case("target", "CONNECT path", head(method=b"CONNECT") + SMUGGLED, 501)


def _hosts():
    bad = {
        "missing": None, "empty": b"Host:", "space inside": b"Host: h h", "comma": b"Host: h, other", "path": b"Host: h/case", "userinfo": b"Host: u@h",
        "port text": b"Host: h:x", "port too large": b"Host: h:65536", "two ports": b"Host: h:80:80", "query": b"Host: h?x", "fragment": b"Host: h#x",
        "space before colon": b"Host : h", "NUL": b"Host: h\0", "encoded": b"Host: h%00", "open bracket": b"Host: [::1", "backslash": b"Host: h\\x",
        "two fields": b"Host: h\r\nHost: h", "two fields, other": b"Host: h\r\nhost: other", "folded": b"Host: h\r\n other",
    }
    for name, field in bad.items():
        yield Case("host", name, get(host=field) + SMUGGLED, 400)
    yield Case("host", "missing, absolute", get(host=None, target=b"http://h/case") + SMUGGLED, 400)
    yield Case("host", "invalid, absolute", get(host=b"Host: a b", target=b"http://h/case") + SMUGGLED, 400)
    yield Case("host", "upper case", get(host=b"Host: H"), FORWARDED)
    yield Case("host", "with port", get(host=b"Host: h:80"), FORWARDED)
    yield Case("host", "in Connection", get(b"Connection: host"), FORWARDED)
    yield Case("host", "x-forwarded-host", get(b"X-Forwarded-Host: other", b"Forwarded: host=other"), FORWARDED)


def _connection():
    ask = [b"Connection: Upgrade", b"Upgrade: websocket"]
    yield Case("connection", "pipelined", get() + get(target=b"/case-2") + get(target=b"/case-3"), FORWARDED, FORWARDED, FORWARDED)
    yield Case("connection", "pipelined behind a body", head(b"Content-Length: 5") + b"hello" + get(target=b"/case-2"), FORWARDED, FORWARDED)
    yield Case("connection", "behind close", get(b"Connection: close") + SMUGGLED, FORWARDED)
    yield Case("connection", "behind an error", get(b"X") + SMUGGLED, 400)
    yield Case("connection", "HTTP/1.0", get(version=b"HTTP/1.0") + SMUGGLED, FORWARDED)
    yield Case("connection", "HTTP/1.0 keep-alive", get(b"Connection: keep-alive", version=b"HTTP/1.0") + get(target=b"/case-2"), FORWARDED, FORWARDED)
    yield Case("connection", "HTTP/1.0 without host", get(version=b"HTTP/1.0", host=None), {FORWARDED, 404})
    yield Case("connection", "list of everything", get(b"Connection: close, x-request-id, x-forwarded-for, authorization, cookie"), FORWARDED)
    yield Case("connection", "expect continue", head(b"Expect: 100-continue", b"Content-Length: 5") + b"hello", FORWARDED)
    yield Case("connection", "expect other", head(b"Expect: 200-ok", b"Content-Length: 5") + b"hello" + SMUGGLED, 417)
    yield Case("connection", "expect twice", head(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5") + b"hello", FORWARDED)
    yield Case("connection", "expect without body", get(b"Expect: 100-continue") + get(target=b"/case-2"), FORWARDED, FORWARDED)
    yield Case("connection", "upgrade refused", get(*ask) + SMUGGLED, FORWARDED)
    yield Case("connection", "upgrade refused, early bytes", get(*ask) + b"\x81\x85\0\0\0\0hello", FORWARDED)
    yield Case("connection", "upgrade with body", head(b"Content-Length: 35", *ask) + SMUGGLED, FORWARDED)
    yield Case("connection", "upgrade h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
               + get(target=b"/case-2"), FORWARDED, FORWARDED)
    yield Case("connection", "upgrade not named", get(b"Upgrade: websocket") + get(target=b"/case-2"), FORWARDED, FORWARDED)
    yield Case("connection", "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED, {505, CUT})
    yield Case("connection", "HTTP/2 preface second", get() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED, FORWARDED, 505)
    yield Case("connection", "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400)
    yield Case("connection", "PROXY header", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + SMUGGLED, 400)
    yield Case("connection", "response splitting", get(b"X-Request-Id: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0") + SMUGGLED,
               FORWARDED, 400)
    yield Case("connection", "method override", get(b"X-HTTP-Method-Override: DELETE", b"X-Original-URL: /smuggle", b"X-Rewrite-URL: /smuggle"),
               FORWARDED)


def cases():
    for group in (_lengths, _encodings, _chunks, _lines, _targets, _hosts, _connection):
        yield from group()
