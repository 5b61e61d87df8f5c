"""Calls of gRPC's Python through a proxy: ADDRESS CA|- [local]. Says as JSON what each case came to: "" is good.

With "local" also what a proxy answers by itself: see grpc_check.py for its routes.
"""

import concurrent.futures
import json
import random
import sys
import time
import traceback

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "/conformance.Echo/"
MEGABYTES = random.Random(3).randbytes(10 << 20)
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
FOUND = {}


def same(name, found, wanted):
    FOUND[name] = "" if found == wanted else f"{str(found)[:200]}, wanted {str(wanted)[:200]}"


def error_of(call):
    try:
        call()
        return None
    except grpc.RpcError as error:
        return error


def code_of(call):
    error = error_of(call)
    return error.code().name if error else "OK"


class Cases:
    def __init__(self, channel):
        self.channel = channel
        self.unary = channel.unary_unary(SERVICE + "Unary")
        self.server_stream = channel.unary_stream(SERVICE + "ServerStream")
        self.client_stream = channel.stream_unary(SERVICE + "ClientStream")
        self.bidirectional = channel.stream_stream(SERVICE + "Bidirectional")
        self.was_cancelled = channel.unary_unary(SERVICE + "WasCancelled")

    def unary_calls(self):
        same("unary", self.unary(b"hello"), b"hello")
        same("unary, empty", self.unary(b""), b"")
        same("unary, 10 MB", self.unary(MEGABYTES) == MEGABYTES, True)
        same("unary, gzip", self.unary(b"a" * 100_000, compression=grpc.Compression.Gzip), b"a" * 100_000)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            back = list(pool.map(self.unary, (b"%d" % i for i in range(1000))))
        same("unary, 1,000 calls, 32 at once", back, [b"%d" % i for i in range(1000)])

    def streams(self):
        same("server streaming", [message.split(b":")[0] for message in self.server_stream(b"1000 100")], [b"%d" % i for i in range(1000)])
        same("server streaming, none", list(self.server_stream(b"0 0")), [])
        same("server streaming, 40 MB", sum(map(len, self.server_stream(b"4 10485760"))), 4 * (10485760 + 2))
        same("client streaming", self.client_stream(iter([b"x" * 100] * 1000)), b"1000 100000")
        same("client streaming, none", self.client_stream(iter([])), b"0 0")
        same("client streaming, 40 MB", self.client_stream(iter([MEGABYTES] * 4)), b"4 %d" % (4 * len(MEGABYTES)))
        same("both ways", list(self.bidirectional(iter([b"%d" % i for i in range(500)]))), [b"%d" % i for i in range(500)])
        same("both ways, 30 MB", [message == MEGABYTES for message in self.bidirectional(iter([MEGABYTES] * 3))], [True] * 3)
        same("both ways, none", list(self.bidirectional(iter([]))), [])

    def ping_pong(self):
        last = [b"0"]

        def numbers():
            for i in range(200):
                while int(last[0]) < i:
                    time.sleep(0.0005)
                yield b"%d" % (i + 1)
        for answer in self.bidirectional(numbers(), timeout=60):
            last[0] = answer
        same("both ways, in turns", last[0], b"200")

    def deadlines(self):
        sleep = self.channel.unary_unary(SERVICE + "Sleep")
        name, began = b"deadline %d" % random.getrandbits(60), time.monotonic()
        same("deadline", code_of(lambda: sleep(name, timeout=0.3)), "DEADLINE_EXCEEDED")
        same("deadline: in time", time.monotonic() - began < 3, True)
        same("deadline: the server is told", self.was_cancelled(name), b"yes")

    def cancellation(self):
        sleep = self.channel.unary_unary(SERVICE + "Sleep")
        name = b"cancelled %d" % random.getrandbits(60)
        call = sleep.future(name)
        time.sleep(0.3)
        call.cancel()
        same("cancelled unary: the server is told", self.was_cancelled(name), b"yes")
        name = b"ticks %d" % random.getrandbits(60)
        call = self.channel.unary_stream(SERVICE + "Ticks")(name)
        same("cancelled stream: messages before", [next(call) for _ in range(3)], [b"tick"] * 3)
        call.cancel()
        same("cancelled stream", code_of(lambda: list(call)), "CANCELLED")
        same("cancelled stream: the server is told", self.was_cancelled(name), b"yes")

    def errors(self):
        fail = self.channel.unary_unary(SERVICE + "Fail")
        for code in grpc.StatusCode:
            if code.value[0]:
                error = error_of(lambda code=code: fail(b"%d " % code.value[0] + "grüße, 100 %".encode()))
                same(f"error {code.name}", error and (error.code(), error.details()), (code, "grüße, 100 %"))
                same(f"error {code.name}: trailers", dict(error.trailing_metadata() or ()).get("x-trailing"), "last")
        got, late = [], None
        try:
            for message in self.channel.unary_stream(SERVICE + "FailLate")(b""):
                got.append(message)
        except grpc.RpcError as error:
            late = error
        same("error behind messages", (got, late and late.code().name, late and late.details()), ([b"0", b"1", b"2"], "DATA_LOSS", "späte 100 % Störung\n"))
        same("unknown method", code_of(lambda: self.channel.unary_unary(SERVICE + "Nothing")(b"")), "UNIMPLEMENTED")

    def metadata(self):
        _, call = self.unary.with_call(b"", metadata=[("x-a", "b"), ("x-data-bin", b"\0\x01\xfe\xff"), ("x-large", "y" * 4000)])
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        same("metadata: text", (first.get("x-initial"), first.get("x-a-back"), len(first.get("x-large-back", ""))), ("first", "b", 4000))
        same("metadata: binary", first.get("x-data-back-bin"), b"\0\x01\xfe\xff")
        same("metadata: trailing", (last.get("x-trailing"), last.get("x-trailing-bin")), ("last", b"\0\xff"))

    def health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        same("health", stub.Check(health_pb2.HealthCheckRequest(service="conformance.Echo")).status, health_pb2.HealthCheckResponse.SERVING)
        same("health of another", stub.Check(health_pb2.HealthCheckRequest(service="conformance.Sick")).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        same("health of none", code_of(lambda: stub.Check(health_pb2.HealthCheckRequest(service="x"))), "NOT_FOUND")
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="conformance.Echo"))
        same("health watched", next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()

    def local(self):
        call = lambda path: error_of(lambda: self.channel.unary_unary(path)(b"x", timeout=10))
        for path, wanted in (("/no.Route/Method", "UNIMPLEMENTED"), ("/down.Service/Method", "UNAVAILABLE"), ("/forbidden.Service/Method", "PERMISSION_DENIED"),
                             ("/secret.Service/Method", "UNAUTHENTICATED"), ("/slow.Service/Sleep", "DEADLINE_EXCEEDED")):
            error = call(path)
            same(f"answered by the proxy: {path}", error and error.code().name, wanted)


GROUPS = ("unary_calls", "streams", "ping_pong", "deadlines", "cancellation", "errors", "metadata", "health")


def main():
    address, ca = sys.argv[1:3]
    if ca == "-":
        channel = grpc.insecure_channel(address, OPTIONS)
    else:
        with open(ca, "rb") as f:
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(f.read()), OPTIONS)
    with channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        cases = Cases(channel)
        for group in GROUPS + (("local",) if "local" in sys.argv[3:] else ()):
            try:
                getattr(cases, group)()
            except Exception as error:  # The other groups are to be seen all the same.
                traceback.print_exc()
                FOUND[group] = f"{type(error).__name__}: {str(error)[:300]}"
    print(json.dumps(FOUND))


if __name__ == "__main__":
    main()
