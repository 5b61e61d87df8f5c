"""Keys, token and configuration: deploy/examples/quickstart.yaml with this machine's values in it."""

import json
import os

from processes import QuickstartError
from stack import AUDIENCE, ISSUER, ROOT, SERVICES

EXAMPLE = os.path.join(ROOT, "deploy", "examples", "quickstart.yaml")
# The endpoint that stands in the example for each service.
EXAMPLE_PORTS = dict(zip(SERVICES, range(9001, 9006)))


def _replace(text, old, new):
    if text.count(old) != 1:
        raise QuickstartError(f"{EXAMPLE} must hold {old!r} once, and does {text.count(old)} times")
    return text.replace(old, new)


def _replace_value(text, field, new):
    """In the one line `field: ... # replaced by the quickstart`."""
    lines = text.split("\n")
    found = [i for i, line in enumerate(lines)
             if line.strip().removeprefix("- ").startswith(field + ":")
             and line.endswith("# replaced by the quickstart")]
    if len(found) != 1:
        raise QuickstartError(f"{EXAMPLE} must have one line \"{field}: ... # replaced by the quickstart\"")
    line = lines[found[0]]
    lines[found[0]] = line[:line.index(field + ":")] + f"{field}: {new}"
    return "\n".join(lines)


def make_credentials(stack):
    """A signing key, a token, an API key; (JWKS, hash of the API key)."""
    key = ["token", "--key-file", stack.path("keys", "issuer.pem")]
    jwks = stack.ctl(*key, "--create-key", "--jwks").stdout.strip()
    stack.token = stack.ctl(*key, "--issuer", ISSUER, "--audience", AUDIENCE, "--subject", "alice",
                            "--claim", "tenant=acme", "--expires-in", "12h").stdout.strip()
    made = json.loads(stack.ctl("hash-key", "--generate", "--output", "json").stdout)
    stack.api_key = made["key"]
    return jwks, made["sha256"]


def configuration(stack, jwks, key_hash):
    with open(EXAMPLE, encoding="utf-8") as file:
        text = file.read()
    for name, port in EXAMPLE_PORTS.items():
        text = _replace(text, f"address: 127.0.0.1:{port}", f"address: {stack.processes[name].address('http')}")
    text = _replace_value(text, "jwks", f"'{jwks}'")
    text = _replace_value(text, "sha256", key_hash)
    return _replace_value(text, "path", stack.path("logs", "access.log"))


def apply_example(stack):
    """Pushes the example and waits until it is live on both proxies."""
    jwks, key_hash = make_credentials(stack)
    path = stack.path("quickstart.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration(stack, jwks, key_hash))
    print(f"  $ $PORTICOCTL apply -f {path}")
    print("    " + stack.ctl("apply", "-f", path, "-m", "quickstart").stdout.strip().replace("\n", "\n    "))
    print("  $ $PORTICOCTL rollout --wait --min-proxies 2")
    print("    " + stack.ctl("rollout", "--wait", "--min-proxies", "2").stdout.strip().replace("\n", "\n    "))
