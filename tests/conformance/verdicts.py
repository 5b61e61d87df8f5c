"""Counts what a check found, and prints the line that it must end with."""

import sys


class Verdicts:
    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0

    def check(self, what, holds, found=""):
        """Prints only what does not hold."""
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{self.name}: FAILED: {what}: {found}", flush=True)
        return bool(holds)

    def say(self, text):
        print(f"{self.name}: {text}", flush=True)

    def end(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
