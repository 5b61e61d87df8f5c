"""A server of a test's own, for what no real one does."""

import socket
import threading


def read_head(connection, buffer=b""):
    """The next head, without the empty line behind it, and what came after that; (None, what there is) at the end."""
    while b"\r\n\r\n" not in buffer:
        data = connection.recv(65536)
        if not data:
            return None, buffer
        buffer += data
    return buffer.split(b"\r\n\r\n", 1)


class TcpServer:
    """Accepts on a free loopback port, each connection served by a thread of its own."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Accepts no more; connections stay."""
        # A close() alone would not wake the thread that accepts.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def serve(self, connection):
        """Until it is done with; the connection is closed behind it. May raise OSError."""
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass
