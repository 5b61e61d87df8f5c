"""Scenario e: what a resting connection costs in memory."""

import time

from tests.bench.suite import load, rounds, servers

CONNECTIONS = 10_000
# Time for buffers to go back and for idle upstream connections to be counted out.
_REST_SECONDS = 2
MOST_ROUNDS = 2


def idle(bench):
    """A fresh server; memory after some load; then with connections that have each served a request and rest."""
    rows = []
    for subject in bench.wanted(servers.PEERS):
        measured = []
        for number in range(1 if bench.options.quick else min(bench.options.rounds, MOST_ROUNDS)):
            measured += _measure(bench, subject, number)
        if not measured:
            continue
        name, engine = subject
        rows.append({
            "scenario": "e", "variant": "idle", "server": name, "engine": engine, "connections": CONNECTIONS,
            **dict.fromkeys(rounds.FIGURES),
            "rss_kib": rounds.median([m["after"] for m in measured]),
            "rss_before_kib": rounds.median([m["before"] for m in measured]),
            "kib_per_connection": rounds.median([(m["after"] - m["before"]) / CONNECTIONS for m in measured]),
            "rounds": len(measured),
        })
    return rows


def _measure(bench, subject, number):
    """[{before, after}] in KiB, or nothing if the server did not take the connections."""
    options = bench.options
    for server in bench.start_all([subject], "plain"):
        try:
            # So that what every server sets up with its first requests is not counted.
            load.run(options.load_tool, options.load_core, server.port, [], 0.5, load.TOUCHED_AT_ONCE)
            time.sleep(_REST_SECONDS)
            before = server.rss_kib()
            connections = load.IdleConnections(options.load_tool, options.load_core, server.port, CONNECTIONS)
            time.sleep(_REST_SECONDS)
            after = server.rss_kib()
            connections.close()
        except load.LoadError as error:
            bench.failures.append(f"{server.label} with {CONNECTIONS} idle connections: {error}")
            continue
        finally:
            server.stop()
        bench.say(f"round {number + 1}  e {server.label:14} {(after - before) / CONNECTIONS:8.2f} KiB/connection")
        return [{"before": before, "after": after}]
    return []
