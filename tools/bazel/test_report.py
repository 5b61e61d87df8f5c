"""Counts test cases for tools/test.sh.

test_report.py round NAME EVENTS.json EXIT_CODE TOTALS   one bazel run, from its build event file
test_report.py case NAME passed|failed|skipped TOTALS    one check that is not a bazel test
test_report.py total TOTALS                              the last line; fails unless all passed

TOTALS is a file that each call adds a line to.
"""

import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

BROKEN_BUILD = ("LOADING_FAILURE", "ANALYSIS_FAILURE", "INCOMPLETE")


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.problems = []

    def fail(self, what):
        self.failed += 1
        self.problems.append(f"FAILED  {what}")

    def skip(self, what):
        self.skipped += 1
        self.problems.append(f"SKIPPED {what}")


def local_path(uri):
    return urllib.parse.unquote(urllib.parse.urlparse(uri).path)


def count_cases(label, xml_path, counts):
    """Adds the cases of one test.xml, written by gtest, by py_test_runner.py or by Bazel itself."""
    for case in ElementTree.parse(xml_path).getroot().iter("testcase"):
        name = ".".join(filter(None, [case.get("classname"), case.get("name")]))
        if case.get("status") == "notrun":
            continue
        if case.find("failure") is not None or case.find("error") is not None:
            counts.fail(f"{label} {name}")
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            counts.skip(f"{label} {name}")
        else:
            counts.passed += 1


def count_result(label, result, counts):
    """Adds one run of one test target."""
    before = counts.failed
    for output in result.get("testActionOutput", []):
        path = local_path(output.get("uri", ""))
        if output.get("name") == "test.xml" and os.path.exists(path):
            try:
                count_cases(label, path, counts)
            except ElementTree.ParseError as error:
                counts.fail(f"{label} wrote an unreadable test.xml: {error}")
    if result.get("status") != "PASSED" and counts.failed == before:
        # All cases passed, or none could be told apart: a crash, a leak at exit, a timeout.
        counts.fail(f"{label} ({result.get('status', 'no status')})")


def label_of(event_id):
    for kind in ("targetCompleted", "targetConfigured", "configuredLabel", "unconfiguredLabel"):
        if kind in event_id:
            return event_id[kind].get("label", "")
    if "pattern" in event_id:
        return " ".join(event_id["pattern"].get("pattern", []))
    return ""


def count_events(lines, exit_code):
    """The counts of one bazel run."""
    results = {}
    broken = {}
    for line in lines:
        event = json.loads(line)
        event_id = event.get("id", {})
        if "testResult" in event_id:
            key = event_id["testResult"]
            run = (key["label"], key.get("run", 1), key.get("shard", 0))
            attempt = key.get("attempt", 1)
            if run not in results or results[run][0] <= attempt:
                results[run] = (attempt, event.get("testResult", {}))
        elif "aborted" in event:
            if event["aborted"].get("reason") in BROKEN_BUILD and label_of(event_id):
                broken[label_of(event_id)] = True
        elif "targetCompleted" in event_id and not event.get("completed", {}).get("success"):
            broken[label_of(event_id)] = True

    counts = Counts()
    tested = set()
    for (label, _, _), (_, result) in sorted(results.items(), key=lambda item: item[0]):
        tested.add(label)
        count_result(label, result, counts)
    for label in sorted(broken):
        if label not in tested:
            counts.fail(f"{label} (does not build)")
    if exit_code not in (0, 4) and counts.failed == 0:
        counts.fail(f"bazel ended with exit code {exit_code}")
    return counts


def summary(passed, failed, skipped):
    text = f"{passed} passed, {failed} failed"
    return f"{text}, {skipped} skipped" if skipped else text


def add_to_totals(path, counts):
    with open(path, "a", encoding="utf-8") as totals:
        totals.write(f"{counts.passed} {counts.failed} {counts.skipped}\n")


def report_round(name, events_path, exit_code, totals_path):
    lines = []
    if os.path.exists(events_path):
        with open(events_path, encoding="utf-8") as events:
            lines = events.readlines()
    counts = count_events(lines, int(exit_code))
    for problem in counts.problems:
        print(f"{name}: {problem}")
    print(f"{name}: {summary(counts.passed, counts.failed, counts.skipped)}")
    add_to_totals(totals_path, counts)
    return 0


def report_case(name, outcome, totals_path):
    counts = Counts()
    if outcome == "passed":
        counts.passed = 1
    elif outcome == "skipped":
        counts.skip(name)
    else:
        counts.fail(name)
    print(f"{outcome.upper():7} {name}")
    add_to_totals(totals_path, counts)
    return 0


def report_total(totals_path):
    sums = [0, 0, 0]
    if os.path.exists(totals_path):
        with open(totals_path, encoding="utf-8") as totals:
            for line in totals:
                sums = [old + int(new) for old, new in zip(sums, line.split())]
    print(summary(*sums))
    return 0 if sums[0] > 0 and sums[1] == 0 else 1


COMMANDS = {"round": (report_round, 4), "case": (report_case, 3), "total": (report_total, 1)}


def main(arguments):
    command, count = COMMANDS.get(arguments[0] if arguments else "", (None, 0))
    if command is None or len(arguments) != count + 1:
        print(__doc__, file=sys.stderr)
        return 2
    return command(*arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
