"""Steps about changes and failures while requests are served."""

import json
import re
import socket
import subprocess
import threading
import time

from processes import QuickstartError, wait_for
from stack import PROXIES, split_address
from tour import current_revision, write

NEW_ROUTE = """\
kind: Route
name: quickstart-new
description: Pushed while a load runs.
spec:
  match:
    path: {exact: /quickstart/new}
  upstreams: [{name: orders}]
"""

LOAD_ROUTE = """\
kind: Route
name: quickstart-load
description: What the load asks for. No limit, so that every failure is a real one.
spec:
  match:
    path: {exact: /quickstart/small}
  upstreams: [{name: orders}]
"""

BROKEN = """\
kind: Route
name: quickstart-broken
spec:
  match:
    path: {regex: "/orders/("}
  upstreams: [{name: nobody}]
"""


class Load:
    """wrk through the balancer; every answer that is not 2xx and every broken connection counts."""

    def __init__(self, stack, seconds):
        self.command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--timeout", "10s",
                        f"http://{stack.gateway}/quickstart/small"]
        self._process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         text=True)

    def running(self):
        return self._process.poll() is None

    def finish(self):
        """(requests, failures)."""
        output, _ = self._process.communicate(timeout=120)
        total = re.search(r"(\d+) requests in", output)
        if not total:
            raise QuickstartError(f"wrk failed: {output}")
        failures = 0
        other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        if other:
            failures += int(other.group(1))
        broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        if broken:
            failures += sum(int(count) for count in broken.groups())
        return int(total.group(1)), failures

    def cancel(self):
        if self.running():
            self._process.terminate()
        self._process.communicate()


class Watcher(threading.Thread):
    """Asks one proxy for a path, again and again, until it answers 200."""

    def __init__(self, address, path):
        super().__init__(daemon=True)
        self.live_at = None
        self._address, self._path = split_address(address), path

    def run(self):
        with socket.create_connection(self._address, timeout=5) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            here, there = connection.getsockname(), connection.getpeername()
            connection.sendall(f"PROXY TCP4 {here[0]} {there[0]} {here[1]} {there[1]}\r\n".encode())
            reader = connection.makefile("rb")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                connection.sendall(f"GET {self._path} HTTP/1.1\r\nHost: quickstart\r\n\r\n".encode())
                if self._status(reader) == 200:
                    self.live_at = time.monotonic()
                    return
                time.sleep(0.001)

    @staticmethod
    def _status(reader):
        status = int(reader.readline().split()[1])
        length = 0
        while (line := reader.readline().strip()):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        reader.read(length)
        return status


class Changes:
    """Needs a tour whose stack is up."""

    def __init__(self, tour):
        self.tour = tour
        self.stack = tour.stack

    def apply(self, name, text, *flags, check=True):
        path = write(self.stack.path(f"{name}.yaml"), text)
        print(f"  $ $PORTICOCTL apply -f {path} {' '.join(flags)}")
        return self.stack.ctl("apply", "-f", path, *flags, check=check)

    def new_route_under_load(self):
        # It is there already when a state folder is used again.
        self.stack.ctl("delete", "route", "quickstart-new", "--wait", check=False)
        self.apply("load-route", LOAD_ROUTE, "--wait", "--min-proxies", "2")
        load = Load(self.stack, 4)
        print(f"  $ {' '.join(load.command)} &")
        try:
            time.sleep(1)
            watchers = [Watcher(self.stack.proxy_http(name), "/quickstart/new") for name in PROXIES]
            for watcher in watchers:
                watcher.start()
            time.sleep(0.2)
            pushed_at = time.monotonic()
            self.apply("new-route", NEW_ROUTE, "-m", "a new route while a load runs")
            for watcher in watchers:
                watcher.join(timeout=25)
            requests, failures = load.finish()
        finally:
            load.cancel()
        times = [f"{name} after {(watcher.live_at - pushed_at) * 1000:.0f} ms" if watcher.live_at
                 else f"{name} never" for name, watcher in zip(PROXIES, watchers)]
        self.tour.record("a new route pushed under load", "live on both proxies within 2 s",
                         "live on " + ", ".join(times),
                         all(w.live_at and w.live_at - pushed_at < 2 for w in watchers))
        self.tour.record("the load meanwhile", "0 failed", f"{failures} of {requests} requests failed",
                         failures == 0 and requests > 0)

    def broken_push(self):
        before = current_revision(self.stack)
        done = self.apply("broken", BROKEN, check=False)
        print("    " + done.stderr.strip().replace("\n", "\n    "))
        wanted = ("quickstart-broken", "spec.match.path.regex", "/orders/(", "nobody", "broken.yaml:5")
        missing = [word for word in wanted if word not in done.stderr]
        self.tour.record("a broken push", "exit 1; place, field, value, reason, fix",
                         f"exit {done.returncode}; " + (f"missing: {', '.join(missing)}" if missing
                                                        else "all there, for 2 violations"),
                         done.returncode == 1 and not missing)
        after = current_revision(self.stack)
        still = self.tour.curl('curl -si "http://$GATEWAY_HTTP/quickstart/new"')
        self.tour.record("and nothing changed", f"revision {before}, 200",
                         f"revision {after}, {still.status}", after == before and still.status == 200)

    def control_plane_killed(self):
        revision = current_revision(self.stack)
        load = Load(self.stack, 12)
        print(f"  $ {' '.join(load.command)} &")
        try:
            time.sleep(0.5)
            print("  $ kill -9 $CONTROL_PID")
            self.stack.processes["control"].kill()
            time.sleep(1)
            self._restart_proxy_alone(revision)
            requests, failures = load.finish()
            self.tour.record("the load through all that", "0 failed",
                             f"{failures} of {requests} requests failed", failures == 0 and requests > 0)
        finally:
            load.cancel()
            self._control_plane_returns(revision)

    def _restart_proxy_alone(self, revision):
        name = PROXIES[1]
        proxy = self.stack.processes[name]
        print("  $ kill $PROXY_PID_2; start it again")
        code = proxy.terminate(seconds=40)
        self.tour.record(f"{name} drains on SIGTERM", "exit 0", f"exit {code}", code == 0)
        self.stack.start_proxy(name)
        self.stack.write_env()
        wait_for(lambda: self.tour.shell('curl -s -o /dev/null -w "%{http_code}" '
                                         '"http://$PROXY_ADMIN_2/ready"', show=False) == "200",
                 f"{name} being ready without a control plane (log: {self.stack.processes[name].log})")
        answer = self.tour.curl('curl -si --haproxy-protocol -H "Authorization: Bearer $TOKEN" '
                                '"http://$PROXY_HTTP_2/users/42"')
        metrics = self.tour.shell('curl -s "http://$PROXY_ADMIN_2/metrics" | grep -E '
                                  '"^portico_config_(revision|from_cache) "')
        seen = dict(line.split() for line in metrics.strip().splitlines())
        self.tour.record(f"{name} restarted without a control plane",
                         f"200, revision {revision} from its cache",
                         f"{answer.status}, " + ", ".join(f"{k} {v}" for k, v in seen.items()),
                         answer.status == 200 and float(seen.get("portico_config_revision", 0)) == revision
                         and float(seen.get("portico_config_from_cache", 0)) == 1)

    def _control_plane_returns(self, revision):
        print("  $ start the control plane again")
        self.stack.start_control_plane()
        self.stack.write_env()
        print("  $ $PORTICOCTL rollout --wait --min-proxies 2")
        done = self.stack.ctl("rollout", "--wait", "--min-proxies", "2", "--timeout", "45s")
        self.tour.record("the control plane returns", f"revision {revision} live on 2 proxies",
                         done.stdout.strip().splitlines()[-1],
                         current_revision(self.stack) == revision)
        fleet = json.loads(self.stack.ctl("fleet", "--output", "json").stdout)
        print("  $ $PORTICOCTL fleet")
        print("    " + self.stack.ctl("fleet").stdout.strip().replace("\n", "\n    "))
        connected = [proxy["node_id"] for proxy in fleet["proxies"] if proxy["connected"]]
        self.tour.record("the fleet", "both connected", ", ".join(connected), connected == list(PROXIES))
