"""Certificates for tests: an authority of their own, and what it signs, made with the openssl program."""

import os
import subprocess


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr[-1000:]}")


def _key_options(kind):
    return ["-newkey", f"rsa:{kind[3:]}"] if kind.startswith("rsa") else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind}"]


class Pair:
    """A certificate and its key, both PEM files."""

    def __init__(self, chain_path, key_path):
        self.chain_path, self.key_path = chain_path, key_path

    @property
    def chain(self):
        with open(self.chain_path) as f:
            return f.read()

    @property
    def key(self):
        with open(self.key_path) as f:
            return f.read()


class Authority:
    """Signs certificates in `folder`. Its own is ca_path."""

    def __init__(self, folder, name="Test CA", kind="P-256"):
        self.folder, self.made = folder, 0
        os.makedirs(folder, exist_ok=True)
        self.ca_path, self._key_path = os.path.join(folder, "ca.pem"), os.path.join(folder, "ca.key")
        _openssl("req", "-x509", "-nodes", "-sha256", "-days", "365", *_key_options(kind), "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", self._key_path, "-out", self.ca_path)

    def issue(self, *names, kind="P-256", days=90, client=False):
        """A pair for these names: DNS names, IP addresses, or URIs."""
        self.made += 1
        base = os.path.join(self.folder, f"leaf-{self.made}")
        alternatives = ",".join(("URI:" if "://" in n else "IP:" if n[0].isdigit() or ":" in n else "DNS:") + n for n in names)
        _openssl("req", "-nodes", "-sha256", *_key_options(kind), "-subj", f"/CN={names[0]}", "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write(f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature{'' if kind.startswith('P-') else ',keyEncipherment'}\n"
                    f"extendedKeyUsage={'clientAuth' if client else 'serverAuth'}\nsubjectAltName={alternatives}\n")
        serial = int.from_bytes(os.urandom(15), "big")
        _openssl("x509", "-req", "-sha256", "-days", str(days), "-in", base + ".csr", "-CA", self.ca_path, "-CAkey", self._key_path,
                 "-set_serial", str(serial), "-extfile", base + ".ext", "-out", base + ".pem")
        return Pair(base + ".pem", base + ".key")


def indented(text, spaces=4):
    """For a block of YAML ("chain: |")."""
    return "".join(" " * spaces + line + "\n" for line in text.splitlines())


def certificate_yaml(name, pair):
    """A Certificate resource."""
    return (f"---\nkind: Certificate\nname: {name}\nspec:\n  chain: |\n{indented(pair.chain)}"
            f"  private_key: |\n{indented(pair.key)}")
