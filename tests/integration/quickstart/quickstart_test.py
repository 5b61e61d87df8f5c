"""tools/quickstart.sh: two copies side by side pass their checks, and a third stays up until it is told to end."""

import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

METRIC_FILES = ("deploy/prometheus/portico.rules.yml", "deploy/grafana/portico.json")
# Families that have no sample before something goes wrong.
SILENT = {"portico_protocol_errors_total"}


def start(state_dir, *flags):
    return subprocess.Popen(["tools/quickstart.sh", "--binaries", ".", "--workers", "2", "--state-dir", state_dir,
                             *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_env(state_dir):
    with open(os.path.join(state_dir, "env"), encoding="utf-8") as file:
        return dict(line.strip().split("=", 1) for line in file if "=" in line)


def pids(env):
    return [int(value) for name, value in env.items() if "_PID" in name]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # The latter when it ends while it is read.
        return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class QuickstartTest(unittest.TestCase):
    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="quickstart-test-")
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_two_copies_check_side_by_side(self):
        folders = [self.folder(), self.folder()]
        copies = [start(folder, "--check") for folder in folders]
        outputs = [copy.communicate(timeout=240)[0] for copy in copies]
        for copy, output, folder in zip(copies, outputs, folders):
            self.assertEqual(copy.returncode, 0, output)
            self.assertIn("all steps passed", output)
            self.assertRegex(output, r"step +expected +seen")
            self.assertEqual([pid for pid in pids(read_env(folder)) if alive(pid)], [])

    def test_stays_up_until_told_and_shows_every_metric_that_is_looked_at(self):
        folder = self.folder()
        copy = start(folder)
        self.addCleanup(copy.stdout.close)
        self.addCleanup(copy.kill)
        self.assertTrue(any("Ctrl-C stops everything" in line for line in copy.stdout))
        env = read_env(folder)
        for name in ("GATEWAY_HTTP", "PROXY_HTTP_1", "PROXY_HTTP_2", "PROXY_ADMIN_1", "PROXY_ADMIN_2",
                     "CONTROL_GRPC", "CONTROL_METRICS", "PROMETHEUS", "TOKEN", "API_KEY", "CONTROL_PID",
                     "PROXY_PID_1", "PROXY_PID_2", "HAPROXY_PID", "PROMETHEUS_PID"):
            self.assertIn(name, env)
        self.assertTrue(all(alive(pid) for pid in pids(env)))
        self.assert_metrics_exist(env)
        second = subprocess.run(["tools/quickstart.sh", "--check", "--binaries", ".", "--state-dir", folder],
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("in use by another copy", second.stderr)
        copy.send_signal(signal.SIGINT)
        self.assertEqual(copy.wait(timeout=30), 0)
        self.assertEqual([pid for pid in pids(env) if alive(pid)], [])

    def assert_metrics_exist(self, env):
        exposed = set(SILENT)
        for address in (env["CONTROL_METRICS"], env["PROXY_ADMIN_1"], env["PROXY_ADMIN_2"]):
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                exposed.update(re.findall(r"^(portico_\w+)", answer.read().decode(), re.MULTILINE))
        for path in METRIC_FILES:
            with open(path, encoding="utf-8") as file:
                used = set(re.findall(r"\bportico_\w+", file.read()))
            self.assertEqual(sorted(used - exposed), [], path)

    def test_nothing_is_left_behind_when_it_is_killed(self):
        folder = self.folder()
        copy = start(folder)
        self.addCleanup(copy.stdout.close)
        self.assertTrue(wait_for(lambda: os.path.exists(os.path.join(folder, "env")), 60))
        started = pids(read_env(folder))
        copy.kill()
        copy.wait()
        self.assertTrue(wait_for(lambda: not any(alive(pid) for pid in started), 45))

    def test_says_what_is_missing(self):
        done = subprocess.run(["tools/quickstart.sh", "--binaries", "/nowhere"], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is missing; build it", done.stderr)


if __name__ == "__main__":
    unittest.main()
