"""Counts what a check found, and prints the line that it must end with."""

import sys
import traceback


class Verdicts:
    """A context manager: what is raised inside is one more failure, and the last line is printed all the same."""

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

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not isinstance(error, Exception):
            return False  # Somebody wants it to end.
        if error is not None:
            traceback.print_exception(kind, error, trace)
            self.check("the check ran to its end", False, error)
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
