"""Fetches, uploads and downloads with httpx: BASE FILE. Says as JSON what came."""

import hashlib
import json
import sys

import httpx

base, file = sys.argv[1:3]
with httpx.Client(timeout=120) as client:
    found = {"fetch": client.get(base + "/hello").text}
    with open(file, "rb") as body:
        found["upload"] = client.post(base + "/upload", content=body).text
    digest = hashlib.sha256()
    with client.stream("GET", base + "/download") as response:
        for piece in response.iter_bytes():
            digest.update(piece)
    found["download"] = digest.hexdigest()
print(json.dumps(found))
