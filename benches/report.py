"""Results as tables in benches/README.md and as plots beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
Row = Mapping[str, Any]

KINDS = {"memory": "onto a memory file system", "disk": "onto a disk"}


def write(results: Path) -> None:
    """Put all results that there are into the README, and draw the plots."""
    readme = HERE / "README.md"
    text = readme.read_text()
    for kind in KINDS:
        store = results / f"results-{kind}.json"
        if store.exists():
            rows = in_order(json.loads(store.read_text()))
            text = between(text, kind, table(rows))
            (HERE / ("plot.svg" if kind == "memory" else f"plot-{kind}.svg")).write_text(plot(rows, kind))
    readme.write_text(text)


def in_order(results: Mapping[str, Row]) -> list[Row]:
    """Give the rows in the order of the workloads."""
    from .workloads import WORKLOADS

    keys = [f"{name}.{form}" for name, workload in WORKLOADS.items() for form in workload.formats]
    return [results[key] for key in keys if key in results]


def between(text: str, name: str, content: str) -> str:
    """Replace what stands between the two markers of a name."""
    begin, end = f"<!-- {name}: made by benches.run -->\n", f"<!-- {name}: end -->"
    head, rest = text.split(begin, 1)
    return head + begin + content + end + rest.split(end, 1)[1]


def table(rows: Sequence[Row]) -> str:
    """Give the Markdown table, with where and when it was measured above it."""
    dates = sorted({row["date"] for row in rows})
    fewest = min(row["rounds"] for row in rows)
    lines = [
        f"Measured on {', '.join(dates)}, {machine()}; medians of at least {fewest} interleaved runs.",
        "",
        "| layer | Rust core | CPU | peak | peer | CPU | peak | limit | of the peer's time | memory | of the limit "
        "| of the bare pipeline | of the pure core |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        rust, peer, pure, least = row["rust"], row.get("peer"), row.get("pure"), row.get("limit")
        cells = [
            f"{row['title']}, {row['format']}, {row['input'] / 1e6:.0f} MB",
            *_cost(rust),
            *(_cost(peer) if peer else ("", "", "")),
            f"{least:.2f} s" if least else "",
            _ratio(rust, peer, "wall"),
            _ratio(rust, peer, "rss"),
            f"{rust['wall'] / least:.2f}" if least else "",
            _ratio(rust, row.get("bare"), "wall"),
            f"{rust['wall'] / pure['wall']:.3f}" if pure else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def line(row: Row) -> str:
    """Give a row for people who watch."""
    parts = [f"{name} {row[name]['wall']:.3f} s" for name in ("rust", "peer", "pure", "bare") if name in row]
    if "limit" in row:
        stages = ", ".join(f"{name} {seconds:.3f}" for name, seconds in row["stages"].items())
        parts.append(f"limit {row['limit']:.3f} s ({stages}), {row['rust']['wall'] / row['limit']:.2f} of it")
    if "peer" in row:
        parts.append(f"{row['rust']['wall'] / row['peer']['wall']:.3f} of the peer")
    if "bare" in row:
        parts.append(f"{row['rust']['wall'] / row['bare']['wall']:.2f} of the bare pipeline")
    if "pure" in row:
        parts.append(f"{row['rust']['wall'] / row['pure']['wall']:.3f} of pure")
    parts.append(f"peak {row['rust']['rss'] / 1e6:.0f} MB, CPU {row['rust']['cpu']:.2f} s")
    return "; ".join(parts)


def machine() -> str:
    """Name the processor, the cores that may be used, and the memory."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for text in file:
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel = os.uname().release.split("-")[0]
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {memory:.0f} GiB of memory, Linux {kernel}"


def _cost(cost: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{cost['wall']:.2f} s", f"{cost['cpu']:.2f} s", f"{cost['rss'] / 1e6:.0f} MB"


def _ratio(ours: Mapping[str, float], other: Mapping[str, float] | None, what: str) -> str:
    return f"{ours[what] / other[what]:.2f}" if other else ""


# The plot: a bar for each layer, its length the time as a part of the peer's, and a mark where the limit is.

_WIDTH, _LEFT, _BAR, _GAP = 860, 250, 14, 8
_SCALE = 520  # pixels for the peer's time


def plot(rows: Sequence[Row], kind: str) -> str:
    """Give an SVG picture of the times relative to the peer's."""
    rows = [row for row in rows if "peer" in row]
    height = 60 + len(rows) * (_BAR + _GAP) + 30
    bottom = height - 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(10, 22, f"Time of a conversion {KINDS[kind]}, as a part of the peer's (= 1)", size=15),
        f'<rect x="{_LEFT}" y="32" width="12" height="12" fill="#4878a8"/>',
        _text(_LEFT + 17, 42, "Rust core"),
        f'<line x1="{_LEFT + 100}" y1="30" x2="{_LEFT + 100}" y2="46" stroke="#c03020" stroke-width="3"/>',
        _text(_LEFT + 107, 42, "limit of the hardware"),
    ]
    for tenth in range(0, 11, 2):
        x = _LEFT + _SCALE * tenth / 10
        parts.append(f'<line x1="{x:g}" y1="55" x2="{x:g}" y2="{bottom}" stroke="#ccc"/>')
        parts.append(_text(x, bottom + 16, f"{tenth / 10:g}", anchor="middle"))
    for number, row in enumerate(rows):
        y = 60 + number * (_BAR + _GAP)
        part = row["rust"]["wall"] / row["peer"]["wall"]
        parts.append(_text(_LEFT - 8, y + 11, f"{row['title']}, {row['format']}", anchor="end"))
        width = min(_SCALE * part, _WIDTH - _LEFT - 50)
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="#4878a8"/>')
        mark = 0.0
        if "limit" in row:
            mark = _SCALE * row["limit"] / row["peer"]["wall"]
            parts.append(
                f'<line x1="{_LEFT + mark:.1f}" y1="{y - 2}" x2="{_LEFT + mark:.1f}" y2="{y + _BAR + 2}" '
                'stroke="#c03020" stroke-width="3"/>'
            )
        parts.append(_text(_LEFT + max(width, mark) + 6, y + 11, f"{part:.2f}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
