"""The frontier of the dial as a picture: what comes next against what comes later, one line per length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INK, QUIET, RULE = "#222222", "#666666", "#dddddd"
COLOURS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito 2008; every line is named where it ends
LEFT, RIGHT, TOP, BOTTOM = 70, 620, 80, 400
WIDTH, HEIGHT = 760, 470
TICKS = 5


def render_frontier(table: Mapping[str, Any]) -> str:
    """Return an SVG of the rows of `benchmarks.dial`: n, point, next film, later over popularity's, ..."""
    lines: dict[str, list[tuple[str, float, float]]] = {}
    for n, point, following, later, *_ in table["rows"]:
        lines.setdefault(n, []).append((point, float(later), float(following)))
    right = _ceiling(max(x for points in lines.values() for _, x, _ in points), 0.25)
    top = _ceiling(max(y for points in lines.values() for _, _, y in points), 0.05)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x / right, BOTTOM - (BOTTOM - TOP) * y / top

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" role="img"',
        f'viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<title>The dial from unexpected to well-known films moves along a frontier</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="15" font-weight="bold" fill="{INK}">'
        "Unexpected films are what comes next, well-known ones what comes some day</text>",
        f'<text x="16" y="48" font-size="13" fill="{QUIET}">Five points of the dial; the large dot is the '
        "default</text>",
        f'<text x="{LEFT}" y="{HEIGHT - 24}" font-size="13" fill="{INK}">'
        "Everything that comes later, against what popularity finds of it</text>",
        f'<text x="16" y="{TOP - 10}" font-size="13" fill="{INK}">The film that comes next: NDCG@10</text>',
    ]
    for step in range(TICKS + 1):
        x, _ = place(right * step / TICKS, 0)
        _, y = place(0, top * step / TICKS)
        parts += [
            f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{RULE}"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end" fill="{QUIET}">'
            f"{top * step / TICKS:.2f}</text>",
            f'<text x="{x:.1f}" y="{BOTTOM + 18}" font-size="12" text-anchor="middle" fill="{QUIET}">'
            f"{right * step / TICKS:.2f}</text>",
        ]
    for colour, (n, points) in zip(COLOURS, lines.items(), strict=False):
        places = [place(x, y) for _, x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (point, *_), (x, y) in zip(points, places, strict=True):
            size = 7 if point == "0" else 4
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>')
        x, y = places[0]  # the unexpected end
        parts.append(
            f'<text x="{x - 12:.1f}" y="{y + 4:.1f}" font-size="13" text-anchor="end" '
            f'fill="{colour}">after {n} '
            f"film{'' if n == '1' else 's'}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ceiling(value: float, step: float) -> float:
    whole = int(value / step)
    return step * (whole if whole * step >= value else whole + 1)
