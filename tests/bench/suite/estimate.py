"""How long a run takes. No I/O."""

from tests.bench.suite import change, idle, scenarios, servers, tls

# Seconds beside each window: warm-up, start of the load generator, reading what processes have spent.
_AROUND_WINDOW = 0.5
# To start the servers of a scenario, with whatever their configurations need first.
_STARTS = {"a": 5, "b": 5, "c": 15, "d": 25, "e": 0, "f": 15, "g": 3, "h": 3, "i": 3, "j": 0}
# Two with 100,000 routes each are slow.
_ENVOY_TABLES = 65
# One server with its idle connections, besides its start: load, two rests, opening and closing.
_IDLE_SECONDS = 8
_IDLE_TLS_SECONDS = 9
# The peers of each scenario; None: all.
_PEERS = {"a": None, "b": ("haproxy", "nginx", "envoy"), "c": ("haproxy", "nginx", "envoy"), "d": ("nginx", "envoy"), "e": None,
          "f": ("haproxy", "nginx", "envoy"), **dict.fromkeys("ghij", tls.PEERS)}


def _windows(scenario, engines, peers):
    """Windows of one round."""
    count = len(engines) + len(peers)
    if scenario == "a":
        return count * (len(scenarios.SATURATED) + 1)
    if scenario in "bgj":
        return count * 2
    if scenario == "d":
        return 3 * (count + ("envoy" in peers))  # Envoy has two kinds of table.
    return count


def _seconds(scenario, options, engines):
    known = _PEERS[scenario]
    peers = [peer for peer in options.peers if peer != servers.PORTICO and (known is None or peer in known)]
    if scenario == "d" and options.quick:
        peers = [peer for peer in peers if peer != "envoy"]
    windows = _windows(scenario, engines, peers)
    if scenario == "e":
        return windows * _IDLE_SECONDS * (1 if options.quick else min(options.rounds, idle.MOST_ROUNDS))
    if scenario == "j":
        return windows * _IDLE_TLS_SECONDS
    if scenario == "f":
        pairs = 1 if options.quick else min(options.rounds, change.MOST_ROUNDS)
        return windows * (2 * pairs * (change.window_seconds(options) + _AROUND_WINDOW) + 2)
    tables = _ENVOY_TABLES if scenario == "d" and "envoy" in peers else 0
    return windows * (options.rounds + 1) * (options.seconds + _AROUND_WINDOW) + tables


def minutes(options, engines, peers):
    """Of a run of `options` with these engines and peers, when no round is disturbed."""
    options = type(options)(**{**vars(options), "peers": peers})
    return sum(_STARTS[scenario] + _seconds(scenario, options, engines) for scenario in options.scenario) / 60
