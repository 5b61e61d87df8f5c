"""Certificates on their way from an operator to the proxies: what is accepted, and what nobody gets to see."""

import json
import os
import unittest

from tests.support import fleet as support
from tests.support.tls_files import Authority

LISTENER = """
kind: Listener
name: http
spec: {address: "127.0.0.1:0", tls: {certificates: [site]}}
---
kind: Route
name: all
spec: {match: {path: {prefix: /}}, respond: {status: 200, body: fine}}
"""


class CertificatesTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.control = self.fleet.control_plane()
        self.authority = Authority(self.fleet.path("ca"))

    def ctl(self, *arguments, **more):
        return self.fleet.ctl(self.control, *arguments, **more)

    def push(self, pair, *more, check=True):
        return self.ctl("certificate", "site", "--chain", pair.chain_path, "--key", pair.key_path, *more, check=check)

    def settle(self):
        """Until the keys for session tickets, which come with the first listener, are live, too."""
        support.wait_until(lambda: json.loads(self.ctl("list", "sessionticketkeys", "-o", "json").stdout),
                           "ticket keys")
        self.ctl("rollout", "--wait", "--min-proxies", "1")

    def test_keys_are_seen_nowhere(self):
        pair = self.authority.issue("localhost")
        proxy = self.fleet.proxy("p1", control=self.control)
        self.push(pair)
        self.fleet.apply(self.control, LISTENER, "--wait", "--min-proxies", "1")
        self.settle()
        next_pair = self.authority.issue("localhost")
        self.push(next_pair, "--wait", "--min-proxies", "1")
        head = json.loads(self.ctl("fleet", "-o", "json").stdout)["current_revision"]
        support.wait_until(lambda: os.listdir(self.fleet.path("p1.cache")), "the proxy's cache")

        texts = {line: self.ctl(*line.split()).stdout for line in (
            "get cert site --show-secrets", "get cert site -o json", "list", "list -o yaml --show-secrets",
            "list -o json", "diff 1", f"diff 1 {head} -o json", "history", "history -o json",
            "get sessionticketkeys default")}
        texts["diff -f"] = self.ctl("diff", "-f", "-", stdin=self.ctl(
            "certificate", "site", "--print", "--chain", pair.chain_path, "--key", pair.key_path).stdout).stdout
        texts["/config"] = proxy.admin("/config")[1]
        self.assertIn('"(redacted)"', texts["/config"])
        self.assertIn('"kind":"SessionTicketKeys"', texts["/config"].replace(" ", ""))
        self.assertIn("(redacted)", texts["get cert site --show-secrets"])
        self.assertIn("(redacted)", texts["get sessionticketkeys default"])
        self.assertIn("-----BEGIN CERTIFICATE-----", texts["diff -f"])
        for folder, _, names in os.walk(self.fleet.folder):
            for name in names:
                if folder != self.fleet.path("ca"):
                    with open(os.path.join(folder, name), "rb") as f:
                        texts[name] = f.read().decode("latin-1")
        self.assertIn("control.db", texts)
        self.assertIn("p1.log", texts)
        self.assertTrue(any(name.endswith(".cache") for name in texts))
        for secret in (pair, next_pair):
            needle = secret.key.splitlines()[2]  # The first line of an EC key says only what it is.
            self.assertGreater(len(needle), 20)
            for where, text in texts.items():
                self.assertNotIn(needle, text, where)
                self.assertNotIn("PRIVATE KEY", text, where)

    def test_pairs_are_replaced_whole_or_not_at_all(self):
        first, second = self.authority.issue("a.example"), self.authority.issue("a.example")
        self.push(first)
        half = self.ctl("certificate", "site", "--chain", second.chain_path, "--key", first.key_path, check=False)
        self.assertEqual(half.returncode, 1)
        self.assertIn("is not the key of the first certificate", half.stderr)
        # What was read, edited and applied keeps its key; a chain that this key does not fit is refused.
        shown = self.ctl("get", "cert", "site").stdout
        self.fleet.apply(self.control, shown.replace("name: site\n", "name: site\ndescription: edited\n"))
        self.assertIn("description: edited", self.ctl("get", "cert", "site").stdout)
        wrong = self.fleet.apply(self.control, shown.replace(
            "\n".join("    " + line for line in first.chain.splitlines()),
            "\n".join("    " + line for line in second.chain.splitlines())), check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("replace chain and private_key together", wrong.stderr)
        # The description stays when the pair is replaced by file.
        self.push(second)
        self.assertIn("description: edited", self.ctl("get", "cert", "site").stdout)
        self.ctl("rollback", "1")
        self.assertNotIn("edited", self.ctl("get", "cert", "site").stdout)

    def test_an_expired_certificate_is_a_warning(self):
        done = self.push(self.authority.issue("a.example", days=-1))
        self.assertIn("warning: Certificate/site spec.chain", done.stderr)
        self.assertIn("has expired", done.stderr)

    def test_a_store_without_its_key_is_left_alone(self):
        self.push(self.authority.issue("a.example"))
        self.control.terminate()
        key, store = self.fleet.path("control.db.key"), self.fleet.path("control.db")
        with open(store, "rb") as f:
            before = f.read()
        os.rename(key, key + ".kept")
        with self.assertRaisesRegex(RuntimeError, "exited with 2(.|\n)*its key file .*control.db.key is missing"):
            self.control.start()
        with open(store, "rb") as f:
            self.assertEqual(f.read(), before)
        os.rename(key + ".kept", key)
        self.control.start()
        self.assertIn("a.example", self.ctl("list").stdout)

    def test_restarts_make_no_ticket_keys_early(self):
        self.push(self.authority.issue("a.example"))
        self.fleet.apply(self.control, LISTENER)
        support.wait_until(lambda: json.loads(self.ctl("list", "sessionticketkeys", "-o", "json").stdout),
                           "ticket keys")
        history = self.ctl("history").stdout
        self.assertIn("control plane", history)
        for _ in range(2):
            self.control.terminate()
            self.control.start()
        self.assertEqual(self.ctl("history").stdout, history)


if __name__ == "__main__":
    unittest.main()
