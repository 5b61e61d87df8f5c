"""A client of WebSocket over HTTP/2 (RFC 8441): the `h2` package below, `wsproto` above, and many tunnels on one connection.

A Socket has what websocket_check.py uses of the clients of the `websockets` package.
"""

import asyncio
import collections

import h2.config
import h2.connection
import h2.events
import h2.settings
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

STREAMS = 100  # On one connection.


class Refused(Exception):
    """The tunnel was not opened: a status, or the stream's reset."""


class Socket:
    """One tunnel; recv() takes from the network only what it needs."""

    def __init__(self, connection, stream):
        self.connection, self.stream = connection, stream
        self.frames, self.messages, self.parts = Frames(ConnectionType.CLIENT), collections.deque(), []
        self.head, self.ended, self.pongs = asyncio.get_running_loop().create_future(), False, {}
        self.close_code, self.close_reason, self.pieces = None, "", asyncio.Queue()

    async def send(self, message):
        if isinstance(message, (str, bytes)):
            await self._message(message, True)
            return
        pieces = list(message)
        for i, piece in enumerate(pieces):
            await self._message(piece, i == len(pieces) - 1)

    async def _message(self, data, finished):
        kind = TextMessage if isinstance(data, str) else BytesMessage
        await self.connection.write(self.stream, self.frames.send(kind(data=data, message_finished=finished)))

    async def ping(self, payload):
        """A future, done with 0 when the pong is here. Somebody must be in recv(), or it is this call that reads."""
        await self.connection.write(self.stream, self.frames.send(Ping(payload=payload)))
        waiting = self.pongs.setdefault(payload, asyncio.get_running_loop().create_future())

        async def until_pong():
            while not waiting.done():
                await self._more()
            return 0
        return until_pong()

    async def recv(self):
        while not self.messages:
            if self.ended:
                raise ConnectionClosed(Close(self.close_code, self.close_reason) if self.close_code else None, None)
            await self._more()
        return self.messages.popleft()

    async def _more(self):
        data = await self.pieces.get()
        if not data:
            self.ended = True
            return
        await self.connection.taken(self.stream, len(data))
        self.frames.receive_data(data)
        for event in self.frames.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                self.parts.append(event.data)
                if event.message_finished:
                    self.messages.append(type(event.data)().join(self.parts))
                    self.parts = []
            elif isinstance(event, Ping):
                await self.connection.write(self.stream, self.frames.send(event.response()))
            elif isinstance(event, Pong):
                waiting = self.pongs.pop(bytes(event.payload), None)
                if waiting and not waiting.done():
                    waiting.set_result(0)
            elif isinstance(event, CloseConnection):
                if self.close_code is None:
                    self.close_code, self.close_reason = int(event.code), event.reason or ""
                    if self.frames.state.name == "REMOTE_CLOSING":
                        await self.connection.write(self.stream, self.frames.send(event.response()), end=True)
                self.ended = True

    async def close(self, code=1000, reason=""):
        """With a closing handshake."""
        if self.close_code is None and not self.ended:
            try:
                await self.connection.write(self.stream, self.frames.send(CloseConnection(code=code, reason=reason)), end=True)
                while not self.ended:
                    await asyncio.wait_for(self._more(), 20)
            except ConnectionClosed:
                pass
        self.connection.forget(self)


class Connection:
    """To one proxy; made with connect()."""

    def __init__(self, reader, writer, scheme):
        self.reader, self.writer, self.scheme = reader, writer, scheme
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.sockets, self.opened, self.lost, self.goaway = {}, 0, None, False
        self.settled, self.room = asyncio.Event(), asyncio.Condition()
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 22)
        self._flush()
        self.task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, address, tls=None):
        options = {"ssl": tls, "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection(*address, **options)
        made = cls(reader, writer, "https" if tls else "http")
        await asyncio.wait_for(made.settled.wait(), 20)
        return made

    def extended_connect(self):
        """Whether the server has said that it has RFC 8441."""
        return bool(self.h2.remote_settings.enable_connect_protocol)

    def _flush(self):
        self.writer.write(self.h2.data_to_send())

    async def open(self, path, more=(), protocol="websocket"):
        """A Socket. Refused."""
        if not self.extended_connect():
            raise Refused("SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1")
        stream = self.h2.get_next_available_stream_id()
        socket = self.sockets[stream] = Socket(self, stream)
        self.opened += 1
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self.scheme), (":path", path), (":authority", "localhost"),
                                      ("sec-websocket-version", "13"), *more])
        self._flush()
        status = await asyncio.wait_for(socket.head, 20)
        if status != "200":
            self.forget(socket)
            raise Refused(status)
        return socket

    def forget(self, socket):
        self.sockets.pop(socket.stream, None)

    async def taken(self, stream, size):
        if self.lost is None:
            try:
                self.h2.acknowledge_received_data(size, stream)
            except h2.exceptions.StreamClosedError:
                pass
            self._flush()

    async def write(self, stream, data, end=False):
        view = memoryview(data)
        while True:
            async with self.room:
                await self.room.wait_for(lambda: self.lost is not None or self._window(stream) != 0 or not len(view))
            if self.lost is not None or self._window(stream) < 0:
                raise ConnectionClosed(None, None)
            size = min(len(view), self._window(stream), self.h2.max_outbound_frame_size)
            last = size == len(view)
            self.h2.send_data(stream, bytes(view[:size]), end_stream=end and last)
            view = view[size:]
            self._flush()
            await self.writer.drain()
            if last:
                return

    def _window(self, stream):
        try:
            return self.h2.local_flow_control_window(stream)
        except h2.exceptions.ProtocolError:
            return -1

    async def _read(self):
        try:
            while data := await self.reader.read(1 << 18):
                for event in self.h2.receive_data(data):
                    self._event(event)
                self._flush()
                async with self.room:
                    self.room.notify_all()
            self.lost = "end"
        except (OSError, h2.exceptions.ProtocolError) as error:
            self.lost = repr(error)
        self.settled.set()
        for socket in list(self.sockets.values()):
            self._end(socket, self.lost)
        async with self.room:
            self.room.notify_all()

    def _event(self, event):
        socket = self.sockets.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = True
        elif isinstance(event, h2.events.ResponseReceived) and socket:
            socket.head.set_result(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            if socket and event.data:
                socket.pieces.put_nowait(event.data)
            # Padding, and what nobody waits for.
            rest = event.flow_controlled_length - (len(event.data) if socket else 0)
            if rest:
                self.h2.acknowledge_received_data(rest, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) and socket:
            self._end(socket, type(event).__name__)

    @staticmethod
    def _end(socket, why):
        socket.pieces.put_nowait(b"")
        if not socket.head.done():
            socket.head.set_result(f"none: {why}")

    async def close(self):
        self.task.cancel()
        self.writer.close()


class Pool:
    """Opens tunnels over as many connections as that takes."""

    def __init__(self, address, tls=None):
        self.address, self.tls, self.connections, self.lock = address, tls, [], asyncio.Lock()

    async def open(self, path):
        async with self.lock:
            if not self.connections or self.connections[-1].opened >= STREAMS or self.connections[-1].lost or self.connections[-1].goaway:
                self.connections.append(await Connection.connect(self.address, self.tls))
            connection = self.connections[-1]
            return await connection.open(path)

    async def close(self):
        for connection in self.connections:
            await connection.close()
