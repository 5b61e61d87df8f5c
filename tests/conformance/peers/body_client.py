"""Fetches, uploads and downloads with httpx: BASE FILE PROTOCOL CA. Says as JSON what came."""

import hashlib
import json
import ssl
import sys

import httpx

base, file, protocol, ca = sys.argv[1:5]
http2 = protocol in ("h2", "h2c")
# Without HTTP/1.1 it speaks HTTP/2 with prior knowledge in cleartext.
with httpx.Client(timeout=120, http2=http2, http1=not http2, verify=ssl.create_default_context(cafile=ca)) as client:
    answer = client.get(base + "/hello")
    found = {"fetch": answer.text, "protocol": answer.http_version}
    with open(file, "rb") as body:
        found["upload"] = client.post(base + "/upload", content=body).text
    digest = hashlib.sha256()
    with client.stream("GET", base + "/download") as response:
        for piece in response.iter_bytes():
            digest.update(piece)
    found["download"] = digest.hexdigest()
print(json.dumps(found))
