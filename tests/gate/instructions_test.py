"""What a request costs against the budget: instructions, allocations, locks."""

import json
import unittest

from tests.gate import callgrind

REPLAY = "tests/gate/replay"
TOLERANCE = 0.03
UPDATE = ("bazel build --config=opt //tests/gate:replay && tests/gate/instructions.py --update, "
          "and say in the commit why")


def budget():
    with open("tests/gate/budget.json", encoding="utf-8") as file:
        return json.load(file)


class InstructionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.budget = budget()
        cls.profiles = {name: callgrind.run(REPLAY, name)
                        for name in cls.budget["instructions_per_request"]}

    def check(self, scenario):
        allowed = self.budget["instructions_per_request"][scenario]
        profile = self.profiles[scenario]
        change = profile.total / allowed - 1
        print("%s: %.0f instructions a request, budget %d (%+.1f %%)" % (
            scenario, profile.total, allowed, 100 * change))
        if change > TOLERANCE:
            self.fail("%s: a request takes %.0f instructions, %.1f %% more than the budget of %d. The most expensive "
                      "functions:\n%s\nCompare with tests/gate/instructions.py --scenario %s --top 40 before the "
                      "change. If the cost is meant: %s" % (
                          scenario, profile.total, 100 * change, allowed, self.top(profile), scenario, UPDATE))
        if change < -TOLERANCE:
            self.fail("%s: a request takes %.0f instructions, %.1f %% less than the budget of %d. Lower the budget, "
                      "so that the gain cannot be lost unseen: %s" % (
                          scenario, profile.total, -100 * change, allowed, UPDATE))

    @staticmethod
    def top(profile):
        return "\n".join("  %7.0f self %7.0f inclusive  %s" % (
            cost, profile.inclusive_cost[function], callgrind.short_name(function))
            for function, cost in profile.self_cost.most_common(25))

    def test_plain(self):
        self.check("plain")

    def test_full_policy(self):
        self.check("full")

    def test_bodies(self):
        self.check("body")

    def test_tls(self):
        self.check("tls")

    def test_http2_over_tls(self):
        self.check("h2")

    def test_two_runs_count_the_same(self):
        again = callgrind.run(REPLAY, "plain")
        self.assertLess(abs(again.total / self.profiles["plain"].total - 1), 0.001)

    def test_nothing_is_taken_from_the_heap(self):
        for name, profile in self.profiles.items():
            self.assertEqual(profile.replay["allocations"], 0,
                             "%s: %s --scenario=%s --trace=3 shows where they come from" % (name, REPLAY, name))

    def test_nothing_is_locked(self):
        for name, profile in self.profiles.items():
            self.assertEqual(profile.replay["locks"], 0,
                             "%s: %s --scenario=%s --trace=3 shows where they come from" % (name, REPLAY, name))

    def test_allocations_and_locks_are_seen(self):
        # Without a warm-up there must be some: else the two tests above say nothing.
        cold = callgrind.run(REPLAY, "full", arguments=["--warm_up=0"])
        self.assertGreater(cold.replay["allocations"], 0)
        self.assertGreater(cold.replay["locks"], 0)

    def test_the_log_keeps_up(self):
        # A full ring is cheaper than one that is written to.
        for name, profile in self.profiles.items():
            self.assertEqual(profile.replay["log_records_dropped"], 0, name)


if __name__ == "__main__":
    unittest.main()
