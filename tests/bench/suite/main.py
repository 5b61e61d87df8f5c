"""tools/bench.sh: Portico beside other proxies, in one interleaved run. See docs/benchmarks.md."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

from tests.bench.suite import (change, chart, estimate, idle, install, load, machine, report, scenarios, servers, targets, tls)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

RUNNERS = {
    "a": scenarios.plain,
    "b": scenarios.bodies,
    "c": scenarios.policy,
    "d": scenarios.many_routes,
    "e": idle.idle,
    "f": change.changes,
    "g": tls.keep_alive,
    "h": tls.handshakes,
    "i": tls.http2,
    "j": tls.idle,
}

# Programs of Portico's own and where the build puts them.
BUILT = {
    "portico": "dataplane/portico_proxy",
    "portico_control": "controlplane/portico_control",
    "porticoctl": "tools/porticoctl/porticoctl",
    "bench_load": "tests/bench/load/bench_load",
    "bench_upstream": "tests/bench/load/bench_upstream",
    "bench_around": "tests/bench/load/bench_around",
}


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="tools/bench.sh", description=__doc__,
        epilog="Results go to bench-results/: rows.json, summary.json, report.md, chart.svg.")
    parser.add_argument("--scenario", default=",".join(RUNNERS), help="comma list of a to j (default: all)")
    parser.add_argument("--peers", default=",".join(servers.PEERS),
                        help="comma list of %(default)s (default: all), or none; portico is always in")
    parser.add_argument("--engines", default=",".join(scenarios.ENGINES), help="Portico's I/O engines (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="after a warm-up round (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="of each measured window (default: %(default)s)")
    parser.add_argument("--extra-rounds", type=int, default=None,
                        help="most rounds measured again for disturbed ones (default: half of --rounds)")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="of a to d and g to j, only the loads whose name has TEXT: \"saturated c64\", \"rate\", \"1 MiB\"")
    parser.add_argument("--quick", action="store_true",
                        help="2 rounds of 1 s, fewer servers and repetitions: nine minutes, for a first look")
    parser.add_argument("--json", help="also write the rows to this file")
    parser.add_argument("--output", default="bench-results", help="folder for the results (default: %(default)s)")
    parser.add_argument("--portico-binaries", help="folder with the built programs, instead of building them")
    parser.add_argument("--nice", type=int, default=0,
                        help="niceness of all servers and the load, such as -15 on a machine with other work (needs root)")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 2, 1
        options.extra_rounds = options.extra_rounds or 0
        if options.peers == ",".join(servers.PEERS):
            options.peers = "haproxy,nginx,envoy"
    if options.extra_rounds is None:
        options.extra_rounds = options.rounds // 2
    options.scenario = _names(parser, "--scenario", options.scenario, RUNNERS)
    options.peers = [] if options.peers == "none" else _names(parser, "--peers", options.peers,
                                                               (*servers.PEERS, servers.PORTICO))
    options.engines = _names(parser, "--engines", options.engines, scenarios.ENGINES)
    return options


def _names(parser, flag, text, known):
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            parser.error(f"{flag}: \"{name}\" is none of {', '.join(known)}")
    return names


def say(text):
    print(text, file=sys.stderr, flush=True)


def built_programs(folder):
    """Portico's programs: laid out as the build does, or flat."""
    programs = {}
    for name, path in BUILT.items():
        candidates = [os.path.join(folder, path), os.path.join(folder, os.path.basename(path))]
        built = os.environ.get("PORTICO_BENCH_TOOLS")
        if built:
            candidates.append(os.path.join(built, path))
        found = next((c for c in candidates if os.path.isfile(c)), None)
        if not found:
            raise SystemExit(f"bench: no {path} in {folder}: run tools/bench.sh without --portico-binaries to build it")
        programs[name] = os.path.abspath(found)
    return programs


def available_engines(programs, wanted):
    """The engines that this proxy has a flag for; without the flag it has epoll only."""
    text = subprocess.run([programs["portico"], "--help"], capture_output=True, text=True, check=False).stdout
    programs["portico_has_engines"] = "io-engine" in text or "io_engine" in text
    return [engine for engine in wanted if programs["portico_has_engines"] or engine == "epoll"]


def run(options):
    programs = built_programs(options.portico_binaries)
    engines = available_engines(programs, options.engines)
    peers, versions, missing = install.install(options.peers, say)
    programs.update(peers)
    programs["h2load"] = shutil.which("h2load")
    machine.raise_file_limit()
    if options.nice:
        machine.be_nice(options.nice)
    else:
        machine.stay_out_of_the_way(options.load_core)
    say(f"about {estimate.minutes(options, engines, [p for p in options.peers if p not in missing]):.0f} minutes on a quiet "
        "machine")
    about = {
        "machine": machine.describe(), "versions": versions, "rounds": options.rounds, "seconds": options.seconds,
        "proxy_core": options.proxy_core, "load_core": options.load_core, "scenario_notes": {},
        "failures": [f"{name}: not installed: {why}" for name, why in missing.items()], "discarded": [],
    }
    if "uring" in options.engines and "uring" not in engines:
        about["failures"].append("portico uring: this portico_proxy has no --io-engine")
    options.load_tool = programs["bench_load"]
    folder = tempfile.mkdtemp(prefix="portico-bench-", dir=machine.scratch_parent())
    rows = []
    upstream = load.Upstream(programs["bench_upstream"], options.load_core)
    try:
        starter = servers.Starter(programs, folder, options.proxy_core, upstream.port)
        bench = scenarios.Bench(starter, options, upstream, programs, engines, machine.softirq_threads(), say)
        for scenario in options.scenario:
            say(f"scenario {scenario}")
            try:
                rows += RUNNERS[scenario](bench)
            except (load.LoadError, OSError, subprocess.SubprocessError) as error:
                # One scenario that breaks off does not cost the others of a long run.
                bench.failures.append(f"scenario {scenario} broke off: {error}")
        about["failures"] += bench.failures
        about["discarded"] += bench.discarded
        about["scenario_notes"] = bench.notes
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return rows, about


def write_results(options, rows, about):
    found = targets.evaluate(rows)
    text = report.markdown(rows, found, about)
    os.makedirs(options.output, exist_ok=True)
    files = {
        "rows.json": json.dumps(rows, indent=2) + "\n",
        "summary.json": json.dumps({"about": about, "targets": found}, indent=2) + "\n",
        "report.md": text + "\n",
        "chart.svg": chart.svg(rows),
    }
    for name, content in files.items():
        with open(os.path.join(options.output, name), "w") as f:
            f.write(content)
    if options.json:
        with open(options.json, "w") as f:
            f.write(files["rows.json"])
    print(text)
    say(f"bench: written to {options.output}/: {', '.join(files)}")


def main(arguments=None):
    options = parse(arguments)
    if not options.portico_binaries:
        raise SystemExit("bench: start tools/bench.sh, which builds, or name --portico-binaries")
    rows, about = run(options)
    write_results(options, rows, about)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
