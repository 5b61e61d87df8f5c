"""testssl.sh against a listener with an ECDSA and an RSA certificate: nothing that it calls HIGH or CRITICAL.

  --target nginx       tests nginx with its defaults instead
  --target nginx-weak  one that must fail
"""

import argparse
import subprocess

from tests.conformance import h2_targets, registry_tools, testssl_report
from tests.conformance.verdicts import Verdicts
from tests.support import fleet as support
from tests.support import tls_files

CONFIG = """
kind: Listener
name: https
spec: {{address: "127.0.0.1:0", tls: {{certificates: [ecdsa, rsa]}}}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{endpoint}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}]}}
"""

# Of findings that a whole run has.
WANTED = ("TLS1_2", "TLS1_3", "SSLv3", "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS", "POODLE_SSL",
          "fallback_SCSV", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4", "ALPN", "cipherlist_NULL", "cipherlist_EXPORT", "PFS")


def portico(fleet, ecdsa, rsa):
    text = CONFIG.format(endpoint=fleet.echo("echo").addresses()["http"])
    text += tls_files.certificate_yaml("ecdsa", ecdsa) + tls_files.certificate_yaml("rsa", rsa)
    proxy = fleet.proxy("p1", config=fleet.write("portico.yaml", text), listeners=("https",))
    proxy.wait_ready()
    return proxy, proxy.listener("https")[1]


def nginx(fleet, ecdsa, rsa, more="", listen="http2"):
    port = support.free_port()
    config = fleet.write("nginx.conf", f"""
daemon off;
pid {fleet.path("nginx.pid")};
events {{ }}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} ssl {listen};
    ssl_certificate {ecdsa.chain_path};
    ssl_certificate_key {ecdsa.key_path};
    ssl_certificate {rsa.chain_path};
    ssl_certificate_key {rsa.key_path};
    {more}
    location / {{ return 200 "ok"; }}
  }}
}}""")
    process = fleet.add(support.Process(fleet.folder, "nginx", [registry_tools.debian("nginx", "nginx-light"), "-c", config, "-e", fleet.path("nginx.error")]))
    support.wait_until(lambda: h2_targets.listens(port), "nginx listening")
    return process, port


def weak(fleet, ecdsa, rsa):
    return nginx(fleet, ecdsa, rsa, "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:NULL:@SECLEVEL=0;", "")


TARGETS = {"portico": portico, "nginx": nginx, "nginx-weak": weak}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", choices=TARGETS, default="portico")
    options = options.parse_args()
    with Verdicts("testssl") as verdicts, support.Fleet() as fleet:
        authority = h2_targets.authority(fleet)
        process, port = TARGETS[options.target](fleet, authority.issue("localhost"), authority.issue("localhost", kind="rsa2048"))
        program = registry_tools.debian("testssl", "testssl.sh")
        report = fleet.path("testssl.json")
        done = subprocess.run([program, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca", authority.ca_path,
                               "--connect-timeout", "20", "--openssl-timeout", "20", "--jsonfile", report, f"localhost:{port}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200)
        try:
            with open(report) as f:
                findings = testssl_report.parse(f.read())
        except OSError as error:
            raise RuntimeError(f"testssl.sh wrote no report: {done.stdout[-2000:]}{done.stderr[-1000:]}") from error
        names = {finding.name.split(" ")[0] for finding in findings}
        for name in WANTED:
            verdicts.check(f"{name} was looked at", name in names)
        for finding in findings:
            if finding.severity in testssl_report.BAD and not finding.bad:
                verdicts.say(f"{finding}: by intent: {testssl_report.EXCEPTIONS[finding.name.split(' ')[0]]}")
            elif finding.severity in testssl_report.NOTED or finding.name.startswith(("overall_grade", "final_score")):
                verdicts.say(f"noted: {finding}")
            if finding.severity != "INFO":
                verdicts.check(finding.name, not finding.bad, finding)
        verdicts.check(f"{options.target} lives", process.process.poll() is None, process.log())


if __name__ == "__main__":
    main()
