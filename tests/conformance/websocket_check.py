"""Real WebSocket peers through Portico: the `websockets` package of Python on both sides, and `ws` of Node as a server.

The tunnels stand while the configuration changes 20 times. Runs itself again with the Python that has the package.
"""

import asyncio
import logging
import os
import random
import sys

from tests.conformance import registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support

PACKAGE = "websockets==13.1"
IDLE = 1000
CHANGES = 20
MEGABYTE = random.Random(1).randbytes(1 << 20)

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", limits: {{stream_idle_timeout: 300s}}}}
---
kind: Upstream
name: python
spec:
  endpoints: [{{address: "{python}"}}]
  circuit_breaker: {{max_connections: 5000, max_requests: 5000}}
---
kind: Upstream
name: node
spec: {{endpoints: [{{address: "{node}"}}]}}
---
kind: Route
name: python
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: python}}], timeout: 5s}}
---
kind: Route
name: node
spec: {{match: {{path: {{prefix: /node}}}}, upstreams: [{{name: node}}], timeout: 5s}}
---
kind: Route
name: changing
spec: {{match: {{path: {{exact: /changing}}}}, respond: {{status: 200, body: "{change}"}}}}
"""

NODE_SERVER = """
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: Number(process.argv[1]), host: '127.0.0.1' });
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
"""


async def serve(websocket):
    """An echo; "close CODE" closes, "burst N" sends N messages without waiting."""
    async for message in websocket:
        if isinstance(message, str) and message.startswith("close "):
            await websocket.close(int(message.split()[1]), "as asked")
        elif isinstance(message, str) and message.startswith("burst "):
            for i in range(int(message.split()[1])):
                await websocket.send(f"message {i}")
        else:
            await websocket.send(message)


async def raw_head(address, more=()):
    """The status line of an upgrade that is asked for by hand."""
    reader, writer = await asyncio.open_connection(*address)
    lines = ["GET / HTTP/1.1", "Host: test", *more, "", ""]
    writer.write("\r\n".join(lines).encode())
    line = (await asyncio.wait_for(reader.readline(), 10)).decode().strip()
    writer.close()
    return line


class Check:
    def __init__(self, verdicts, fleet):
        self.verdicts, self.fleet = verdicts, fleet

    async def start(self):
        import websockets
        # That clients leave without a closing handshake is meant.
        logging.getLogger("websockets").setLevel(logging.CRITICAL)
        self.websockets = websockets
        self.server = await websockets.serve(serve, "127.0.0.1", 0, max_size=None, ping_interval=None)
        python = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        port = support.free_port()
        modules = registry_tools.node_modules("ws@8.18.0")
        self.fleet.add(support.Process(self.fleet.folder, "ws", [
            "env", f"NODE_PATH={modules}", registry_tools.debian("node", "nodejs"), "-e", NODE_SERVER, str(port)]))
        self.config = lambda change: CONFIG.format(python=python, node=f"127.0.0.1:{port}", change=change)
        self.control = self.fleet.control_plane()
        self.fleet.apply(self.control, self.config(0))
        self.proxy = self.fleet.proxy("p1", control=self.control)
        self.proxy.wait_ready()
        self.address = self.proxy.listener("http")
        self.url = "ws://%s:%d" % self.address

    def connect(self, path="/", **options):
        return self.websockets.connect(self.url + path, max_size=None, **options)

    async def messages(self, path):
        check = self.verdicts.check
        async with self.connect(path, ping_interval=None) as socket:
            for name, message in (("text", "hällo"), ("empty", ""), ("binary", b"\0\xff"), ("125 bytes", b"a" * 125), ("126 bytes", b"a" * 126),
                                  ("65535 bytes", b"a" * 65535), ("65536 bytes", b"a" * 65536), ("1 MB", MEGABYTE), ("8 MB", MEGABYTE * 8)):
                await socket.send(message)
                back = await asyncio.wait_for(socket.recv(), 30)
                check(f"{path}: {name}", back == message, len(back))
            await socket.send(iter(["frag", "", "ment", "ed"]))
            check(f"{path}: fragments", await socket.recv() == "fragmented")
            await socket.send(MEGABYTE[i:i + 4096] for i in range(0, len(MEGABYTE), 4096))
            check(f"{path}: 256 fragments", await socket.recv() == MEGABYTE)
            pong = await socket.ping(b"between")
            check(f"{path}: ping", await asyncio.wait_for(pong, 10) >= 0)

    async def both_ways_at_once(self):
        async with self.connect(ping_interval=None) as socket:
            async def send():
                for i in range(200):
                    await socket.send(f"{i}:" + "x" * 20000)
            sending = asyncio.create_task(send())
            back = [(await asyncio.wait_for(socket.recv(), 30)).split(":")[0] for _ in range(200)]
            await sending
            self.verdicts.check("4 MB both ways at once", back == [str(i) for i in range(200)], back[:5])
        async with self.connect(ping_interval=None) as socket:
            await socket.send("burst 5000")
            await asyncio.sleep(0.5)  # The client does not read: the server is to wait.
            back = [await asyncio.wait_for(socket.recv(), 30) for _ in range(5000)]
            self.verdicts.check("5,000 messages in a burst", back[-1] == "message 4999", back[-1])

    async def closes(self):
        for code in (1000, 1001, 1008, 1011, 3000, 4999):
            async with self.connect() as socket:
                await socket.send(f"close {code}")
                try:
                    await asyncio.wait_for(socket.recv(), 10)
                    found = None
                except self.websockets.exceptions.ConnectionClosed as closed:
                    found = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else None
                self.verdicts.check(f"closed with {code}", found == (code, "as asked"), found)
        socket = await self.connect()
        await socket.close(4001, "mine")
        self.verdicts.check("closing handshake of the client", socket.close_code == 4001, socket.close_code)

    async def refusals(self):
        key = ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13")
        ask = ("Connection: Upgrade", "Upgrade: websocket")
        for name, fields, wanted in (("asked for", ask + key, "HTTP/1.1 101 Switching Protocols"),
                                     ("no Upgrade", key, "HTTP/1.1 426 Upgrade Required"),
                                     ("no key", ask + key[1:], "HTTP/1.1 400 Bad Request")):
            found = await raw_head(self.address, fields)
            self.verdicts.check(name, found == wanted, found)

    def open_tunnels(self):
        return self.proxy.metrics()["portico_tunnels_open"]

    async def over_changes(self):
        check = self.verdicts.check
        before = self.open_tunnels()
        sockets = []
        for begin in range(0, IDLE, 50):
            sockets += await asyncio.gather(*(self.connect(ping_interval=None) for _ in range(begin, begin + 50)))
        check(f"{IDLE} sockets open", self.open_tunnels() - before == IDLE, self.open_tunnels())
        rss = self.proxy.rss_kib()
        revision = self.proxy.metrics()["portico_config_revision"]
        for change in range(1, CHANGES + 1):
            await asyncio.to_thread(self.fleet.apply, self.control, self.config(change))
            await asyncio.to_thread(support.wait_until, lambda want=revision + change: self.proxy.metrics()["portico_config_revision"] >= want,
                                    f"change {change}")
        check(f"{CHANGES} changes", self.proxy.metrics()["portico_config_revision"] == revision + CHANGES)
        check("none dropped by them", self.open_tunnels() - before == IDLE, self.open_tunnels())
        alive = 0
        for i, socket in enumerate(sockets):
            await socket.send(f"alive {i}")
        for i, socket in enumerate(sockets):
            try:
                alive += await asyncio.wait_for(socket.recv(), 30) == f"alive {i}"
            except self.websockets.exceptions.ConnectionClosed:
                pass
        check("all answer after them", alive == IDLE, alive)
        self.verdicts.say(f"{rss / IDLE:.1f} KiB of memory at most for each idle tunnel, both connections")
        await asyncio.gather(*(socket.close() for socket in sockets))
        await asyncio.to_thread(support.wait_until, lambda: self.open_tunnels() == before, "all tunnels ending")
        check("all counted out", self.open_tunnels() == before)


async def run(verdicts):
    with support.Fleet() as fleet:
        check = Check(verdicts, fleet)
        await check.start()
        await check.messages("/")
        await check.messages("/node")
        await check.both_ways_at_once()
        await check.closes()
        await check.refusals()
        await check.over_changes()
        verdicts.check("the proxy lives", check.proxy.process.poll() is None, check.proxy.log())


def main():
    try:
        import websockets  # noqa: F401
    except ImportError:
        python = registry_tools.python(PACKAGE)
        os.execv(python, [python, "-m", "tests.conformance.websocket_check", *sys.argv[1:]])
    with Verdicts("websocket") as verdicts:
        asyncio.run(run(verdicts))


if __name__ == "__main__":
    main()
