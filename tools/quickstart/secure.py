"""HTTPS and HTTP/2: a certificate made on the spot, pushed, and replaced while requests are served."""

import http.client
import json
import ssl
import threading

from processes import wait_for
from stack import PROXIES, split_address
from tour import write

LISTENER = """\
kind: Listener
name: https
description: A listener of the quickstart. Port 0 takes a free one.
spec:
  address: 127.0.0.1:0
  tls:
    certificates: [site]
"""


class HttpsLoad(threading.Thread):
    """A new connection for each request, and beside them one that is kept; counts what fails."""

    def __init__(self, address, certificates):
        super().__init__(daemon=True)
        self.requests, self.failures = 0, []
        self.serials = set()
        self._address = split_address(address)
        self._context = ssl.create_default_context(cafile=certificates)
        self._context.check_hostname = False
        self._done = threading.Event()

    def run(self):
        kept = self._connect()
        while not self._done.is_set():
            fresh = self._connect()
            self._ask(fresh)
            self._ask(kept)
            if fresh.sock:
                self.serials.add(fresh.sock.getpeercert()["serialNumber"])
            fresh.close()
        kept.close()

    def finish(self):
        self._done.set()
        self.join(timeout=30)
        return self.requests, self.failures

    def _connect(self):
        return http.client.HTTPSConnection(*self._address, timeout=10, context=self._context)

    def _ask(self, connection):
        self.requests += 1
        try:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.failures.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"{type(error).__name__}: {error}")


class Secure:
    """Needs a tour whose stack is up."""

    def __init__(self, tour):
        self.tour = tour
        self.stack = tour.stack

    def https(self):
        self._push(self._make_pair("site"))
        path = write(self.stack.path("https.yaml"), LISTENER)
        print(f"  $ $PORTICOCTL apply -f {path} --wait --min-proxies 2")
        self.stack.ctl("apply", "-f", path, "--wait", "--min-proxies", "2")
        self._settle()
        self.stack.learn_https()
        self.stack.write_env()
        versions = "--http2" in self.tour.shell("curl --help all", show=False)
        for number, name in enumerate(PROXIES, start=1):
            for flag, wanted in [("--http1.1", "1.1 200"), ("--http2", "2 200")][:2 if versions else 1]:
                seen = self.tour.shell(
                    f'curl -s {flag} --cacert {self.stack.path("keys", "site.pem")} '
                    f'--connect-to "localhost:443:$PROXY_HTTPS_{number}" -o /dev/null '
                    '-w "%{http_version} %{http_code}" https://localhost/healthz').strip()
                self.tour.record(f"HTTPS to {name} with {flag}", wanted, seen, seen == wanted)

    def replace_certificate(self):
        chains = []
        for name in ("site", "site-next"):
            with open(self.stack.path("keys", f"{name}.pem") if name == "site" else self._make_pair(name)[0],
                      encoding="ascii") as file:
                chains.append(file.read())
        both = write(self.stack.path("keys", "both.pem"), "".join(chains))
        loads = [HttpsLoad(self.stack.proxy_https(name), both) for name in PROXIES]
        for load in loads:
            load.start()
        wait_for(lambda: all(load.requests > 20 for load in loads), "HTTPS requests")
        self._push((self.stack.path("keys", "site-next.pem"), self.stack.path("keys", "site-next.key")))
        counts = [load.requests for load in loads]
        wait_for(lambda: all(load.requests > count + 20 for load, count in zip(loads, counts)),
                 "HTTPS requests after the change")
        results = [load.finish() for load in loads]
        failures = [failure for _, failed in results for failure in failed]
        requests = sum(count for count, _ in results)
        self.tour.record("a certificate replaced under load", "0 failed",
                         f"{len(failures)} of {requests} requests failed" +
                         (f": {failures[0]}" if failures else ""), not failures and requests > 0)
        seen = [len(load.serials) for load in loads]
        self.tour.record("and new connections see the new one", "2 certificates on each proxy",
                         ", ".join(map(str, seen)), seen == [2] * len(PROXIES))
        shown = self.tour.shell("$PORTICOCTL get certificate site")
        self.tour.record("the private key, asked for", "(redacted)",
                         "(redacted)" if "(redacted)" in shown else shown,
                         "(redacted)" in shown and "PRIVATE KEY" not in shown)

    def _make_pair(self, name):
        chain, key = self.stack.path("keys", f"{name}.pem"), self.stack.path("keys", f"{name}.key")
        output = self.tour.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=quickstart "
            f"-addext subjectAltName=DNS:localhost -keyout {key} -out {chain}")
        self.stack.require_file(chain, output)
        return chain, key

    def _push(self, pair):
        chain, key = pair
        print(f"  $ $PORTICOCTL certificate site --chain {chain} --key {key} --wait --min-proxies 2")
        self.stack.ctl("certificate", "site", "--chain", chain, "--key", key, "--wait", "--min-proxies", "2")

    def _settle(self):
        """With the first TLS listener the control plane makes keys for session tickets, as a revision."""
        wait_for(lambda: json.loads(self.stack.ctl("list", "sessionticketkeys", "--output", "json").stdout),
                 "keys for session tickets")
        self.stack.ctl("rollout", "--wait", "--min-proxies", "2")
