"""Portico's targets, judged on the rows of one run. No I/O."""

MET, MISSED, UNKNOWN = "met", "**missed**", "not measured"


class Rows:
    """Finds rows of a run."""

    def __init__(self, rows):
        self._rows = rows

    def all(self, scenario, **wanted):
        return [row for row in self._rows if row["scenario"] == scenario
                and all(row.get(key) == value for key, value in wanted.items())]

    def one(self, scenario, **wanted):
        found = self.all(scenario, **wanted)
        return found[0] if found else None

    def portico(self, scenario, engine=None, **wanted):
        """That engine's row; without one, uring's, or epoll's where there is no other."""
        for name in ([engine] if engine else ["uring", "epoll"]):
            row = self.one(scenario, server="portico", engine=name, **wanted)
            if row:
                return row
        return None

    def peers(self, scenario, **wanted):
        return [row for row in self.all(scenario, **wanted) if row["server"] != "portico"]


def _value(row, figure):
    return row.get(figure) if row else None


def _ratio(row, other, figure):
    mine, its = _value(row, figure), _value(other, figure)
    return mine / its if mine is not None and its else None


def _result(scenario, target, value, met, text=None):
    """`met` is asked only if there is a value."""
    if value is None:
        return {"scenario": scenario, "target": target, "measured": "-", "verdict": UNKNOWN}
    return {"scenario": scenario, "target": target, "measured": text or f"{value:.2f}",
            "verdict": MET if met(value) else MISSED}


def _at_most(scenario, target, value, limit, text=None):
    return _result(scenario, target, value, lambda v: v <= limit, text)


def _to_best(scenario, target, row, peers, figure, limit=1.0):
    """`row` beside the peer whose figure is smallest."""
    known = [peer for peer in peers if _value(peer, figure) is not None]
    if not row or not known:
        return _result(scenario, target, None, None)
    best = min(known, key=lambda peer: peer[figure])
    ratio = _ratio(row, best, figure)
    return _at_most(scenario, target, ratio, limit,
                    f"{ratio:.2f} ({row[figure]:.1f} us, {best['server']} {best[figure]:.1f} us)")


def _saturated(rows):
    load = {"variant": "saturated", "connections": 64}
    uring, epoll = rows.portico("a", "uring", **load), rows.portico("a", "epoll", **load)
    results = []
    for peer, limit in (("haproxy", 0.55), ("nginx", 0.42), ("envoy", 0.30)):
        results.append(_at_most("a, saturated, 64 connections, io_uring", f"CPU at most {limit:.2f} of {peer}",
                                _ratio(uring, rows.one("a", server=peer, **load), "cpu_us_per_request"), limit))
    haproxy = rows.one("a", server="haproxy", **load)
    results.append(_result("a, saturated, 64 connections, io_uring", "requests/s at least 1.8 of haproxy",
                           _ratio(uring, haproxy, "requests_per_second"), lambda v: v >= 1.8))
    results.append(_at_most("a, saturated, 64 connections, epoll", "CPU at most 0.80 of haproxy",
                            _ratio(epoll, haproxy, "cpu_us_per_request"), 0.80))
    return results


def _light(rows):
    one = {"variant": "saturated", "connections": 1}
    fixed = {"variant": "rate 20000", "connections": 64}
    haproxy = rows.one("a", server="haproxy", **fixed)
    kept = [row for row in rows.peers("a", **fixed) if row["kept_rate"]]
    return [
        _to_best("a, 1 connection", "p50 at most the best peer's", rows.portico("a", **one), rows.peers("a", **one),
                 "p50_us"),
        _at_most("a, fixed 20,000/s", "CPU at most 0.75 of haproxy", _ratio(rows.portico("a", **fixed), haproxy, "cpu_us_per_request"), 0.75),
        _at_most("a, fixed 20,000/s, --io-gather-micros=200", "CPU at most 0.75 of haproxy",
                 _ratio(rows.portico("a", "gather", **fixed), haproxy, "cpu_us_per_request"), 0.75),
        _to_best("a, fixed 20,000/s", "p99 at most the best peer's", rows.portico("a", **fixed), kept, "p99_us"),
    ]


def _bodies(rows):
    return [_to_best(f"b, {variant}", "CPU at most the best peer's", rows.portico("b", variant=variant),
                     rows.peers("b", variant=variant), "cpu_us_per_request") for variant in ("16 KiB", "1 MiB")]


def _policy(rows):
    mine = rows.portico("c")
    plain = rows.one("a", server="haproxy", variant="saturated", connections=64)
    return [
        _result("c, full policy", "CPU below haproxy's plain proxying in a",
                _ratio(mine, plain, "cpu_us_per_request"), lambda v: v < 1),
        _at_most("c, full policy", "CPU at most 0.30 of envoy's full policy",
                 _ratio(mine, rows.one("c", server="envoy"), "cpu_us_per_request"), 0.30),
    ]


def _routes(rows):
    few = rows.portico("d", variant="10 routes")
    return [_at_most(f"d, 100,000 routes, {draw}", "CPU within 1.05 of that at 10",
                     _ratio(rows.portico("d", variant=f"100000 routes, {draw}"), few, "cpu_us_per_request"), 1.05)
            for draw in ("hot", "random")]


def _rest(rows):
    idle, change = rows.portico("e"), rows.portico("f")
    return [
        _at_most("e, 10,000 idle connections", "at most 1 KiB each", _value(idle, "kib_per_connection"), 1.0),
        _at_most("f, changes under load", "p99 within 1.2 of steady", _value(change, "p99_ratio"), 1.2),
    ]


def _tls(rows):
    def added(row_of):
        plain, tls = (row_of(variant) for variant in ("plain", "TLS"))
        figures = [_value(row, "cpu_us_per_request") for row in (tls, plain)]
        return figures[0] - figures[1] if None not in figures else None

    mine, its = added(lambda variant: rows.portico("g", variant=variant)), added(
        lambda variant: rows.one("g", server="haproxy", variant=variant))
    ratio = mine / its if mine is not None and its else None
    return [_at_most("g, TLS, connections that stay", "adds at most 0.50 of what it adds to haproxy", ratio, 0.50,
                     f"{ratio:.2f} ({mine:.1f} us, haproxy {its:.1f} us)" if ratio is not None else None),
            _at_most("h, TLS, a handshake for each request", "CPU at most 0.75 of nginx",
                     _ratio(rows.portico("h"), rows.one("h", server="nginx"), "cpu_us_per_request"), 0.75)] + [
        _at_most("i, h2 over TLS", f"CPU at most {limit:.2f} of {peer}",
                 _ratio(rows.portico("i"), rows.one("i", server=peer), "cpu_us_per_request"), limit)
        for peer, limit in (("haproxy", 0.75), ("envoy", 0.30))] + [
        _at_most(f"j, {variant}", f"at most {limit} KiB each",
                 _value(rows.portico("j", variant=variant), "kib_per_connection"), limit)
        for variant, limit in (("idle TLS", 15), ("idle h2 over TLS", 20))]


def evaluate(rows):
    """[{scenario, target, measured, verdict}] for the scenarios that `rows` are of."""
    found = Rows(rows)
    results = _saturated(found) + _light(found) + _bodies(found) + _policy(found) + _routes(found) + _rest(found) + _tls(found)
    measured = {row["scenario"] for row in rows}
    return [result for result in results if result["scenario"][0] in measured]
