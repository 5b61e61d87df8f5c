"""A strict HTTP/1.1 client over one socket, for tests that must see every byte and every failure."""

import socket


class Closed(Exception):
    """The connection ended before a complete response."""


class Response:
    def __init__(self, status, headers, body, raw_head):
        self.status, self.headers, self.body, self.raw_head = status, headers, body, raw_head

    def header(self, name):
        """All values of a field, joined with ", "; None if absent."""
        values = [v for n, v in self.headers if n == name.lower()]
        return ", ".join(values) if values else None


class Connection:
    def __init__(self, address, timeout=20.0, proxy_header=b""):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if proxy_header:
            self.socket.sendall(proxy_header)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def _exactly(self, count):
        parts, have = [self.buffer], len(self.buffer)
        while have < count:
            self.buffer = b""
            self._more()
            parts.append(self.buffer)
            have += len(self.buffer)
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def read_response(self, method="GET"):
        """The next final response; 1xx are skipped."""
        while True:
            head = self._until(b"\r\n\r\n").decode("latin-1")
            lines = head.split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200:
                break
        headers = [(n.strip().lower(), v.strip()) for n, v in
                   (line.split(":", 1) for line in lines[1:])]
        fields = dict(headers)
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in fields:
            body = self._exactly(int(fields["content-length"]))
        else:
            body = self.read_to_end()
        return Response(status, headers, body, head)

    def _chunks(self):
        parts = []
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self._until(b"\r\n"):
                    pass
                return b"".join(parts)
            parts.append(self._exactly(size))
            if self._exactly(2) != b"\r\n":
                raise Closed("a chunk without its end")

    def read_to_end(self):
        """Everything until the peer closes; a reset counts as the end."""
        while True:
            try:
                self._more()
            except Closed:
                data, self.buffer = self.buffer, b""
                return data

    def request(self, method, target, headers=(), body=None, host="test"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{n}: {v}" for n, v in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines + ["", ""]).encode("latin-1") + (body or b""))
        return self.read_response(method)


def fetch(address, method="GET", target="/", headers=(), body=None, host="test", **options):
    with Connection(address, **options) as connection:
        return connection.request(method, target, headers, body, host)
