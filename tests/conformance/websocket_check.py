"""Real WebSocket peers through Portico: the `websockets` package of Python on both sides, and `ws` of Node as a server;
over HTTP/1.1, over TLS, and over HTTP/2 (RFC 8441) in cleartext and with TLS.

The tunnels stand while the configuration changes 20 times. Runs itself again with the Python that has the packages.

  --transport WHICH   one of ws, wss, h2c, h2; default: all
  --target nghttpx    goes through nghttpx instead, without the changes, to see the check work without Portico
"""

import argparse
import asyncio
import contextlib
import logging
import random
import ssl

from tests.conformance import h2_targets, registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support import tls_files

TRANSPORTS = ("ws", "wss", "h2c", "h2")
IDLE = 1000
CHANGES = 20
MEGABYTE = random.Random(1).randbytes(1 << 20)

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", limits: {{stream_idle_timeout: 300s}}}}
{https}---
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

HTTPS = """---
kind: Listener
name: https
spec: {address: "127.0.0.1:0", limits: {stream_idle_timeout: 300s}, tls: {certificates: [main]}}
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


class Servers:
    """The WebSocket servers, and what is between them and the clients."""

    def __init__(self, fleet, target, secure):
        self.fleet, self.target, self.secure = fleet, target, secure

    async def start(self):
        import websockets
        # That clients leave without a closing handshake is meant.
        logging.getLogger("websockets").setLevel(logging.CRITICAL)
        self.server = await websockets.serve(serve, "127.0.0.1", 0, max_size=None, ping_interval=None)
        python, node = self.server.sockets[0].getsockname()[1], support.free_port()
        modules = registry_tools.node_modules("ws@8.18.0")
        self.fleet.add(support.Process(self.fleet.folder, "ws", [
            "env", f"NODE_PATH={modules}", registry_tools.debian("node", "nodejs"), "-e", NODE_SERVER, str(node)]))
        support.wait_until(lambda: h2_targets.listens(node), "ws listening")
        h2_targets.authority(self.fleet)
        pair = self.fleet.localhost
        if self.target == "nghttpx":
            self.address, self.tls_address = (("127.0.0.1", support.free_port()) for _ in range(2))
            self.proxy = self.fleet.add(support.Process(self.fleet.folder, "nghttpx", [
                registry_tools.debian("nghttpx", "nghttp2-proxy"), "--conf=/dev/null", f"--frontend=127.0.0.1,{self.address[1]};no-tls",
                f"--frontend=127.0.0.1,{self.tls_address[1]}", f"--backend=127.0.0.1,{node};/node", f"--backend=127.0.0.1,{python}", "--no-ocsp",
                "--accesslog-file=/dev/null", pair.key_path, pair.chain_path]))
            support.wait_until(lambda: h2_targets.listens(self.tls_address[1]), "nghttpx listening")
            return
        more = HTTPS if self.secure else ""
        self.config = lambda change: CONFIG.format(python=f"127.0.0.1:{python}", node=f"127.0.0.1:{node}", change=change, https=more)
        self.control = self.fleet.control_plane()
        self.fleet.apply(self.control, self.config(0) + (tls_files.certificate_yaml("main", pair) if self.secure else ""))
        self.proxy = self.fleet.proxy("p1", control=self.control, listeners=("http", "https") if self.secure else ("http",))
        self.proxy.wait_ready()
        self.address, self.changes = self.proxy.listener("http"), 0
        self.tls_address = self.proxy.listener("https") if self.secure else None

    async def change(self):
        """One more revision, live on all workers."""
        self.changes += 1
        await asyncio.to_thread(self.fleet.apply, self.control, self.config(self.changes))
        await asyncio.to_thread(self.fleet.ctl, self.control, "rollout", "--wait")


class Check:
    """One transport."""

    def __init__(self, verdicts, servers, transport):
        import websockets
        from tests.conformance import websocket_h2
        self.websockets, self.servers, self.transport, self.proxy, self.h2 = websockets, servers, transport, servers.proxy, websocket_h2
        self.verdicts, secure = verdicts, transport in ("wss", "h2")
        self.address = servers.tls_address if secure else servers.address
        self.tls = ssl.create_default_context(cafile=servers.fleet.authority.ca_path) if secure else None
        if transport == "h2":
            self.tls.set_alpn_protocols(["h2"])
        self.pool = websocket_h2.Pool(self.address, self.tls) if transport in ("h2c", "h2") else None

    def check(self, what, holds, found=""):
        return self.verdicts.check(f"{self.transport}: {what}", holds, found)

    async def opened(self, path="/"):
        if self.pool:
            return await self.pool.open(path)
        options = {"ssl": self.tls, "server_hostname": "localhost"} if self.tls else {}
        url = "%s://%s:%d" % ("wss" if self.tls else "ws", *self.address)
        return await self.websockets.connect(url + path, max_size=None, ping_interval=None, **options)

    @contextlib.asynccontextmanager
    async def opening(self, path="/"):
        socket = await self.opened(path)
        try:
            yield socket
        finally:
            await socket.close()

    async def messages(self, path):
        check = self.check
        async with self.opening(path) as socket:
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
        async with self.opening() as socket:
            async def send():
                for i in range(200):
                    await socket.send(f"{i}:" + "x" * 20000)
            sending = asyncio.create_task(send())
            back = [(await asyncio.wait_for(socket.recv(), 30)).split(":")[0] for _ in range(200)]
            await sending
            self.check("4 MB both ways at once", back == [str(i) for i in range(200)], back[:5])
        async with self.opening() as socket:
            await socket.send("burst 5000")
            await asyncio.sleep(0.5)  # The client does not read: the server is to wait.
            back = [await asyncio.wait_for(socket.recv(), 30) for _ in range(5000)]
            self.check("5,000 messages in a burst", back[-1] == "message 4999", back[-1])

    async def closes(self):
        for code in (1000, 1001, 1008, 1011, 3000, 4999):
            async with self.opening() as socket:
                await socket.send(f"close {code}")
                try:
                    await asyncio.wait_for(socket.recv(), 10)
                    found = None
                except self.websockets.exceptions.ConnectionClosed as closed:
                    found = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else None
                self.check(f"closed with {code}", found == (code, "as asked"), found)
        socket = await self.opened()
        await socket.close(4001, "mine")
        self.check("closing handshake of the client", socket.close_code == 4001, socket.close_code)

    async def refusals(self):
        key = ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13")
        ask = ("Connection: Upgrade", "Upgrade: websocket")
        for name, fields, wanted in (("asked for", ask + key, "HTTP/1.1 101 Switching Protocols"),
                                     ("no Upgrade", key, "HTTP/1.1 426 Upgrade Required"),
                                     ("no key", ask + key[1:], "HTTP/1.1 400 Bad Request")):
            found = await raw_head(self.address, fields)
            self.check(name, found == wanted, found)

    async def h2_refusals(self):
        connection = await self.h2.Connection.connect(self.address, self.tls)
        self.check("SETTINGS_ENABLE_CONNECT_PROTOCOL", connection.extended_connect())
        refused = [("another protocol", "/", "connect-udp")]
        if self.servers.target == "portico":
            refused.append(("answered by the proxy", "/changing", "websocket"))
        for name, path, protocol in refused:
            try:
                found = "200"
                await connection.open(path, protocol=protocol)
            except self.h2.Refused as refused:
                found = str(refused)
            self.check(name, found[:1] in "45n", found)
        socket = await connection.open("/")
        await socket.send("still there")
        self.check("a tunnel beside refused ones", await asyncio.wait_for(socket.recv(), 10) == "still there")
        await socket.close()
        await connection.close()

    def open_tunnels(self):
        return self.proxy.metrics()["portico_tunnels_open"]

    async def over_changes(self):
        check = self.check
        before = self.open_tunnels()
        sockets = []
        for begin in range(0, IDLE, 50):
            sockets += await asyncio.gather(*(self.opened() for _ in range(begin, begin + 50)))
        check(f"{IDLE} sockets open", self.open_tunnels() - before == IDLE, self.open_tunnels())
        rss = self.proxy.rss_kib()
        revision = self.proxy.metrics()["portico_config_revision"]
        for _ in range(CHANGES):
            await self.servers.change()
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
        self.verdicts.say(f"{self.transport}: {rss / IDLE:.1f} KiB of memory at most for each idle tunnel, both connections")
        await asyncio.gather(*(socket.close() for socket in sockets))
        await asyncio.to_thread(support.wait_until, lambda: self.open_tunnels() == before, "all tunnels ending")
        check("all counted out", self.open_tunnels() == before)


async def run(verdicts, options):
    with support.Fleet() as fleet:
        transports = options.transport or TRANSPORTS
        servers = Servers(fleet, options.target, any(transport in ("wss", "h2") for transport in transports))
        await servers.start()
        for transport in transports:
            check = Check(verdicts, servers, transport)
            await check.messages("/")
            await check.messages("/node")
            await check.both_ways_at_once()
            await check.closes()
            if transport == "ws":
                await check.refusals()
            elif check.pool:
                await check.h2_refusals()
            if options.target == "portico":
                await check.over_changes()
            if check.pool:
                await check.pool.close()
            verdicts.say(f"{transport}: done")
        verdicts.check("the proxy lives", servers.proxy.process.poll() is None, servers.proxy.log())


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=("portico", "nghttpx"), default="portico")
    options.add_argument("--transport", choices=TRANSPORTS, action="append")
    options = options.parse_args()
    registry_tools.run_with("tests.conformance.websocket_check", *registry_tools.HTTP2_PACKAGES)
    with Verdicts("websocket") as verdicts:
        asyncio.run(run(verdicts, options))


if __name__ == "__main__":
    main()
