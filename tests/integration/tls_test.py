"""TLS through the real proxy: certificates by name, protocols, client certificates, resumption, rotation. The configuration is
the example of docs/tls.md."""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import unittest

from tests.support import fleet as support
from tests.support.tcp_server import TcpServer, read_head


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, input=stdin, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments}: {done.stderr}")
    return done.stdout


class Authority:
    """Signs certificates; everything lies in one folder."""

    def __init__(self, folder, name):
        self.folder, self.name, self.count = folder, name, 0
        self.key, self.pem = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.pem)

    def issue(self, *names, key="ec"):
        """(chain, key) as paths."""
        self.count += 1
        base = os.path.join(self.folder, f"{self.name}-{self.count}")
        algorithm = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256") if key == "ec" else ("-newkey", "rsa:2048")
        openssl("req", *algorithm, "-nodes", "-subj", "/CN=leaf", "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=" + ",".join(names))
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial",
                "-days", "1", "-extfile", base + ".ext", "-out", base + ".pem")
        return base + ".pem", base + ".key"

    def ocsp(self, chain):
        """An OCSP response (DER) that says that the leaf of `chain` is good."""
        base = os.path.splitext(chain)[0]
        serial = openssl("x509", "-in", chain, "-noout", "-serial").split("=")[1].strip()
        with open(base + ".index", "w") as f:
            f.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=leaf\n")
        openssl("ocsp", "-issuer", self.pem, "-cert", chain, "-no_nonce", "-reqout", base + ".req")
        openssl("ocsp", "-index", base + ".index", "-rsigner", self.pem, "-rkey", self.key, "-CA", self.pem, "-reqin", base + ".req",
                "-respout", base + ".ocsp", "-ndays", "1")
        with open(base + ".ocsp", "rb") as f:
            return f.read()


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def indented(text, spaces=4):
    return "".join(" " * spaces + line + "\n" for line in text.strip().splitlines())


def certificate(name, chain, key, ocsp=b""):
    return (f"kind: Certificate\nname: {name}\nspec:\n  chain: |\n{indented(read(chain))}"
            f"  private_key: |\n{indented(read(key))}" + (f"  ocsp_response: {base64.b64encode(ocsp).decode()}\n" if ocsp else ""))


def fingerprint(path):
    return openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").split("=")[1].strip().replace(":", "").lower()


class Upstream(TcpServer):
    """Answers with the request's head."""

    def serve(self, connection):
        rest = b""
        while True:
            head, rest = read_head(connection, rest)
            if head is None:
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.authority = Authority(cls.fleet.folder, "authority")
        cls.partners = Authority(cls.fleet.folder, "partners")
        cls.web = cls.authority.issue("DNS:www.example.com", "DNS:*.example.com")
        cls.rsa = cls.authority.issue("DNS:www.example.com", "DNS:*.example.com", key="rsa")
        cls.other = cls.authority.issue("DNS:other.example.com")
        cls.client = cls.partners.issue("URI:spiffe://example.com/job", "DNS:job.example.com")
        cls.stranger = cls.authority.issue("URI:spiffe://example.com/job")
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.control = cls.fleet.control_plane()
        cls.proxies = [cls.fleet.proxy(name, control=cls.control, listeners=("https",)) for name in ("p1", "p2")]
        cls.fleet.apply(cls.control, cls.configuration())
        for proxy in cls.proxies:
            proxy.wait_ready()

    @classmethod
    def configuration(cls):
        """The first YAML block of docs/tls.md, with real certificates and addresses."""
        example = re.search(r"```yaml\n(.*?)```", read("docs/tls.md"), re.DOTALL).group(1)
        documents = example.split("---\n")
        documents[0] = certificate("web", *cls.web)
        documents[1] = f"kind: CaBundle\nname: partners\nspec:\n  certificates: |\n{indented(read(cls.partners.pem))}"
        text = "---\n".join(documents)
        text = text.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:9001", cls.upstream.address)
        text = text.replace("spec:\n  address:", "spec:\n  access_log: tls\n  address:")
        return text.replace("certificates: [web]", "certificates: [web, rsa, other]") + "---\n" + "---\n".join(
            [certificate("rsa", *cls.rsa), certificate("other", *cls.other), f"""kind: AccessLog
name: tls
spec: {{path: {cls.fleet.path("tls.log")}}}
""", """kind: RateLimitPolicy
name: per-certificate
spec: {rate: {requests: 2, per: 1h}, key: [{client_certificate: {}}]}
""", """kind: Route
name: limited
spec: {match: {path: {prefix: /limited}}, upstreams: [{name: echo}], rate_limits: [per-certificate]}
"""])

    def context(self, client=None, version=None, alpn=None, ciphers=None):
        context = ssl.create_default_context(cafile=self.authority.pem)
        if client:
            context.load_cert_chain(*client)
        if version:
            context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(alpn)
        if ciphers:
            context.set_ciphers(ciphers)
        return context

    def connect(self, name, proxy=0, session=None, context=None, **more):
        context = context or self.context(**more)
        raw = socket.create_connection(self.proxies[proxy].listener("https"), timeout=20)
        return context.wrap_socket(raw, server_hostname=name, session=session)

    def ask(self, connection, host="www.example.com", fields="", path="/"):
        """(status, body)"""
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read().decode()

    def shown(self, **more):
        name = more.pop("name", "www.example.com")
        with self.connect(name, **more) as connection:
            der = connection.getpeercert(binary_form=True)
        return openssl("x509", "-noout", "-fingerprint", "-sha256",
                       stdin=ssl.DER_cert_to_PEM_cert(der)).split("=")[1].strip().replace(":", "").lower()

    def test_certificates_by_name_and_kind(self):
        self.assertEqual(self.shown(), fingerprint(self.web[0]))
        self.assertEqual(self.shown(name="other.example.com"), fingerprint(self.other[0]))
        self.assertEqual(self.shown(name="any.example.com"), fingerprint(self.web[0]))
        rsa = self.context(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
        self.assertEqual(self.shown(context=rsa), fingerprint(self.rsa[0]))
        ecdsa = self.context(version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertEqual(self.shown(context=ecdsa), fingerprint(self.web[0]))

    def test_versions_and_suites(self):
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
                      "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"):
            with self.connect("www.example.com", version=ssl.TLSVersion.TLSv1_2, ciphers=suite) as connection:
                self.assertEqual(connection.cipher()[0], suite)
                self.assertEqual(self.ask(connection)[0], 200)
                self.assertEqual(self.ask(connection)[0], 200)
        for bad in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256"):
            with self.assertRaises(ssl.SSLError, msg=bad):
                self.connect("www.example.com", version=ssl.TLSVersion.TLSv1_2, ciphers=bad)
        with self.connect("www.example.com", version=ssl.TLSVersion.TLSv1_3) as connection:
            self.assertEqual(connection.version(), "TLSv1.3")
            self.assertEqual(self.ask(connection)[0], 200)

    def test_alpn(self):
        for offered, chosen in ((["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2"), (None, None)):
            with self.connect("www.example.com", alpn=offered) as connection:
                self.assertEqual(connection.selected_alpn_protocol(), chosen)
        with self.assertRaises(ssl.SSLError) as refused:
            self.connect("www.example.com", alpn=["spdy/1"])
        self.assertIn("no application protocol", str(refused.exception).lower().replace("_", " "))

    def test_client_certificates(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect("admin.example.com", client=self.client, version=version) as connection:
                status, head = self.ask(connection, "admin.example.com", "X-Forwarded-Client-Cert: Hash=forged\r\n")
                self.assertEqual(status, 200)
                values = re.findall(r"(?im)^x-forwarded-client-cert: (.*?)\r$", head)
                self.assertEqual(values, [f'Hash={fingerprint(self.client[0])};Subject="CN=leaf";'
                                          "URI=spiffe://example.com/job;DNS=job.example.com"])
                self.assertIn("x-forwarded-proto: https", head.lower())
            for bad in (None, self.stranger):
                with self.assertRaises((ssl.SSLError, OSError, http.client.HTTPException)):
                    with self.connect("admin.example.com", client=bad, version=version) as connection:
                        self.ask(connection, "admin.example.com")
        with self.connect("www.example.com") as connection:
            status, head = self.ask(connection, fields="X-Forwarded-Client-Cert: Hash=forged\r\n")
            self.assertEqual(status, 200)
            self.assertNotIn("forged", head)

    def test_policies_and_the_access_log_know_the_client(self):
        """One counter for each client, by its certificate; the access log says whom it names."""
        with self.connect("admin.example.com", client=self.client) as connection:
            self.assertEqual([self.ask(connection, "admin.example.com", path="/limited")[0] for _ in range(3)], [200, 200, 429])
        renewed = self.partners.issue("URI:spiffe://example.com/job")
        with self.connect("admin.example.com", client=renewed) as connection:
            self.assertEqual(self.ask(connection, "admin.example.com", path="/limited")[0], 429)
        other = self.partners.issue("URI:spiffe://example.com/other")
        with self.connect("admin.example.com", client=other, version=ssl.TLSVersion.TLSv1_2) as connection:
            self.assertEqual(self.ask(connection, "admin.example.com", path="/limited")[0], 200)
        with self.connect("www.example.com") as connection:
            self.assertEqual(self.ask(connection, path="/limited")[0], 200)

        def lines():
            entries = [json.loads(line) for line in read(self.fleet.path("tls.log")).splitlines()]
            return [(entry.get("tls_version"), entry.get("tls_client")) for entry in entries if entry["path"] == "/limited"]
        job, other = "spiffe://example.com/job", "spiffe://example.com/other"
        support.wait_until(lambda: len(lines()) == 6, "six lines in the access log")
        self.assertEqual(lines(), [("TLSv1.3", job)] * 4 + [("TLSv1.2", other), ("TLSv1.3", None)])

    def test_ocsp_response_is_stapled(self):
        def stapled(version):
            host, port = self.proxies[0].listener("https")
            return openssl("s_client", "-connect", f"{host}:{port}", version, "-servername", "other.example.com", "-status",
                           "-CAfile", self.authority.pem, stdin="")
        self.assertIn("OCSP response: no response sent", stapled("-tls1_3"))
        self.fleet.apply(self.control, certificate("other", *self.other, self.authority.ocsp(self.other[0])), "--wait")
        try:
            for version in ("-tls1_2", "-tls1_3"):
                text = stapled(version)
                self.assertIn("OCSP Response Status: successful", text)
                self.assertIn("Cert Status: good", text)
        finally:
            self.fleet.apply(self.control, certificate("other", *self.other), "--wait")

    def test_misdirected_requests(self):
        with self.connect("www.example.com") as connection:
            status, body = self.ask(connection, "admin.example.com")
            self.assertEqual((status, "misdirected_request" in body), (421, True))
            self.assertEqual(self.ask(connection, "admin.example.com:443")[0], 421)
            self.assertEqual(self.ask(connection, "other.example.com")[0], 200)
        with self.connect("admin.example.com", client=self.client) as connection:
            self.assertEqual(self.ask(connection, "www.example.com")[0], 421)
            self.assertEqual(self.ask(connection, "ADMIN.example.com")[0], 200)

    def test_resumption_on_another_proxy(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context(version=version)

            def resumed():
                with self.connect("www.example.com", 0, context=context) as connection:
                    self.assertEqual(self.ask(connection)[0], 200)
                    session = connection.session
                with self.connect("www.example.com", 1, session, context) as connection:
                    self.assertEqual(self.ask(connection)[0], 200)
                    return connection.session_reused and session
            # The control plane makes the keys when it knows of the listener, in a revision of its own.
            session = support.wait_until(resumed, f"a session being resumed with {version}")
            # Not for a name that asks for a certificate.
            with self.assertRaises((ssl.SSLError, OSError, http.client.HTTPException)):
                with self.connect("admin.example.com", 1, session, context) as connection:
                    self.ask(connection, "admin.example.com")

    def test_plain_http_and_garbage(self):
        before = self.proxies[0].metrics()
        with socket.create_connection(self.proxies[0].listener("https"), timeout=20) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"plain_http_on_tls", raw.makefile("rb").read())
        with socket.create_connection(self.proxies[0].listener("https"), timeout=20) as raw:
            raw.sendall(b"\x16\x03\x01\x00\x05hello")
            self.assertEqual(raw.recv(100)[:1], b"\x15")
        # Counted once the client has gone.
        for series in ('portico_protocol_errors_total{reason="plain_http_on_tls"}',
                       'portico_protocol_errors_total{reason="tls_handshake_failed"}'):
            support.wait_until(lambda: self.proxies[0].metrics().get(series, 0) > before.get(series, 0), series)

    def test_renegotiation_is_refused(self):
        host, port = self.proxies[0].listener("https")
        done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-servername", "www.example.com",
                               "-CAfile", self.authority.pem], input="R\n", capture_output=True, text=True, timeout=60)
        self.assertIn("Secure Renegotiation IS supported", done.stdout)
        self.assertRegex(done.stderr + done.stdout, "(?i)no.renegotiation|alert|EPIPE|unexpected eof")

    def test_rotation_under_load(self):
        stop, failures, seen, requests = threading.Event(), [], set(), [0]

        def load(keep):
            context, connection = self.context(), None
            while not stop.is_set():
                try:
                    connection = connection or self.connect("www.example.com", 1, context=context)
                    status, _ = self.ask(connection)
                    requests[0] += 1
                    if status != 200:
                        failures.append(status)
                    if not keep:
                        connection.close()
                        connection = None
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    connection = None
            if connection:
                connection.close()
        threads = [threading.Thread(target=load, args=(keep,)) for keep in (True, True, False)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                fresh = self.authority.issue("DNS:www.example.com", "DNS:*.example.com")
                self.fleet.apply(self.control, certificate("web", *fresh), "--wait")
                # Every worker, not most of them.
                for _ in range(10):
                    self.assertEqual(self.shown(proxy=1), fingerprint(fresh[0]))
                seen.add(fingerprint(fresh[0]))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            self.fleet.apply(self.control, certificate("web", *self.web), "--wait")
        self.assertEqual(failures, [])
        self.assertGreater(requests[0], 50)

    def test_expiry_is_a_metric(self):
        metrics = self.proxies[0].metrics()
        self.assertIn('portico_certificate_not_after_seconds{certificate="web"}', metrics)
        self.assertGreater(metrics['portico_certificate_not_after_seconds{certificate="other"}'], 1.5e9)


if __name__ == "__main__":
    unittest.main()
