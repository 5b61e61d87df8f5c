"""Upstreams that break the rules of HTTP/2, before clients of HTTP/1.1 and HTTP/2: each gets 502 or a response that is visibly
cut, nothing of theirs reaches anybody else, and what the proxy holds stays bounded. h2_upstream.py is the table.

  --only TEXT   only cases whose name has it
"""

import argparse

from tests.conformance import h2_raw as h2
from tests.conformance import registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support.http_client import Closed, Connection

GROWTH = 48 * 1024  # KiB

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Upstream
name: server
spec: {{endpoints: [{{address: "{endpoint}"}}], protocol: http2, outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: server}}], timeout: 5s}}
"""


def ask_http1(address, name, cut):
    """A status, or `cut`, and the raw head."""
    with Connection(address, timeout=15) as connection:
        try:
            answer = connection.request("GET", "/" + name.replace(" ", "%20"), host="h")
            return answer.status, answer.raw_head
        except Closed:
            return cut, ""


def ask_http2(address, name, cut):
    with h2.Connection(address, first=h2.settings() + h2.frame(h2.SETTINGS, h2.ACK), timeout=15) as connection:
        connection.send(h2.headers(1, h2.request(path=b"/" + name.replace(" ", "%20").encode(), authority=b"h")))
        import hpack
        decoder, found, body = hpack.Decoder(), None, False
        while (frame := connection.read()) is not None:
            kind, flags, stream, payload = frame
            body = body or kind == h2.DATA
            if kind == h2.HEADERS:
                status = dict(decoder.decode(payload)).get(":status")
                # Informational ones come before, trailers behind.
                found = int(status) if status and not body else found
            if stream == 1 and kind == h2.RST_STREAM:
                return cut
            if stream == 1 and kind in (h2.HEADERS, h2.DATA) and flags & h2.END_STREAM:
                return found
        return cut


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options = options.parse_args()
    registry_tools.run_with("tests.conformance.upstreams_check", *registry_tools.HTTP2_PACKAGES)
    from tests.conformance import h2_upstream
    with Verdicts("upstreams") as verdicts, support.Fleet() as fleet:
        upstream = h2_upstream.Upstream()
        proxy = fleet.proxy("p1", config=fleet.write("config.yaml", CONFIG.format(endpoint=upstream.address)))
        proxy.wait_ready()
        address = proxy.listener("http")
        for name, (_, expected) in h2_upstream.CASES.items():
            if options.only not in name:
                continue
            rss = proxy.rss_kib()
            for version, ask in (("HTTP/1.1", ask_http1), ("HTTP/2", ask_http2)):
                upstream.seen.clear()
                try:
                    found = ask(address, name, h2_upstream.CUT)
                    found, raw = found if isinstance(found, tuple) else (found, "")
                except (OSError, ValueError, RuntimeError) as error:
                    found, raw = repr(error), ""
                verdicts.check(f"{version}: {name}", found in expected, f"{found}, wanted {expected}")
                verdicts.check(f"{version}: {name}: nothing comes through", "set-cookie" not in raw.lower(), raw)
                after = [ask_http1(address, "ok", h2_upstream.CUT)[0] for _ in range(2)]
                verdicts.check(f"{version}: {name}: the next are served", after == [200, 200], after)
            growth = proxy.rss_kib() - rss
            verdicts.check(f"{name}: memory", growth <= GROWTH, f"{growth} KiB more")
            if not verdicts.check(f"{name}: the proxy lives", proxy.process.poll() is None, proxy.log()):
                break


if __name__ == "__main__":
    main()
