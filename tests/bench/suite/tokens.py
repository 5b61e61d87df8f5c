"""An issuer for scenario c: one ES256 key, and a token for each of some consumers."""

import os
import subprocess

ISSUER = "https://login.example.com/"
AUDIENCE = "api.example.com"
CONSUMERS = 100


class Issuer:
    """Keys and tokens made by `porticoctl token`, valid for a day."""

    def __init__(self, porticoctl, folder):
        self._porticoctl = porticoctl
        self.key_file = os.path.join(folder, "issuer.pem")
        self.tokens = [self._token("--create-key", "--issuer", ISSUER, "--audience", AUDIENCE, "--subject",
                                   f"consumer-{i}", "--claim", "tenant=acme", "--expires-in", "24h")
                       for i in range(CONSUMERS)]
        self.jwks = self._token("--jwks")

    def _token(self, *arguments):
        return subprocess.run([self._porticoctl, "token", "--key-file", self.key_file, *arguments],
                              capture_output=True, text=True, check=True).stdout.strip()

    def public_key_pem(self):
        return subprocess.run(["openssl", "ec", "-in", self.key_file, "-pubout"], capture_output=True, text=True,
                              check=True).stdout

    def headers(self):
        """Header fields of the requests, one list for each consumer."""
        return [[f"Authorization: Bearer {token}", "X-Internal-Debug: 1"] for token in self.tokens]
