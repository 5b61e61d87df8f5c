"""Kills and restarts in any order: what was acknowledged stays, and every proxy ends up serving exactly it."""

import json
import random
import socket
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import fetch

LISTENER = "kind: Listener\nname: http\nspec: {address: \"0.0.0.0:8080\"}\n"
ROUTES = 5


def route(name, body):
    return (f"kind: Route\nname: {name}\nspec:\n  match: {{path: {{exact: /{name}}}}}\n"
            f"  respond: {{status: 200, body: \"{body}\"}}\n")


class Model:
    """What the acknowledged changes amount to."""

    def __init__(self, revision):
        self.revision = revision
        self.routes = {}
        self.history = {revision: {}}

    def became(self, revision, routes):
        self.revision, self.routes = revision, routes
        self.history[revision] = routes


class FleetChaosTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def start(self, proxies, *yaml):
        # A fixed port, so that a control plane that was restarted is found again.
        self.control = self.fleet.control_plane(grpc_port=support.free_port(),
                                                metrics_port=support.free_port())
        self.fleet.apply(self.control, "---\n".join((LISTENER, *yaml)))
        self.proxies = [self.fleet.proxy(f"p{i}", "--drain-grace", "0s", control=self.control, workers=1)
                        for i in range(proxies)]
        for proxy in self.proxies:
            proxy.wait_ready()

    def serve(self, proxy, name):
        response = fetch(proxy.listener(), target=f"/{name}")
        return response.body.decode() if response.status == 200 else response.status

    def change(self, model, routes, *arguments, stdin=None):
        done = self.fleet.ctl(self.control, *arguments, "-o", "json", stdin=stdin)
        model.became(json.loads(done.stdout)["revision"], routes)

    def step(self, model, number):
        """One change that is acknowledged, or one failure."""
        what = self.random.choices(
            ["apply", "delete", "rollback", "kill control", "restart control", "stop control", "kill proxy"],
            [8, 3, 3, 1, 1, 1, 2])[0]
        up = self.control.process.poll() is None
        if not up and self.random.random() < 0.3:
            self.control.start()
            up = True
        if what == "apply" and up:
            name = f"r{self.random.randrange(ROUTES)}"
            self.change(model, {**model.routes, name: f"v{number}"}, "apply", "-f", "-",
                        stdin=route(name, f"v{number}"))
        elif what == "delete" and up and model.routes:
            name = self.random.choice(sorted(model.routes))
            self.change(model, {n: b for n, b in model.routes.items() if n != name}, "delete", "route", name)
        elif what == "rollback" and up:
            target = self.random.choice(sorted(model.history))
            self.change(model, model.history[target], "rollback", str(target))
        elif what == "restart control" and up:
            began = time.monotonic()
            self.assertEqual(self.control.terminate(), 0)
            self.assertLess(time.monotonic() - began, 20, "open streams held up the end")
            self.control.start()
        elif what.endswith("control") and up:
            self.control.kill().wait()
            if what == "kill control":
                self.control.start()
        elif what == "kill proxy":
            proxy = self.random.choice(self.proxies)
            proxy.kill().wait()
            proxy.start()
        return what

    def run_chaos(self, seed, steps):
        self.random = random.Random(seed)
        self.start(3)
        model = Model(1)
        story = [self.step(model, number) for number in range(steps)]
        if self.control.process.poll() is not None:
            self.control.start()
        for proxy in self.proxies:
            proxy.wait_ready()
        history = json.loads(self.fleet.ctl(self.control, "history", "-o", "json").stdout)
        self.assertEqual(history[0]["revision"], model.revision, story)
        self.fleet.ctl(self.control, "rollout", "--wait", "--min-proxies", str(len(self.proxies)))
        for proxy in self.proxies:
            served = {f"r{i}": self.serve(proxy, f"r{i}") for i in range(ROUTES)}
            wanted = {f"r{i}": model.routes.get(f"r{i}", 404) for i in range(ROUTES)}
            self.assertEqual(served, wanted, f"{proxy.name} after {story}\n{proxy.log()}")

    def test_kills_and_restarts_in_any_order(self):
        self.run_chaos(seed=1, steps=40)

    def test_kills_and_restarts_in_another_order(self):
        self.run_chaos(seed=11, steps=40)

    def test_what_an_earlier_process_refused_is_tried_by_the_next(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.control = self.fleet.control_plane()
            self.fleet.apply(self.control, LISTENER.replace("0.0.0.0:8080", address) + "---\n" + route("r", "r"))
            proxy = self.fleet.proxy("p", "--drain-grace", "0s", control=self.control, listeners=())
            support.wait_until(lambda: "cannot listen there" in self.fleet.ctl(self.control, "fleet").stdout,
                               "the refusal being known")
            self.assertEqual(proxy.admin()[0], 503)
        # The operator sees to it that the port is free, and starts the proxy again.
        proxy.terminate()
        proxy.start()
        proxy.wait_ready()
        self.assertEqual(self.serve(proxy, "r"), "r")

    def test_what_was_deleted_does_not_come_back_without_a_control_plane(self):
        self.start(1, route("r", "r"))
        proxy = self.proxies[0]
        self.assertEqual(self.serve(proxy, "r"), "r")
        self.fleet.ctl(self.control, "delete", "route", "r")
        self.fleet.ctl(self.control, "delete", "listener", "http")
        self.fleet.ctl(self.control, "rollout", "--wait", "--min-proxies", "1")
        self.control.kill().wait()
        proxy.terminate()
        proxy.start()
        support.wait_until(lambda: proxy.admin("/live")[0] == 200, "the proxy being up again")
        support.wait_until(lambda: "serving revision 3 from disk" in proxy.log(), "the empty revision being live")
        self.assertNotIn("listener.http", proxy.addresses())

    def test_a_store_from_a_backup_is_followed_after_the_next_change(self):
        self.start(1, route("r", "old"))
        backup = self.fleet.path("backup.db")
        store = self.fleet.path("control.db")
        self.control.terminate()
        with open(store, "rb") as source, open(backup, "wb") as copy:
            copy.write(source.read())
        self.control.start()
        self.fleet.apply(self.control, route("r", "new"))
        self.fleet.ctl(self.control, "rollout", "--wait", "--min-proxies", "1")
        self.control.terminate()
        with open(backup, "rb") as source, open(store, "wb") as copy:
            copy.write(source.read())
        self.control.start()
        support.wait_until(lambda: "restored from an older copy" in self.fleet.ctl(self.control, "fleet").stdout,
                           "the operator being told")
        self.assertEqual(self.serve(self.proxies[0], "r"), "new")
        self.fleet.apply(self.control, route("r", "after"))
        self.fleet.ctl(self.control, "rollout", "--wait", "--min-proxies", "1")
        self.assertEqual(self.serve(self.proxies[0], "r"), "after")


if __name__ == "__main__":
    unittest.main()
