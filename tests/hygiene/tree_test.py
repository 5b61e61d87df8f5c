"""The whole source tree against every rule, one test case for each."""

import unittest

from tests.hygiene.rules import ban_rules
from tests.hygiene.rules import include_rules
from tests.hygiene.rules import source_tree


class TreeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = source_tree.load_tree(source_tree.find_root())

    def expect_none(self, check):
        violations = check(self.files)
        text = "\n".join(str(violation) for violation in violations)
        if violations:
            self.fail(f"{check.__doc__}\n{text}\n{len(violations)} in all")

    def test_the_tree_was_found(self):
        paths = {file.path for file in self.files}
        self.assertIn("WORKSPACE", paths)
        self.assertIn("tests/hygiene/tree_test.py", paths)
        self.assertTrue(any(path.startswith("dataplane/") for path in paths))

    def test_planes_stay_apart(self):
        self.expect_none(include_rules.check_reach)

    def test_floors(self):
        self.expect_none(include_rules.check_floors)

    def test_two_tls_libraries(self):
        self.expect_none(include_rules.check_two_tls_libraries)

    def test_headers_have_targets(self):
        self.expect_none(include_rules.check_headers_have_targets)

    def test_no_std_regex(self):
        self.expect_none(ban_rules.check_regex)

    def test_no_real_clocks(self):
        self.expect_none(ban_rules.check_clocks)

    def test_no_sleeping(self):
        self.expect_none(ban_rules.check_sleeping)

    def test_no_exceptions(self):
        self.expect_none(ban_rules.check_exceptions)

    def test_no_using_namespace(self):
        self.expect_none(ban_rules.check_using_namespace)

    def test_no_raw_new(self):
        self.expect_none(ban_rules.check_new)

    def test_no_abseil_mutexes(self):
        self.expect_none(ban_rules.check_mutexes)

    def test_no_long_files(self):
        self.expect_none(ban_rules.check_length)

    def test_no_machine_paths(self):
        self.expect_none(ban_rules.check_machine_paths)


if __name__ == "__main__":
    unittest.main()
