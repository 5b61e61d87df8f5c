"""A certificate is replaced ten times under HTTPS load of both versions: no request fails, and every handshake that begins
once `porticoctl rollout --wait` has returned shows the new one, on all workers.

  --target nginx   replaces nginx's files and reloads it instead, to see what fails
"""

import argparse
import http.client
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from tests.conformance import h2_targets, h2load_report, registry_tools
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support import tls_files

ROTATIONS = 10
HANDSHAKES = 60  # After each, and workers.
WORKERS = 2
SECONDS = 30  # Of load.
CLIENTS, RATE = 16, 40  # Of each version; requests a second of each.

CONFIG = """
kind: Listener
name: https
spec: {{address: "127.0.0.1:0", tls: {{certificates: [main]}}}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{endpoint}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}
"""


class Portico:
    def __init__(self, fleet, first):
        self.fleet, self.control = fleet, fleet.control_plane()
        config = CONFIG.format(endpoint=fleet.echo("echo").addresses()["http"]) + tls_files.certificate_yaml("main", first)
        fleet.apply(self.control, config)
        self.process = fleet.proxy("p1", control=self.control, workers=WORKERS, listeners=("https",))
        self.process.wait_ready()
        self.address = self.process.listener("https")

    def rotate(self, pair):
        self.fleet.apply(self.control, tls_files.certificate_yaml("main", pair))
        self.fleet.ctl(self.control, "rollout", "--wait")


class Nginx:
    def __init__(self, fleet, first):
        h2_targets.authority(fleet)
        fleet.localhost = tls_files.Pair(fleet.path("current.pem"), fleet.path("current.key"))
        self._copy(fleet.localhost, first)
        self.current = fleet.localhost
        target = h2_targets.nginx(fleet)
        self.process, self.address = target.process, target.secure

    @staticmethod
    def _copy(to, pair):
        shutil.copy(pair.chain_path, to.chain_path)
        shutil.copy(pair.key_path, to.key_path)

    def rotate(self, pair):
        self._copy(self.current, pair)
        self.process.process.send_signal(signal.SIGHUP)


def context(authority, version=None, alpn=("http/1.1",)):
    made = ssl.create_default_context(cafile=authority.ca_path)
    made.set_alpn_protocols(list(alpn))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def shown(address, tls, session=None):
    """(certificate in DER, whether resumed, a session to resume) of one handshake and one request."""
    with socket.create_connection(address, timeout=20) as raw, tls.wrap_socket(raw, server_hostname="localhost", session=session) as secure:
        secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while secure.recv(65536):
            pass
        return secure.getpeercert(binary_form=True), secure.session_reused, secure.session


def der(pair):
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(pair.chain.split(end)[0][pair.chain.index(begin):] + end + "\n")


class Newcomers(threading.Thread):
    """Clients that make a connection for every request, all the time."""

    def __init__(self, address, authority):
        super().__init__(daemon=True)
        self.address, self.tls = address, context(authority)
        self.stopped, self.count, self.failures = threading.Event(), 0, []

    def run(self):
        while not self.stopped.is_set():
            self.count += 1
            try:
                shown(self.address, self.tls)
            except OSError as error:
                self.failures.append(repr(error))
            time.sleep(0.005)

    def stop(self):
        self.stopped.set()
        self.join()


def h2load(address, *options):
    return subprocess.Popen([registry_tools.debian("h2load", "nghttp2-client"), "--duration", str(SECONDS), "-c", str(CLIENTS), "-t", "1", "--rps", str(RATE), *options,
                             "https://%s:%d/" % address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Kept:
    """A connection from before the first rotation."""

    def __init__(self, address, authority):
        self.connection = http.client.HTTPSConnection(*address, timeout=20, context=context(authority))

    def request(self):
        self.connection.request("GET", "/", headers={"Host": "localhost"})
        answer = self.connection.getresponse()
        answer.read()
        if answer.will_close:
            raise ConnectionError("it is told to go")
        return answer.status


def rotate_all(verdicts, target, authority, address):
    check = verdicts.check
    new = {name: context(authority, version, alpn) for name, version, alpn in (
        ("TLS 1.3", ssl.TLSVersion.TLSv1_3, ("http/1.1",)), ("TLS 1.2", ssl.TLSVersion.TLSv1_2, ("http/1.1",)))}
    sessions = {name: shown(address, tls)[2] for name, tls in new.items()}
    for name, tls in new.items():
        check(f"{name}: sessions are resumed", shown(address, tls, sessions[name])[1])
    took = []
    for rotation in range(1, ROTATIONS + 1):
        pair = authority.issue("localhost", "127.0.0.1", kind="rsa2048" if rotation % 4 == 0 else "P-256")
        began = time.monotonic()
        target.rotate(pair)
        took.append(time.monotonic() - began)
        wanted, wrong = der(pair), 0
        for i in range(HANDSHAKES):
            wrong += shown(address, new["TLS 1.3" if i % 2 else "TLS 1.2"])[0] != wanted
        check(f"rotation {rotation}: all {HANDSHAKES} new handshakes show it", wrong == 0, f"{wrong} show another")
        for name, tls in new.items():
            found, resumed, sessions[name] = shown(address, tls, sessions[name])
            check(f"rotation {rotation}: {name}: a session of the old certificate is not resumed", found == wanted and not resumed)
    verdicts.say(f"{ROTATIONS} rotations, the slowest in {max(took):.2f} s from `porticoctl apply` to the end of `rollout --wait`")


def run(verdicts, fleet, make):
    check = verdicts.check
    authority = h2_targets.authority(fleet)
    target = make(fleet, authority.issue("localhost", "127.0.0.1"))
    address = target.address
    check("the first certificate", shown(address, context(authority))[0] is not None)
    kept = [Kept(address, authority) for _ in range(8)]
    for one in kept:
        one.request()
    newcomers = Newcomers(address, authority)
    newcomers.start()
    loads = {"HTTP/2": h2load(address, "-m", "4"), "HTTP/1.1": h2load(address, "--h1")}
    try:
        support.wait_until(lambda: newcomers.count > 20, "the first newcomers")
        rotate_all(verdicts, target, authority, address)
        lasting = sum(_served(one) for one in kept)
        check("connections from before are served behind the last", lasting == len(kept), lasting)
    except BaseException:
        for process in loads.values():
            process.kill()
        raise
    finally:
        # h2load says what it has counted only at its own end.
        reports = {name: process.communicate(timeout=SECONDS + 60)[0] for name, process in loads.items()}
        newcomers.stop()
    for name, text in reports.items():
        report = h2load_report.Report(text)
        check(f"{name}: no request fails", report.clean(), report)
        # A client of h2load whose connection ends does no more, and says nothing.
        check(f"{name}: no client is left behind", report.done > 0.8 * CLIENTS * RATE * SECONDS, report)
        check(f"{name}: that was spoken", report.protocol == ("h2" if name == "HTTP/2" else "http/1.1"), report.protocol)
        verdicts.say(f"load, {report}")
    check("no newcomer fails", newcomers.count > 100 and not newcomers.failures, newcomers.failures[:3])
    verdicts.say(f"{newcomers.count} newcomers")
    check("it lives", target.process.process.poll() is None, target.process.log())


def _served(kept):
    try:
        return kept.request() == 200
    except (OSError, http.client.HTTPException):
        return False


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=("portico", "nginx"), default="portico")
    options = options.parse_args()
    with Verdicts("rotation") as verdicts, support.Fleet() as fleet:
        run(verdicts, fleet, Portico if options.target == "portico" else Nginx)


if __name__ == "__main__":
    main()
