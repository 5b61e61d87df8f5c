"""Tables in Markdown from the rows of a run. No I/O."""

SCENARIOS = {
    "a": "a. Plain proxy, small body",
    "b": "b. Larger bodies, 64 connections",
    "c": "c. Full policy, 64 connections: 1,000 routes, tokens, limits, header changes, access log",
    "d": "d. 10 and 100,000 routes, 64 connections",
    "e": "e. Idle connections",
    "f": "f. Configuration changes under load",
    "g": "g. TLS 1.3, connections that stay",
    "h": "h. TLS 1.3, a whole handshake for each request",
    "i": "i. HTTP/2 over TLS",
    "j": "j. Idle connections over TLS",
}


def label(row):
    name = f"{row['server']} {row['engine']}" if row["engine"] else row["server"]
    return f"{name}, {row['detail']}" if row.get("detail") else name


def number(value, digits=0):
    if value is None:
        return "-"
    return f"{value:,.{digits}f}"


def groups(rows):
    """[(scenario, variant, connections), rows], in the order of the rows."""
    found = {}
    for row in rows:
        found.setdefault((row["scenario"], row["variant"], row["connections"]), []).append(row)
    return list(found.items())


def notes(row):
    texts = []
    if row.get("saturated"):
        texts.append("saturated")
    if not row.get("kept_rate", True):
        texts.append("did not keep the rate")
    if row.get("disturbed"):
        texts.append("disturbed rounds used")
    elif row.get("rounds_discarded"):
        texts.append(f"{row['rounds_discarded']} rounds discarded")
    if row.get("failed_requests"):
        texts.append(f"{row['failed_requests']} failed: " +
                     ", ".join(f"{reason} x{count}" for reason, count in sorted(row["errors"].items())))
    return "; ".join(texts)


def load_table(rows, base_row):
    lines = ["| server | CPU us/request (user/sys) | min-max | to HAProxy | requests/s | p50 us | p99 us | p99.9 us "
             "| RSS MiB | rounds | notes |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        cpu, ratio = row["cpu_us_per_request"], "-"
        if base_row and cpu and base_row["cpu_us_per_request"]:
            ratio = f"{cpu / base_row['cpu_us_per_request']:.2f}"
        rss = row["rss_kib"] / 1024 if row["rss_kib"] is not None else None
        lines.append(
            f"| {label(row)} | {number(cpu, 1)} ({number(row['user_us'], 1)}/{number(row['sys_us'], 1)}) "
            f"| {number(row['cpu_us_min'], 1)}-{number(row['cpu_us_max'], 1)} | {ratio} "
            f"| {number(row['requests_per_second'])} | {number(row['p50_us'])} | {number(row['p99_us'])} "
            f"| {number(row['p999_us'])} | {number(rss, 1)} | {row['rounds']} | {notes(row)} |")
    return lines


def idle_table(rows):
    lines = ["| server | KiB for each connection | RSS MiB before | RSS MiB with them | rounds |", "|---|---|---|---|---|"]
    for row in rows:
        before = row["rss_before_kib"] / 1024
        lines.append(f"| {label(row)} | {number(row['kib_per_connection'], 2)} | {number(before, 1)} "
                     f"| {number(row['rss_kib'] / 1024, 1)} | {row['rounds']} |")
    return lines


def change_table(rows):
    lines = ["| server | p99 us steady | p99 us during changes | ratio | p99.9 us steady | during | failed | changes "
             "| rounds | notes |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {label(row)} | {number(row['p99_steady_us'])} | {number(row['p99_us'])} "
            f"| {number(row['p99_ratio'], 2)} | {number(row['p999_steady_us'])} | {number(row['p999_us'])} "
            f"| {row['failed_requests']} | {row['changes']} | {row['rounds']} | {notes(row)} |")
    return lines


def markdown(rows, targets, about):
    """The whole report. `targets`: from targets.evaluate; `about`: machine, versions, settings, notes."""
    lines = ["# Portico beside others", ""]
    machine = about["machine"]
    lines += [f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}. "
              f"One worker on core {about['proxy_core']}, load and upstream on core {about['load_core']}. "
              f"{about['rounds']} rounds of {about['seconds']} s, interleaved, medians.", ""]
    lines += ["Compare ratios within this run, not times between runs. docs/benchmarks.md says what the figures mean.", ""]
    lines += ["Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items())) + ".",
              ""]
    if targets:
        lines += ["## Targets", "", "| scenario | target | measured | |", "|---|---|---|---|"]
        lines += [f"| {t['scenario']} | {t['target']} | {t['measured']} | {t['verdict']} |" for t in targets] + [""]
    for scenario, title in SCENARIOS.items():
        of_scenario = [row for row in rows if row["scenario"] == scenario]
        if not of_scenario:
            continue
        lines += [f"## {title}", ""]
        for (_, variant, connections), group in groups(of_scenario):
            lines += [f"### {variant}, {connections:,} connection{'s' if connections != 1 else ''}", ""]
            if scenario in "ej":
                lines += idle_table(group)
            elif scenario == "f":
                lines += change_table(group)
            else:
                base = next((row for row in group if row["server"] == "haproxy"), None)
                lines += load_table(group, base)
            lines.append("")
        lines += [f"{text}" for text in about["scenario_notes"].get(scenario, [])]
        lines.append("")
    for title, key in (("Left out", "failures"), ("Rounds discarded or disturbed", "discarded")):
        if about[key]:
            lines += [f"## {title}", ""] + [f"- {text}" for text in about[key]] + [""]
    return "\n".join(lines)
