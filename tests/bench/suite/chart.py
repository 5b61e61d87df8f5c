"""One chart of the rows, as SVG: CPU per request, user and system, a panel for each load. No I/O."""

from xml.sax.saxutils import escape

from tests.bench.suite import report

_WIDTH = 860
_NAME, _BAR = 170, 480
_ROW, _TITLE, _GAP, _TOP = 22, 30, 18, 58
_COLOURS = {"portico": ("#0b5fa5", "#7fb5e3"), "": ("#6b6b6b", "#bdbdbd")}
# Longer bars are cut, so that one slow server does not make the others invisible.
_MOST_TIMES_MEDIAN = 6


def _panels(rows):
    for (scenario, variant, connections), group in report.groups(rows):
        shown = [row for row in group if row["cpu_us_per_request"]]
        if shown and scenario in "abcdghi":
            plural = "s" if connections != 1 else ""
            yield f"{scenario}: {variant}, {connections} connection{plural}", shown


def _scale(rows):
    """The value at the right end of the bars."""
    values = sorted(row["cpu_us_per_request"] for row in rows)
    return min(values[-1], _MOST_TIMES_MEDIAN * values[(len(values) - 1) // 2])


def _bars(rows, y):
    most = _scale(rows)
    for row in rows:
        dark, light = _COLOURS.get(row["server"], _COLOURS[""])
        cpu = row["cpu_us_per_request"]
        full = _BAR * min(cpu / most, 1)
        user = full * row["user_us"] / cpu
        mark = f"{cpu:,.1f} us" + (" (cut)" if cpu > most else "")
        yield (f'<text x="{_NAME - 8}" y="{y + 15}" text-anchor="end">{escape(report.label(row))}</text>'
               f'<rect x="{_NAME}" y="{y + 3}" width="{user:.1f}" height="16" fill="{dark}"/>'
               f'<rect x="{_NAME + user:.1f}" y="{y + 3}" width="{full - user:.1f}" height="16" fill="{light}"/>'
               f'<text x="{_NAME + full + 6:.1f}" y="{y + 15}">{mark}, {row["requests_per_second"]:,.0f}/s</text>')
        y += _ROW


def svg(rows):
    """The whole file."""
    parts, y = [], _TOP
    for title, group in _panels(rows):
        parts.append(f'<text x="12" y="{y + 16}" font-weight="bold">{escape(title)}</text>')
        parts += _bars(group, y + _TITLE)
        y += _TITLE + _ROW * len(group) + _GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
            f'<text x="12" y="24" font-size="16" font-weight="bold">CPU time of the proxy for each request</text>'
            f'<text x="12" y="44">dark: user, light: system; shorter is better; the scale differs between panels</text>'
            + "\n".join(parts) + "</svg>\n")
