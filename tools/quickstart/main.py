"""The quickstart. tools/quickstart.sh installs, builds and then calls this."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from changes import Changes  # noqa: E402
from configure import apply_example  # noqa: E402
from processes import QuickstartError  # noqa: E402
from secure import Secure  # noqa: E402
from stack import PROXIES, Stack  # noqa: E402
from tour import Requests, Tour  # noqa: E402


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="tools/quickstart.sh")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--state-dir", metavar="DIR")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument("--binaries", metavar="DIR", required=True)
    return parser.parse_args(arguments)


def start(stack):
    print("quickstart: starting", flush=True)
    stack.start_services()
    stack.start_control_plane()
    for name in PROXIES:
        stack.start_proxy(name)
    apply_example(stack)
    stack.learn_listeners()
    stack.start_balancer()
    stack.start_prometheus()
    stack.write_env()
    print(f"quickstart: up; everything is in {stack.folder}\n")
    print(f"  $ source {stack.path('env')}\n")


def take_tour(stack):
    tour = Tour(stack)
    requests, changes, secure = Requests(tour), Changes(tour), Secure(tour)
    tour.run([
        ("a request with a token", requests.with_token),
        ("a forged identity header", requests.forged),
        ("a request without a token", requests.without_token),
        ("requests with an API key", requests.with_api_key),
        ("more requests than the limit", requests.over_the_limit),
        ("an unknown path", requests.unknown_path),
        ("routing by method", requests.by_method),
        ("the proxies asked directly", requests.direct),
        ("a new route while a load runs", changes.new_route_under_load),
        ("a broken push", changes.broken_push),
        ("the control plane is killed", changes.control_plane_killed),
        ("HTTPS and HTTP/2", secure.https),
        ("a certificate is replaced", secure.replace_certificate),
        ("Prometheus", requests.prometheus),
    ])
    return tour


def print_addresses(stack):
    print("Addresses:")
    print(f"  gateway        http://{stack.gateway}")
    for name in PROXIES:
        print(f"  {name}        http://{stack.proxy_http(name)} (curl --haproxy-protocol), "
              f"admin http://{stack.admin(name)}")
    print(f"  control plane  {stack.control_grpc} (gRPC)")
    print(f"  Prometheus     http://{stack.prometheus}")
    print(f"\nIn another shell: source {stack.path('env')}; then the lines above, or $PORTICOCTL fleet")
    print("Ctrl-C stops everything.", flush=True)


def interrupted(*_):
    raise KeyboardInterrupt


def main(arguments):
    options = parse_arguments(arguments)
    # Whatever ends this program ends what it started.
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    folder = options.state_dir or tempfile.mkdtemp(prefix="portico-quickstart-")
    os.makedirs(folder, exist_ok=True)
    stack, code = None, 1
    try:
        stack = Stack(folder, options.binaries, options.workers)
        start(stack)
        tour = take_tour(stack)
        print(tour.table())
        code = 0 if tour.passed else 1
        if options.check:
            print(f"\nquickstart: {'all steps passed' if tour.passed else 'FAILED'}")
        else:
            print()
            print_addresses(stack)
            while True:
                time.sleep(3600)
    except QuickstartError as error:
        print(f"quickstart: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nquickstart: stopping")
        code = code if options.check else 0
    finally:
        if stack:
            stack.stop()
    if code == 0 and not options.state_dir:
        shutil.rmtree(folder, ignore_errors=True)
    elif code != 0:
        print(f"quickstart: logs are in {os.path.join(folder, 'logs')}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(sys.argv[1:]))
