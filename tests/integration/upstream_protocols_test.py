"""HTTP/2 and TLS towards real servers: nghttpd and nginx. Runs the example of docs/upstream-protocols.md."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection
from tests.support.tls_files import Authority, certificate_yaml, indented

LISTENER = """
kind: Listener
name: http
spec: {address: "127.0.0.1:0"}
"""


class Server:
    """A server process on a port of its own."""

    def __init__(self, test, folder, command):
        self.log_path = os.path.join(folder, f"server-{os.path.basename(command[0])}-{command[-1].replace('/', '_')[-40:]}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        test.addCleanup(self.stop)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def listens(port):
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in table.readlines()[1:])


class UpstreamProtocolsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.authority = Authority(cls.fleet.path("ca"))
        cls.pair = cls.authority.issue("users.internal")
        cls.htdocs = cls.fleet.path("htdocs")
        os.makedirs(cls.htdocs, exist_ok=True)
        cls.large = os.urandom(3 << 20)
        for name, content in (("small", b"small"), ("large", cls.large), ("empty", b"")):
            with open(os.path.join(cls.htdocs, name), "wb") as file:
                file.write(content)

    def nghttpd(self, *options, tls=True):
        port = support.free_port()
        command = ["nghttpd", "-a", "127.0.0.1", "-d", self.htdocs, "--echo-upload", *options]
        command += [str(port), self.pair.key_path, self.pair.chain_path] if tls else ["--no-tls", str(port)]
        server = Server(self, self.fleet.path(""), command)
        support.wait_until(lambda: listens(port), "nghttpd")
        return server, f"127.0.0.1:{port}"

    def nginx(self):
        """HTTP/1.1 over TLS alone."""
        port = support.free_port()
        folder = self.fleet.path("nginx")
        os.makedirs(folder, exist_ok=True)
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""
user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {self.pair.chain_path}; ssl_certificate_key {self.pair.key_path};
    root {self.htdocs};
    location /version {{ return 200 "$server_protocol $ssl_protocol $ssl_server_name"; }}
  }}
}}
""")
        server = Server(self, folder, [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", folder, "-c", config])
        support.wait_until(lambda: listens(port) or server.process.poll() is not None, "nginx")
        with open(server.log_path, encoding="utf-8") as log:
            self.assertIsNone(server.process.poll(), log.read())
        return f"127.0.0.1:{port}"

    def ca_bundle(self, name="internal", authority=None):
        with open((authority or self.authority).ca_path, encoding="ascii") as file:
            return f"---\nkind: CaBundle\nname: {name}\nspec:\n  certificates: |\n{indented(file.read())}"

    def start(self, name, upstream, more=""):
        """A proxy whose only route goes to an upstream with this spec."""
        config = self.fleet.write(f"{name}.yaml", f"""{LISTENER}
---
kind: Upstream
name: up
spec: {upstream}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}]}}
{more}""")
        proxy = self.fleet.proxy(name, "--drain-grace", "0s", config=config)
        proxy.wait_ready()
        return proxy

    def get(self, proxy, path, method="GET", body=None):
        with Connection(proxy.listener()) as client:
            return client.request(method, path, body=body)

    def check_exchanges(self, proxy):
        """What every protocol must be able to do."""
        self.assertEqual(self.get(proxy, "/small").body, b"small")
        self.assertEqual(self.get(proxy, "/large").body, self.large)
        self.assertEqual(self.get(proxy, "/empty").body, b"")
        self.assertEqual(self.get(proxy, "/nowhere").status, 404)
        head = self.get(proxy, "/small", method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_http2_in_cleartext(self):
        _, address = self.nghttpd("--trailer", "x-sum: 1", tls=False)
        proxy = self.start("h2c", f'{{endpoints: [{{address: "{address}"}}], protocol: http2}}')
        self.check_exchanges(proxy)
        self.assertEqual(self.get(proxy, "/", method="POST", body=self.large).body, self.large)
        # Many at a time share few connections.
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            bodies = list(pool.map(lambda _: self.get(proxy, "/small").body, range(400)))
        self.assertEqual(set(bodies), {b"small"})
        metrics = proxy.metrics()
        print("connections", metrics["portico_upstream_connections_total"])
        self.assertLessEqual(metrics["portico_upstream_connections_total"], 2)
        self.assertEqual(metrics["portico_upstream_http2_connections_total"], metrics["portico_upstream_connections_total"])
        self.assertEqual(proxy.terminate(), 0)

    def test_http2_over_tls(self):
        _, address = self.nghttpd()
        proxy = self.start("h2", f'{{endpoints: [{{address: "{address}"}}], protocol: http2, '
                           "tls: {ca_bundles: [internal], server_name: users.internal}}", self.ca_bundle())
        self.check_exchanges(proxy)
        self.assertEqual(self.get(proxy, "/", method="POST", body=self.large).body, self.large)
        metrics = proxy.metrics()
        self.assertGreater(metrics["portico_upstream_http2_connections_total"], 0)
        self.assertGreater(metrics["portico_upstream_tls_connections_total"], 0)
        self.assertEqual(metrics["portico_upstream_tls_handshake_failures_total"], 0)
        self.assertEqual(proxy.terminate(), 0)

    def test_alpn_chooses(self):
        _, http2 = self.nghttpd()
        http1 = self.nginx()
        proxy = self.start("auto", f'{{endpoints: [{{address: "{http2}"}}, {{address: "{http1}"}}], protocol: auto, '
                           "tls: {ca_bundles: [internal], server_name: users.internal}}", self.ca_bundle())
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            bodies = list(pool.map(lambda _: self.get(proxy, "/large").body == self.large, range(40)))
        self.assertEqual(set(bodies), {True})
        metrics = proxy.metrics()
        spoke_http2 = metrics["portico_upstream_http2_connections_total"]
        self.assertGreater(spoke_http2, 0)
        self.assertGreater(metrics["portico_upstream_connections_total"], spoke_http2)

    def test_http1_over_tls(self):
        proxy = self.start("tls1", f'{{endpoints: [{{address: "{self.nginx()}"}}], '
                           "tls: {ca_bundles: [internal], server_name: users.internal}}", self.ca_bundle())
        self.check_exchanges(proxy)
        self.assertEqual(self.get(proxy, "/version").body, b"HTTP/1.1 TLSv1.3 users.internal")

    def test_handshakes_that_must_fail(self):
        _, address = self.nghttpd()
        http1 = self.nginx()
        stranger = Authority(self.fleet.path("stranger"), name="Stranger")
        cases = {
            "another authority": (address, "{ca_bundles: [stranger], server_name: users.internal}", "http2"),
            "another name": (address, "{ca_bundles: [internal], server_name: orders.internal}", "http2"),
            "no h2": (http1, "{ca_bundles: [internal], server_name: users.internal}", "http2"),
        }
        for number, (what, (endpoint, tls, protocol)) in enumerate(cases.items()):
            with self.subTest(what):
                proxy = self.start(f"fail{number}", f'{{endpoints: [{{address: "{endpoint}"}}], protocol: {protocol}, tls: {tls}}}',
                                   self.ca_bundle() + self.ca_bundle("stranger", stranger))
                answer = self.get(proxy, "/small")
                print(what, answer.body)
                self.assertEqual(answer.status, 503)
                self.assertIn(b'"reason": "upstream_tls_failed"', answer.body)
                self.assertIn(endpoint.encode(), answer.body)
                self.assertGreater(proxy.metrics()["portico_upstream_tls_handshake_failures_total"], 0)

    def test_mutual_tls(self):
        _, address = self.nghttpd("-V")
        client = self.authority.issue("gateway.internal", client=True)
        proxy = self.start("mutual", f'{{endpoints: [{{address: "{address}"}}], protocol: http2, '
                           "tls: {ca_bundles: [internal], server_name: users.internal, certificate: gateway}}",
                           self.ca_bundle() + certificate_yaml("gateway", client))
        self.assertEqual(self.get(proxy, "/small").body, b"small")

    def test_an_upstream_that_restarts(self):
        server, address = self.nghttpd(tls=False)
        proxy = self.start("restart", f'{{endpoints: [{{address: "{address}"}}], protocol: http2, outlier_detection: {{disabled: true}}}}')
        self.assertEqual(self.get(proxy, "/small").body, b"small")
        server.stop()
        self.assertEqual(self.get(proxy, "/small").status, 503)
        port = int(address.split(":")[1])
        Server(self, self.fleet.path(""), ["nghttpd", "-a", "127.0.0.1", "-d", self.htdocs, "--no-tls", str(port)])
        support.wait_until(lambda: listens(port), "nghttpd")
        self.assertEqual(self.get(proxy, "/small").body, b"small")

    def test_the_example_of_the_documentation(self):
        with open("docs/upstream-protocols.md", encoding="utf-8") as file:
            example = re.search(r"```yaml\n(.*?)```", file.read(), re.DOTALL).group(1)
        _, users = self.nghttpd()
        _, accounts = self.nghttpd(tls=False)
        with open(self.authority.ca_path, encoding="ascii") as file:
            example = re.sub(r" *-----BEGIN.*?END CERTIFICATE-----\n", lambda _: indented(file.read()), example, flags=re.DOTALL)
        for listed, real in (("10.0.0.7:8443", users), ("10.0.0.8:8443", users), ("10.0.0.9:50051", accounts)):
            example = example.replace(listed, real)
        example = example.replace(f'{{address: "{users}"}}, {{address: "{users}"}}', f'{{address: "{users}"}}')
        proxy = self.fleet.proxy("docs", config=self.fleet.write("docs.yaml", f"{LISTENER}---\n{example}"))
        proxy.wait_ready()
        self.assertEqual(self.get(proxy, "/users").status, 404)  # Of nghttpd, which has no such file.
        self.assertNotIn(b'"reason"', self.get(proxy, "/users").body)
        echoed = self.get(proxy, "/accounts.v1.Accounts/Get", method="POST", body=b"message")
        self.assertEqual(echoed.body, b"message")
        self.assertGreater(proxy.metrics()["portico_upstream_tls_connections_total"], 0)


if __name__ == "__main__":
    unittest.main()
