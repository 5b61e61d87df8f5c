"""Reads the JSON of testssl.sh."""

import json

BAD = ("HIGH", "CRITICAL", "FATAL")
# What one listens for in a grade.
NOTED = ("LOW", "MEDIUM", "WARN")

# Finding: why it says nothing of Portico.
EXCEPTIONS = {
    "cert_revocation": "the certificate is the test's own, of an authority that revokes nothing",
}


class Finding:
    def __init__(self, name, severity, text):
        self.name, self.severity, self.text = name, severity, text

    @property
    def bad(self):
        # Of several certificates each finding is numbered: "cert_revocation <cert#1>".
        return self.severity in BAD and self.name.split(" ")[0] not in EXCEPTIONS

    def __str__(self):
        return f"{self.severity}: {self.name}: {self.text}"


def parse(text):
    """All findings. ValueError: it is no report."""
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "id" in entry and "severity" in entry for entry in found):
        raise ValueError("no report of testssl.sh")
    return [Finding(entry["id"], entry["severity"], entry.get("finding", "")) for entry in found]
