"""A WSGI application that says in x-seen which path it saw, and writes a line for each request to the file SEEN_LOG."""

import os


def application(environ, start_response):
    target = environ["RAW_URI"]
    with open(os.environ["SEEN_LOG"], "a") as log:
        log.write(f"{environ['REQUEST_METHOD']} {target}\n")
    size = 0
    while True:
        piece = environ["wsgi.input"].read(65536)
        if not piece:
            break
        size += len(piece)
    body = b"%d\n" % size
    start_response("200 OK", [("x-seen", target), ("Content-Length", str(len(body)))])
    return [body]
