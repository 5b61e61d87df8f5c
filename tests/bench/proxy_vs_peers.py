#!/usr/bin/env python3
"""CPU per request of one Portico worker beside HAProxy's and nginx's, plain proxying.

    tests/bench/proxy_vs_peers.py [--rounds 5] [--seconds 4] [--connections 64]
                                  [--peers portico,haproxy,nginx] [--json FILE]

Every server proxies HTTP/1.1 with keep-alive on both sides to the same nginx, which answers with a
small body. The server under test is pinned to one core; wrk and the upstream share the other, so that
the proxy is what is saturated or, where it is not, CPU per request still tells the truth. Rounds are
interleaved (A B C A B C ...), the first of each server is a warm-up, and the figures are medians.
Absolute times depend on the machine: compare ratios within one run.

Build first: bazel build --config=opt //dataplane:portico_proxy
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICKS = os.sysconf("SC_CLK_TCK")

NGINX_UPSTREAM = """
daemon off; master_process off; worker_processes 1; pid {dir}/upstream.pid;
error_log stderr error; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 "hello, world\\n"; }} }} }}
"""

NGINX_PROXY = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;
error_log stderr error; events {{ worker_connections 4096; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/pb; proxy_temp_path {dir}/pp; fastcgi_temp_path {dir}/pf;
  uwsgi_temp_path {dir}/pu; scgi_temp_path {dir}/ps;
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://backend; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_buffering on; }} }} }}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout client 1h
    timeout server 1h
    timeout connect 5s
    option http-keep-alive
    http-reuse always
frontend in
    bind 127.0.0.1:{port} backlog 4096
    default_backend out
backend out
    server up 127.0.0.1:{upstream}
"""

PORTICO = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:{port}"}}
---
kind: Upstream
name: up
spec: {{endpoints: [{{address: "127.0.0.1:{upstream}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}]}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_http(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as reply:
                if reply.status == 200:
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing answers on port {port}")
            time.sleep(0.05)


class Server:
    """One process under test, pinned to a core."""

    def __init__(self, name, command, port, core, log):
        self.name, self.port = name, port
        pinned = ["taskset", "-c", str(core)] + command if core is not None else command
        self.process = subprocess.Popen(pinned, stdout=log, stderr=log)
        wait_for_http(port)

    def cpu(self):
        """User and system seconds so far."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def start(name, folder, upstream, log, options):
    port = free_port()
    values = {"dir": folder, "port": port, "upstream": upstream}
    if name == "nginx":
        config = write(f"{folder}/nginx.conf", NGINX_PROXY.format(**values))
        command = ["/usr/sbin/nginx", "-c", config]
    elif name == "haproxy":
        config = write(f"{folder}/haproxy.cfg", HAPROXY.format(**values))
        command = ["/usr/sbin/haproxy", "-db", "-f", config]
    elif name == "portico":
        config = write(f"{folder}/portico.yaml", PORTICO.format(**values))
        command = [options.portico, "--config", config, "--workers", "1", "--admin-address",
                   "127.0.0.1:0"]
    else:
        raise SystemExit(f"unknown peer {name}: use portico, haproxy, nginx")
    return Server(name, command, port, options.proxy_core, log)


def measure(server, options):
    before = server.cpu()
    url = f"http://127.0.0.1:{server.port}/"
    wrk = subprocess.run(
        ["taskset", "-c", str(options.load_core), "wrk", "-t1", f"-c{options.connections}",
         f"-d{options.seconds}s", "--latency", url],
        capture_output=True, text=True, check=True).stdout
    after = server.cpu()
    requests = int(re.search(r"(\d+) requests in", wrk).group(1))
    errors = re.search(r"(Non-2xx.*|Socket errors.*)", wrk)
    if errors:
        raise SystemExit(f"{server.name}: {errors.group(1)}")
    latency = {p: re.search(rf"{p}%\s+([\d.]+)(us|ms|s)", wrk) for p in (50, 99)}
    unit = {"us": 1, "ms": 1000, "s": 1000000}
    user, system = after[0] - before[0], after[1] - before[1]
    return {
        "cpu_us_per_request": (user + system) * 1e6 / requests,
        "user_us": user * 1e6 / requests,
        "sys_us": system * 1e6 / requests,
        "requests_per_second": requests / options.seconds,
        "p50_us": float(latency[50].group(1)) * unit[latency[50].group(2)],
        "p99_us": float(latency[99].group(1)) * unit[latency[99].group(2)],
        "rss_kib": server.rss_kib(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--peers", default="portico,haproxy,nginx")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--portico", default=f"{ROOT}/bazel-bin/dataplane/portico_proxy")
    options = parser.parse_args()

    folder = tempfile.mkdtemp(prefix="portico-bench-")
    servers, upstream = [], None
    try:
        with open(f"{folder}/log", "w") as log:
            upstream_port = free_port()
            config = write(f"{folder}/upstream.conf",
                           NGINX_UPSTREAM.format(dir=folder, port=upstream_port))
            upstream = Server("upstream", ["/usr/sbin/nginx", "-c", config], upstream_port,
                              options.load_core, log)
            names = options.peers.split(",")
            servers = [start(name, folder, upstream_port, log, options) for name in names]
            rounds = {name: [] for name in names}
            for number in range(options.rounds + 1):
                for server in servers:
                    row = measure(server, options)
                    if number > 0:  # The first is a warm-up.
                        rounds[server.name].append(row)
                    print(f"round {number} {server.name:8} {row['cpu_us_per_request']:6.2f} us "
                          f"{row['requests_per_second']:8.0f}/s", file=sys.stderr)
    finally:
        for server in servers + ([upstream] if upstream else []):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)

    rows = []
    for name in names:
        median = {key: statistics.median(r[key] for r in rounds[name]) for key in rounds[name][0]}
        spread = [r["cpu_us_per_request"] for r in rounds[name]]
        rows.append({"scenario": "plain", "server": name, "connections": options.connections,
                     "rounds": options.rounds, "cpu_us_min": min(spread),
                     "cpu_us_max": max(spread), **median})
    print(f"| server | CPU us/request (user/sys) | min-max | requests/s | p50 us | p99 us | RSS KiB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['server']} | {row['cpu_us_per_request']:.1f} ({row['user_us']:.1f}/"
              f"{row['sys_us']:.1f}) | {row['cpu_us_min']:.1f}-{row['cpu_us_max']:.1f} | "
              f"{row['requests_per_second']:.0f} | {row['p50_us']:.0f} | {row['p99_us']:.0f} | "
              f"{row['rss_kib']:.0f} |")
    for row in rows[1:]:
        ratio = rows[0]["cpu_us_per_request"] / row["cpu_us_per_request"]
        print(f"CPU per request, {rows[0]['server']} / {row['server']}: {ratio:.2f}")
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=2)


if __name__ == "__main__":
    main()
