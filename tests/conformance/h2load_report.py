"""Reads what h2load prints."""

import re

_REQUESTS = re.compile(r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$", re.MULTILINE)
_CODES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", re.MULTILINE)
_PROTOCOL = re.compile(r"^Application protocol: (\S+)$", re.MULTILINE)


class Report:
    def __init__(self, text):
        """ValueError: h2load did not come to its end."""
        requests, codes = _REQUESTS.search(text), _CODES.search(text)
        if not requests or not codes:
            raise ValueError(f"no report of h2load: {text[-500:]}")
        self.total, self.started, self.done, self.succeeded, self.failed, self.errored, self.timeout = map(int, requests.groups())
        self.ok = int(codes.group(1))
        protocol = _PROTOCOL.search(text)
        self.protocol = protocol.group(1) if protocol else None

    def clean(self):
        """Something was done, and all of it well."""
        return self.done > 0 and self.failed == self.errored == self.timeout == 0 and self.ok == self.done

    def __str__(self):
        return (f"{self.protocol}: {self.done} done, {self.ok} with 2xx, {self.failed} failed, {self.errored} errored, {self.timeout} timed out")
