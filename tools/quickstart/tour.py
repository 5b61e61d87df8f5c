"""The tour: each step does something with a line that can be repeated in a shell, and looks at the answer."""

import json
import re
import subprocess

from processes import QuickstartError, wait_for
from stack import PROXIES

# A client whose address differs from the balancer's: all of 127.0.0.0/8 is this machine.
CLIENT = "127.0.0.2"


class Answer:
    """What `curl -i` printed."""

    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        lines = head.split("\r\n")
        match = re.match(r"HTTP/\S+ (\d{3})", lines[0])
        self.status = int(match.group(1)) if match else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def reason(self):
        return self.json().get("reason", "")


class Tour:
    """Runs steps in order and keeps (step, expected, seen, passed) of each."""

    def __init__(self, stack):
        self.stack = stack
        self.results = []

    def shell(self, line, show=True):
        """Runs a line with the variables of DIR/env; its output."""
        if show:
            print(f"  $ {line}")
        done = subprocess.run(["bash", "-c", 'source "$0" && eval "$1"', self.stack.path("env"), line],
                              capture_output=True, timeout=60, check=False)
        # Not text=True, which would turn the line ends of HTTP into others.
        return (done.stdout + done.stderr).decode(errors="replace")

    def curl(self, line):
        return Answer(self.shell(line))

    def curls(self, line):
        """Several answers of one line, as for a [1-4] in its URL."""
        parts = re.split(r"(?=HTTP/1\.1 \d{3} )", self.shell(line))
        return [Answer(part) for part in parts if part.startswith("HTTP/")]

    def record(self, step, expected, seen, passed):
        self.results.append((step, expected, seen, passed))
        print(f"    {'ok' if passed else 'FAILED'}: {seen}\n")

    def begin(self, title):
        print(f"== {title}")

    def run(self, steps):
        for title, step in steps:
            self.begin(title)
            try:
                step()
            except (QuickstartError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                self.record(title, "no error", f"{type(error).__name__}: {error}", False)

    @property
    def passed(self):
        return bool(self.results) and all(result[3] for result in self.results)

    def table(self):
        rows = [("step", "expected", "seen", "")]
        for step, expected, seen, passed in self.results:
            rows.append((step, expected, shorten(seen, 80), "ok" if passed else "FAILED"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)


class Requests:
    """Steps about single requests."""

    # What the token of the tour says, as the upstream sees it.
    IDENTITY = {"x-user": "alice", "x-tenant": "acme"}
    # One connection, hence one proxy: each counts for itself.
    LIMITED = 'curl -si "http://$GATEWAY_HTTP/products/1?n=[1-15]"'

    def __init__(self, tour):
        self.tour = tour

    def with_token(self):
        answers = self.tour.curls(
            f'curl -si --interface {CLIENT} -H "Authorization: Bearer $TOKEN" '
            '"http://$GATEWAY_HTTP/users/42?n=[1-4]"')
        services = [answer.json().get("service", f"({answer.status})") for answer in answers]
        self.tour.record("GET /users/42 with a token", "200, users-1 and users-2 in turn",
                         ", ".join(services),
                         len(services) == 4 and set(services) == {"users-1", "users-2"}
                         and services[0] != services[1] and services[:2] == services[2:])
        headers = answers[0].json().get("headers", {}) if answers else {}
        self.tour.record("x-request-id at the upstream", "there", headers.get("x-request-id", "(none)"),
                         bool(headers.get("x-request-id")))
        forwarded = headers.get("x-forwarded-for", "(none)")
        self.tour.record("x-forwarded-for at the upstream", CLIENT, forwarded, forwarded == CLIENT)
        identity = {name: value for name, value in headers.items() if name in self.IDENTITY}
        self.tour.record("identity from the token at the upstream",
                         ", ".join(f"{n}: {v}" for n, v in self.IDENTITY.items()) + ", no authorization",
                         ", ".join(f"{n}: {v}" for n, v in identity.items()),
                         identity == self.IDENTITY and "authorization" not in headers)

    def forged(self):
        answer = self.tour.curl(
            'curl -si -H "Authorization: Bearer $TOKEN" -H "x-user: mallory" "http://$GATEWAY_HTTP/users/42"')
        seen = answer.json().get("headers", {}).get("x-user", "(none)")
        self.tour.record("an identity header sent by the client", "overwritten: alice", seen, seen == "alice")

    def without_token(self):
        answer = self.tour.curl('curl -si "http://$GATEWAY_HTTP/users/42"')
        challenge = answer.headers.get("www-authenticate", "(none)")
        self.tour.record("GET /users/42 without a token", "401, WWW-Authenticate",
                         f"{answer.status} {answer.reason()}, {challenge}",
                         answer.status == 401 and challenge.startswith("Bearer"))

    def with_api_key(self):
        answer = self.tour.curl('curl -si -H "x-api-key: $API_KEY" "http://$GATEWAY_HTTP/orders/7"')
        headers = answer.json().get("headers", {})
        self.tour.record("GET /orders/7 with an API key", "200, key removed", str(answer.status),
                         answer.status == 200 and "x-api-key" not in headers)
        wrong = self.tour.curl('curl -si -H "x-api-key: wrong" "http://$GATEWAY_HTTP/orders/7"')
        self.tour.record("GET /orders/7 with a wrong API key", "401", f"{wrong.status} {wrong.reason()}",
                         wrong.status == 401)

    def over_the_limit(self):
        answers = self.tour.curls(self.LIMITED)
        statuses = [answer.status for answer in answers]
        refused = next((answer for answer in answers if answer.status == 429), None)
        names = ("retry-after", "ratelimit", "ratelimit-policy")
        seen = f"{statuses.count(200)} x 200, {statuses.count(429)} x 429"
        if refused:
            seen += "; " + ", ".join(f"{name}: {refused.headers.get(name, '(none)')}" for name in names)
        self.tour.record("over the limit", "some 200, then 429 with its three header fields", seen,
                         200 in statuses and refused is not None
                         and all(name in refused.headers for name in names))

    def unknown_path(self):
        answer = self.tour.curl('curl -si "http://$GATEWAY_HTTP/nothing/here"')
        self.tour.record("unknown path", "404 and a reason", f"{answer.status} {answer.reason()}",
                         answer.status == 404 and bool(answer.reason()))

    def by_method(self):
        authorization = '-H "Authorization: Bearer $TOKEN" '
        post = self.tour.curl(f'curl -si {authorization}-d amount=5 "http://$GATEWAY_HTTP/payments"')
        self.tour.record("POST /payments", "200 from payments",
                         f"{post.status} from {post.json().get('service', '(nobody)')}",
                         post.status == 200 and post.json().get("service") == "payments"
                         and post.json().get("body") == "amount=5")
        get = self.tour.curl(f'curl -si {authorization}"http://$GATEWAY_HTTP/payments"')
        self.tour.record("GET /payments", "404", f"{get.status} {get.reason()}", get.status == 404)

    def direct(self):
        for number, name in enumerate(PROXIES, start=1):
            answer = self.tour.curl(
                f'curl -si --haproxy-protocol -H "Authorization: Bearer $TOKEN" "http://$PROXY_HTTP_{number}/users/42"')
            self.tour.record(f"{name} asked directly", "200", str(answer.status), answer.status == 200)

    def prometheus(self):
        revision = current_revision(self.tour.stack)
        wanted = [revision] * len(PROXIES)
        values = self._wait_for_samples("portico_config_revision", lambda found: found == wanted)
        self.tour.record("Prometheus: portico_config_revision", f"{revision} on both proxies",
                         ", ".join(f"{value:.0f}" for value in values), values == wanted)
        requests = self._wait_for_samples("sum(portico_requests_total)", lambda found: found and found[0] > 0)
        self.tour.record("Prometheus: requests", "> 0", f"{requests[0]:.0f}", requests[0] > 0)
        # The control plane was away: it is up again after the next scrape.
        targets = self._wait_for_samples("up", lambda found: found == [1.0] * 3)
        self.tour.record("Prometheus: targets", "3 up", f"{sum(targets):.0f} up", targets == [1.0] * 3)

    def _wait_for_samples(self, query, wanted):
        """The values of an instant query, once they are as wanted."""
        line = f"curl -sG \"http://$PROMETHEUS/api/v1/query\" --data-urlencode 'query={query}'"
        print(f"  $ {line}")

        def samples():
            try:
                result = json.loads(self.tour.shell(line, show=False))["data"]["result"]
            except (ValueError, KeyError):
                return None
            values = [float(sample["value"][1]) for sample in result]
            return values if wanted(values) else None

        return wait_for(samples, f"the wanted answer to {query} from Prometheus", 30)


def shorten(text, width):
    text = " ".join(text.split())
    return text if len(text) <= width else text[:width - 3] + "..."


def current_revision(stack):
    return json.loads(stack.ctl("fleet", "--output", "json").stdout)["current_revision"]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path

