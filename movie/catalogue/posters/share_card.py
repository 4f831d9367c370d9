"""Draw the card that other sites show with a link to a film: its poster, and its title beside it.

Those sites want a picture of pixels, 1200 by 630, and take no SVG. resvg makes it of the drawing, with the
fonts of the server: where there is none, the picture has no letters. Without the package there is no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from xml.sax.saxutils import escape

from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.drawing import SANS, SERIF, draw_poster
from movie.catalogue.posters.inks import field_for, inks_for
from movie.catalogue.posters.lettering import fitted, printable, set_lines, shortened, split_title, width_of
from movie.catalogue.posters.sheet import MEASURE

CARD_WIDTH, CARD_HEIGHT = 1200, 630  # pixels, as the Open Graph sites recommend
POSTER_WIDTH = 420  # the poster fills the height: 420 by 630
TEXT_LEFT, TEXT_MEASURE = POSTER_WIDTH + 60, 660
FOOT = 570
FACT_SIZE = 30
SERIF_FONT, SANS_FONT = "DejaVu Serif", "DejaVu Sans"  # where no font of the drawing is installed


def draw_share_card(
    title: str, year: int | None, genres: Sequence[str], director: str, facts: Sequence[str]
) -> str:
    """Draw the card as an SVG document. `facts` are lines below the title; the rest is as for a poster."""
    title = printable(title) or "?"
    poster = draw_poster(title, year, genres, director)
    inks = inks_for(field_for(genres, Dice("film", title, year or "", 0)), 0)
    name, subtitle = split_title(title)
    scale = TEXT_MEASURE / MEASURE
    lines, size = set_lines(name, 90, 34, 4)
    size *= scale
    text, y = "", 90 + size * 0.82
    for line in lines:
        text += f'<text x="{TEXT_LEFT}" y="{y:.0f}" font-size="{size:.0f}">{escape(line)}</text>'
        y += size * 1.08
    rest = ""
    for line in (_in_measure(printable(each)) for each in (subtitle, *facts) if each):
        fit = fitted(line, TEXT_MEASURE, FACT_SIZE)
        rest += f'<text x="{TEXT_LEFT}" y="{y:.0f}" font-size="{FACT_SIZE}"{fit}>{escape(line)}</text>'
        y += FACT_SIZE * 1.5
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CARD_WIDTH} {CARD_HEIGHT}"'
        f' width="{CARD_WIDTH}" height="{CARD_HEIGHT}">'
        f'<rect width="{CARD_WIDTH}" height="{CARD_HEIGHT}" fill="{inks.field}"/>'
        f'<svg width="{POSTER_WIDTH}" height="{CARD_HEIGHT}" viewBox="0 0 240 360">{poster}</svg>'
        f'<g fill="{inks.text}" font-family="{SERIF}" font-weight="700">{text}</g>'
        f'<g fill="{inks.text}" font-family="{SANS}">{rest}</g>'
        f'<path d="M{TEXT_LEFT} {FOOT - 50}h{TEXT_MEASURE}" stroke="{inks.text}" opacity=".6"/>'
        f'<text x="{TEXT_LEFT}" y="{FOOT}" fill="{inks.text}" font-family="{SERIF}" font-size="36"'
        f' font-weight="700">Reelgraph</text></svg>'
    )


def _in_measure(line: str) -> str:
    """Cut a line of facts that is longer than the measure."""
    letters = len(line)
    while width_of(shortened(line, letters)) * FACT_SIZE > TEXT_MEASURE * 100:
        letters -= 1
    return shortened(line, letters)


def to_png(drawing: str) -> bytes:
    """Return the pixels of an SVG document as a PNG file, with the fonts of the server."""
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(svg_string=drawing, serif_family=SERIF_FONT, sans_serif_family=SANS_FONT)
    )


@cache
def can_draw_cards() -> bool:
    """Return whether this server can make pixels of a drawing."""
    return find_spec("resvg_py") is not None
