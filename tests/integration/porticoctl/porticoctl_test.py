"""porticoctl against a real control plane: what operators type, and the exit codes."""

import json
import os
import subprocess
import unittest

from tests.support import fleet as support

EXAMPLE = "deploy/examples/quickstart.yaml"


class PorticoctlTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.control = self.fleet.control_plane()

    def ctl(self, *arguments, code=0, stdin=None, control=True):
        """Runs porticoctl, asserts the exit code, returns (stdout, stderr)."""
        environment = {"PATH": "/usr/bin:/bin", "USER": "tester", "PORTICO_INSECURE": "1"}
        if control:
            environment["PORTICO_SERVER"] = self.control.addresses()["grpc"]
        done = subprocess.run([support.binary("tools/porticoctl/porticoctl"), *arguments], env=environment,
                              input=stdin, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def revision(self):
        return json.loads(self.ctl("fleet", "-o", "json")[0])["current_revision"]

    def test_a_life_of_changes(self):
        out, _ = self.ctl("apply", "-f", EXAMPLE, "-m", "first", "--dry-run")
        self.assertIn("nothing stored", out)
        self.assertEqual(self.revision(), 0)
        out, _ = self.ctl("apply", "-f", EXAMPLE, "-m", "first")
        self.assertIn("Route/users created", out)
        self.assertEqual(self.revision(), 1)
        self.assertIn("nothing to change", self.ctl("apply", "-f", EXAMPLE)[0])

        yaml, _ = self.ctl("get", "Route", "payments")
        changed = yaml.replace("timeout: 5s", "timeout: 7s")
        self.assertNotEqual(changed, yaml)
        out, _ = self.ctl("diff", "-f", "-", stdin=changed)
        self.assertIn("-   timeout: 5s\n+   timeout: 7s\n", out)
        _, err = self.ctl("apply", "-f", "-", "--expected-revision", "9", stdin=changed, code=1)
        self.assertIn("refused", err)
        self.ctl("apply", "-f", "-", "--expected-revision", "1", "--author", "jo", stdin=changed)
        self.assertIn("+   timeout: 7s", self.ctl("diff", "1")[0])
        self.assertIn("timeout: 5s", self.ctl("get", "routes", "payments", "--revision", "1")[0])

        self.ctl("rollback", "1", "-m", "undo")
        self.assertIn("no difference", self.ctl("diff", "1", "3")[0])
        history = json.loads(self.ctl("history", "-o", "json")[0])
        self.assertEqual([(h["revision"], h["author"], h["message"]) for h in history],
                         [(3, "tester", "undo"), (2, "jo", ""), (1, "tester", "first")])

        self.ctl("delete", "route", "health", "orders")
        names = [route["name"] for route in json.loads(self.ctl("list", "routes", "-o", "json")[0])]
        self.assertEqual(names, ["payments", "products", "users"])

    def test_lists_can_be_applied_again(self):
        self.ctl("apply", "-f", EXAMPLE)
        for form in ("yaml", "json"):
            text, _ = self.ctl("list", "-o", form)
            self.assertIn("no difference", self.ctl("diff", "-f", "-", stdin=text)[0])

    def test_refusals_name_file_line_and_fix_and_change_nothing(self):
        self.ctl("apply", "-f", EXAMPLE)
        broken = self.fleet.write("broken.yaml", "kind: Route\nname: bad\nspec:\n  match:\n"
                                  "    path: {regex: \"(\"}\n  upstreams: [{name: nobody}]\n")
        for verb in ("apply", "diff"):
            out, err = self.ctl(verb, "-f", broken, code=1)
            self.assertEqual(out, "")
            self.assertIn(f"{broken}:5: Route/bad spec.match.path.regex", err)
            self.assertIn(f"{broken}:6: Route/bad spec.upstreams[0].name", err)
        out, _ = self.ctl("apply", "-f", broken, "-o", "json", code=1)
        self.assertEqual(json.loads(out)["violations"][0]["place"], f"{broken}:5")
        _, err = self.ctl("delete", "upstreams", "users", code=1)
        self.assertIn("Route/users spec.upstreams[0].name", err)
        self.ctl("get", "route", "nobody", code=1)
        self.ctl("rollback", "99", code=1)
        self.ctl("diff", "98", "99", code=1)
        self.assertEqual(self.revision(), 1)

    def test_folders_and_several_files_are_one_transaction(self):
        os.mkdir(self.fleet.path("conf"))
        self.fleet.write("conf/route.yaml", "kind: Route\nname: r\nspec:\n  match: {path: {prefix: /}}\n"
                         "  upstreams: [{name: u}]\n")
        upstream = self.fleet.write("u.json", json.dumps(
            {"kind": "Upstream", "name": "u", "spec": {"endpoints": [{"address": "127.0.0.1:80"}]}}))
        self.ctl("apply", "-f", self.fleet.path("conf"), code=1)
        out, _ = self.ctl("apply", "-f", self.fleet.path("conf"), "-f", upstream)
        self.assertIn("revision 1: 2 changes", out)

    def test_waiting_for_proxies_that_do_not_come(self):
        self.ctl("apply", "-f", EXAMPLE)
        self.assertIn("live on 0 proxies", self.ctl("rollout", "--wait")[0])
        _, err = self.ctl("rollout", "--wait", "--min-proxies", "1", "--timeout", "300ms", code=4)
        self.assertIn("at least 1 are wanted", err)

    def test_offline(self):
        self.control.kill().wait()
        _, err = self.ctl("list", code=3)
        self.assertIn("cannot reach the control plane", err)
        self.assertIn("valid", self.ctl("validate", "-f", EXAMPLE, control=False)[0])
        _, err = self.ctl("list", "--bogus", code=2)
        self.assertEqual(len(err.splitlines()), 1)
        _, err = self.ctl("apply", "-f", "missing.yaml", code=2)
        self.assertEqual(len(err.splitlines()), 1)

    def test_completion_scripts_parse(self):
        script, _ = self.ctl("completion", "bash")
        line = script + ("\nCOMP_WORDS=(porticoctl get rou); COMP_CWORD=2; _porticoctl; echo \"${COMPREPLY[@]}\"\n"
                         "COMP_WORDS=(porticoctl roll); COMP_CWORD=1; _porticoctl; echo \"${COMPREPLY[@]}\"\n")
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.splitlines(), ["route", "rollback rollout"])


class MutualTlsTest(unittest.TestCase):
    """Certificates from a small authority; the control plane wants one from everybody."""

    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.authority("ca")
        self.certificate("server", "ca")
        self.certificate("operator", "ca")
        self.certificate("proxy", "ca")
        self.authority("other")
        self.certificate("stranger", "other")
        file = self.fleet.path("addresses")
        control = self.fleet.add(support.Process(self.fleet.folder, "control", [
            support.binary("controlplane/portico_control"), "--grpc-address", "127.0.0.1:0",
            "--metrics-address", "", "--operators", "operator",
            "--store", self.fleet.path("store.db"), "--tls-cert", self.fleet.path("server.crt"),
            "--tls-key", self.fleet.path("server.key"), "--client-ca", self.fleet.path("ca.crt"),
            "--address-file", file], file))
        self.server = control.addresses()["grpc"]

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.fleet.folder)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")

    def certificate(self, name, authority):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt",
                     "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.crt")

    def ctl(self, who, *arguments, ca="ca"):
        path = self.fleet.path
        return subprocess.run([
            support.binary("tools/porticoctl/porticoctl"), "--server", self.server,
            "--tls-ca", path(f"{ca}.crt"), "--tls-cert", path(f"{who}.crt"), "--tls-key", path(f"{who}.key"), "--timeout", "5s", *arguments],
            env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=False)

    def test_the_name_of_the_certificate_is_kept(self):
        done = self.ctl("operator", "apply", "-f", EXAMPLE)
        self.assertEqual(done.returncode, 0, done.stderr)
        history = json.loads(self.ctl("operator", "history", "-o", "json").stdout)
        self.assertEqual(history[0]["peer"], "operator")

    def test_a_proxy_is_no_operator(self):
        done = self.ctl("proxy", "list")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--operators", done.stderr)

    def test_strangers_are_refused_on_both_sides(self):
        self.assertEqual(self.ctl("stranger", "list").returncode, 3)
        self.assertEqual(self.ctl("operator", "list", ca="other").returncode, 3)
        done = self.ctl("nobody", "list")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nobody.crt cannot be read as PEM", done.stderr)


if __name__ == "__main__":
    unittest.main()
