"""Rounds: interleaving, what counts as disturbed, medians and spread. No I/O."""

import dataclasses
import statistics

from tests.bench.suite.machine import TICKS_PER_SECOND

# A round is disturbed if during its window other processes used more than this share of one core, or the
# hypervisor took more than this share of one.
DISTURBED_SHARE = 0.05
# The same for what only the processors' own counts show: processes outside of the container that measures. It is more, as
# these counts are samples, and some of a known process's time may be counted for another.
UNSEEN_SHARE = 0.15
# A proxy is saturated if it used at least this share of its core.
SATURATED_SHARE = 0.95
# With fewer undisturbed rounds than this, the disturbed ones are used as well, and the row says so.
FEWEST_ROUNDS = 2

_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7

# What is taken the median of, over the rounds of a row.
FIGURES = ("cpu_us_per_request", "user_us", "sys_us", "requests_per_second", "p50_us", "p99_us", "p999_us",
           "rss_kib")


@dataclasses.dataclass
class Round:
    """One measured window of one server."""

    figures: dict
    saturated: bool = False
    disturbed: str = ""   # why, or nothing
    failed: int = 0
    errors: dict = dataclasses.field(default_factory=dict)
    kept_rate: bool = True


def disturbance(report):
    """Why the window of this report of bench_load does not count; "" if it does."""
    def ticks(*kinds):
        return sum(processor[kind] for processor in report["processors"] for kind in kinds) / TICKS_PER_SECOND

    # Not "all that was not idle, less what is known": interrupts and the network's work in the kernel, which every load here
    # makes much of, may be counted for no process.
    others = report["others"]["ticks"] / TICKS_PER_SECOND / report["others"]["seconds"]
    if others > DISTURBED_SHARE:
        return f"other processes used {100 * others:.0f} % of a core"
    seconds = report["seconds"]
    ours = sum(process["cpu_us"] for process in report["processes"].values()) / 1e6
    unseen = (ticks(_USER, _NICE, _SYSTEM) - ours) / seconds
    if unseen > UNSEEN_SHARE:
        return f"processes out of sight used {100 * unseen:.0f} % of a core"
    stolen = ticks(_STEAL) / seconds
    if stolen > DISTURBED_SHARE:
        return f"the hypervisor took {100 * stolen:.0f} % of a core"
    return ""


def figures(report, pids, rss_kib, rate=0):
    """A Round from a report of bench_load about the server that consists of `pids`."""
    processes = [report["processes"][str(pid)] for pid in pids]
    cpu_us = sum(process["cpu_us"] for process in processes)
    user = sum(process["user_ticks"] for process in processes)
    system = sum(process["sys_ticks"] for process in processes)
    requests = report["requests"]
    # The total is exact; ticks are only good for how it is split.
    user_share = user / (user + system) if user + system else 0.0
    each = cpu_us / requests if requests and pids else None
    return Round(
        figures={
            "cpu_us_per_request": each,
            "user_us": each * user_share if each is not None else None,
            "sys_us": each * (1 - user_share) if each is not None else None,
            "requests_per_second": report["requests_per_second"],
            "p50_us": report["p50_us"],
            "p99_us": report["p99_us"],
            "p999_us": report["p999_us"],
            "rss_kib": rss_kib,
        },
        saturated=cpu_us / 1e6 >= SATURATED_SHARE * report["seconds"],
        disturbed=disturbance(report),
        failed=report["failed"],
        errors=report["errors"],
        kept_rate=rate == 0 or report["requests_per_second"] >= 0.98 * rate)


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def deviation(values):
    """Median absolute deviation."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = statistics.median(known)
    return statistics.median(abs(value - middle) for value in known)


def summarize(rounds):
    """The figures of a row, from its rounds."""
    kept = [r for r in rounds if not r.disturbed]
    disturbed = len(rounds) - len(kept)
    enough = len(kept) >= min(FEWEST_ROUNDS, len(rounds))
    used = kept if enough else rounds
    row = {name: median([r.figures.get(name) for r in used]) for name in FIGURES}
    cpu = [r.figures["cpu_us_per_request"] for r in used if r.figures["cpu_us_per_request"] is not None]
    errors = {}
    for r in used:
        for reason, count in r.errors.items():
            errors[reason] = errors.get(reason, 0) + count
    row.update({
        "cpu_us_min": min(cpu) if cpu else None,
        "cpu_us_max": max(cpu) if cpu else None,
        "cpu_us_mad": deviation(cpu),
        "rounds": len(used),
        "rounds_discarded": disturbed if enough else 0,
        # Too few rounds were quiet, so noisy ones are in the figures.
        "disturbed": not enough,
        "saturated": sum(r.saturated for r in used) * 2 > len(used),
        "kept_rate": all(r.kept_rate for r in used),
        "failed_requests": sum(r.failed for r in used),
        "errors": errors,
    })
    return row


def interleave(cases, rounds, measure, say, most_extra=0):
    """Measures every case in turns, A B C A B C ..., and returns {case: [Round, ...]}.

    `measure(case)` gives a Round. The first turn is a warm-up that counts nothing. Disturbed rounds are
    measured again, in at most `most_extra` turns more, for as long as a case lacks quiet ones.
    """
    results = {case: [] for case in cases}
    for case in cases:
        say("warm-up", case, measure(case))
    for number in range(1, rounds + most_extra + 1):
        for case in cases:
            quiet = sum(not r.disturbed for r in results[case])
            if number > rounds and quiet >= rounds:
                continue
            result = measure(case)
            results[case].append(result)
            say(f"round {number}", case, result)
    return results
