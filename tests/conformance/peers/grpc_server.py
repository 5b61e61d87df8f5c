"""A server of gRPC's Python: PORT. Service conformance.Echo of plain bytes, health and reflection."""

import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

CODES = {code.value[0]: code for code in grpc.StatusCode}
CANCELLED, LOCK = {}, threading.Lock()


def note_end(request, context):
    """Remembers under the request's name that its call ended before it was done with."""
    with LOCK:
        CANCELLED[request] = False
    ended = threading.Event()

    def callback():
        with LOCK:
            CANCELLED[request] = True
        ended.set()
    context.add_callback(callback)
    return ended


def unary(request, context):
    sent = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata([("x-initial", "first"), *((f"{key[:-4]}-back-bin" if key.endswith("-bin") else f"{key}-back", value) for key, value in sent)])
    context.set_trailing_metadata([("x-trailing", "last"), ("x-trailing-bin", b"\0\xff")])
    return request


def server_stream(request, _):
    count, size = map(int, request.split())
    for i in range(count):
        yield b"%d:" % i + b"x" * size


def client_stream(requests, _):
    count = size = 0
    for request in requests:
        count, size = count + 1, size + len(request)
    return b"%d %d" % (count, size)


def bidirectional(requests, _):
    for request in requests:
        yield request


def sleep(request, context):
    note_end(request, context).wait(20)
    return request


def ticks(request, context):
    """Messages until the client has had enough."""
    ended = note_end(request, context)
    while not ended.wait(0.01):
        yield b"tick"


def was_cancelled(request, _):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with LOCK:
            if CANCELLED.get(request):
                return b"yes"
        time.sleep(0.01)
    return b"no"


def fail(request, context):
    code, message = request.split(b" ", 1)
    context.set_trailing_metadata([("x-trailing", "last")])
    context.abort(CODES[int(code)], message.decode())


def fail_late(request, context):
    for i in range(3):
        yield b"%d" % i
    context.abort(grpc.StatusCode.DATA_LOSS, "späte 100 % Störung\n")


def main():
    server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("conformance.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidirectional": grpc.stream_stream_rpc_method_handler(bidirectional),
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
        "Ticks": grpc.unary_stream_rpc_method_handler(ticks),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    })])
    servicer = health.HealthServicer()
    servicer.set("conformance.Echo", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("conformance.Sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    server.add_insecure_port("127.0.0.1:" + sys.argv[1])
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as chain, open(sys.argv[4], "rb") as key:
            server.add_secure_port("127.0.0.1:" + sys.argv[2], grpc.ssl_server_credentials([(key.read(), chain.read())]))
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
