"""Reads the JUnit report of h2spec, and knows which of its cases Portico does not mean to pass."""

import xml.etree.ElementTree

# (section, case): (where it holds: "plain", "secure" or "both", why).
EXCEPTIONS = {
    ("http2/3.5", "Sends invalid connection preface"): (
        "plain", "in cleartext, what is not HTTP/2's preface is HTTP/1.1, and is answered as such: 400 and the end of the connection"),
}


class Case:
    def __init__(self, section, name, outcome, found):
        """`outcome`: "passed", "failed" or "skipped"; `found`: what h2spec wanted and saw."""
        self.section, self.name, self.outcome, self.found = section, name, outcome, found

    @property
    def key(self):
        return self.section, self.name

    def __str__(self):
        return f"{self.section} {self.name}"


def parse(text):
    """All cases of a report. ValueError: it is none."""
    try:
        root = xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as error:
        raise ValueError(f"no report of h2spec: {error}") from error
    found = []
    for suite in root.iter("testsuite"):
        for case in suite.iter("testcase"):
            outcome, text = "passed", ""
            for child in case:
                if child.tag in ("error", "failure", "skipped"):
                    outcome = "skipped" if child.tag == "skipped" else "failed"
                    text = " | ".join(line.strip() for line in (child.text or "").splitlines() if line.strip())
            found.append(Case(case.get("package", ""), case.get("classname", ""), outcome, text))
    if not found:
        raise ValueError("the report of h2spec has no cases")
    return found


def count(cases, outcome="passed"):
    return sum(case.outcome == outcome for case in cases)


def exception_for(case, transport, exceptions=None):
    """Why it may fail; None if it may not."""
    where, why = (EXCEPTIONS if exceptions is None else exceptions).get(case.key, (None, None))
    return why if where in ("both", transport) else None
