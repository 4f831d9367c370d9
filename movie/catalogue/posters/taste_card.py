"""Draw the card of a visitor's taste: a sheet of the posters' series, its bars the stars that were given."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.drawing import SANS, SERIF
from movie.catalogue.posters.inks import ACCENTS, field_for, inks_for
from movie.catalogue.posters.lettering import fitted, printable, set_lines, shortened
from movie.catalogue.posters.sheet import FOOT_LINE, FOOT_RULE, FOOT_SIZE, HEIGHT, MARGIN, MEASURE, WIDTH

SCALE = 2  # pixels a unit, so that a shared card is legible
PLOT_TOP, PLOT_TALL = 20, 96
STAR_LINE = PLOT_TOP + PLOT_TALL + 14
HEADING_TOP, HEADING_TALL = 142, 74
LINES_TOP, LINE_TALL = 232, 17
MAX_LINES = 6
LETTERS = 34


def draw_taste_card(heading: str, lines: Sequence[str], counts: Sequence[int], genres: Sequence[str]) -> str:
    """Draw the card as an SVG document, 240 by 360 units.

    `counts` are the ratings by half star, lowest first; `genres` the ones rated most, the first one known
    chooses the colours; `lines` stand below the heading, six at most.
    """
    heading = printable(heading)
    dice = Dice("taste", *genres, *counts)
    inks = inks_for(field_for(genres, dice), dice.below(len(ACCENTS)))
    head, size = set_lines(heading, HEADING_TALL, 34, 2)
    y = HEADING_TOP + size * 0.82
    text = ""
    for line in head:
        text += f'<text x="{MARGIN}" y="{y:.0f}"{fitted(line, MEASURE, size)}>{escape(line)}</text>'
        y += size * 1.04
    small = ""
    for number, line in enumerate(lines[:MAX_LINES]):
        said = shortened(printable(line), LETTERS)
        small += (
            f'<text x="{MARGIN}" y="{LINES_TOP + number * LINE_TALL}"'
            f"{fitted(said, MEASURE, FOOT_SIZE - 2)}>{escape(said)}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH * SCALE}"'
        f' height="{HEIGHT * SCALE}" role="img"><title>{escape(heading)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{inks.field}"/>{_bars(counts, inks.accent)}'
        f'<path d="M{MARGIN} {PLOT_TOP + PLOT_TALL}h{MEASURE}" stroke="{inks.text}" opacity=".6"/>'
        f'<g fill="{inks.text}" font-family="{SANS}" font-size="10" text-anchor="middle">'
        f"{_stars(len(counts))}</g>"
        f'<g fill="{inks.text}" font-family="{SERIF}" font-size="{size:.1f}" font-weight="700">{text}</g>'
        f'<g fill="{inks.text}" font-family="{SANS}" font-size="{FOOT_SIZE - 2}">{small}</g>'
        f'<path d="M{MARGIN} {FOOT_RULE}h{MEASURE}" stroke="{inks.text}" opacity=".6"/>'
        f'<text x="{MARGIN}" y="{FOOT_LINE}" fill="{inks.text}" font-family="{SERIF}"'
        f' font-size="{FOOT_SIZE}" font-weight="700">Reelgraph</text></svg>'
    )


def _bars(counts: Sequence[int], accent: str) -> str:
    step, tallest = MEASURE / max(len(counts), 1), max(counts, default=0) or 1
    bars = ""
    for place, count in enumerate(counts):
        tall = PLOT_TALL * count / tallest
        bars += (
            f'<rect x="{MARGIN + place * step + 2:.1f}" y="{PLOT_TOP + PLOT_TALL - tall:.1f}"'
            f' width="{step - 4:.1f}" height="{tall:.1f}" fill="{accent}"/>'
        )
    return bars


def _stars(n_bars: int) -> str:
    """Return the numbers below the bars of whole stars."""
    step = MEASURE / max(n_bars, 1)
    return "".join(
        f'<text x="{MARGIN + (place + 0.5) * step:.1f}" y="{STAR_LINE}">{(place + 1) // 2}★</text>'
        for place in range(1, n_bars, 2)
    )
