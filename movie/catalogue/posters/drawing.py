"""Draw posters from a movie's facts: a flat field, one motif, the title, director and year.

They are meant as one printed series. The rarest genre chooses the field, words of the title and the genres
choose the motif, the title every measure in it, the decade lays a texture over it, and the director brings
the habits that recur from film to film: accent colour, how shapes are filled, how the title is set and where.
Everything follows from hashes, so a film has the same poster on every machine. In a list a film whose motif
was just seen takes the next one that suits it; see `meanings`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from xml.sax.saxutils import escape

from movie.catalogue.posters.brush import Brush
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.inks import ACCENTS, Inks, field_for, inks_for
from movie.catalogue.posters.lettering import (
    fitted,
    is_full,
    printable,
    set_lines,
    shortened,
    split_title,
    width_of,
)
from movie.catalogue.posters.meanings import motif_of
from movie.catalogue.posters.motifs import MOTIFS
from movie.catalogue.posters.sheet import FOOT_LINE, FOOT_RULE, FOOT_SIZE, HEIGHT, MARGIN, MEASURE, WIDTH

SERIF = "ui-serif,Georgia,'Noto Serif KR','Noto Serif CJK KR','Noto Serif SC','Noto Serif CJK SC',serif"
SANS = "system-ui,'Segoe UI','Noto Sans KR','Noto Sans CJK KR','Noto Sans SC','Noto Sans CJK SC',sans-serif"

# -- the decade's texture -----------------------------------------------------------------------

# One tile each: (width, height, what is drawn in it). {c} is the ink.
TEXTURES: dict[int, tuple[int, int, str]] = {
    1910: (7, 40, '<path d="M2 0v24M5 30v10" stroke="{c}" stroke-width=".8"/>'),
    1920: (12, 12, '<path d="M0 12 6 0l6 12" fill="none" stroke="{c}"/>'),
    1930: (20, 10, '<path d="M0 10a10 10 0 0 1 20 0M5 10a5 5 0 0 1 10 0" fill="none" stroke="{c}"/>'),
    1940: (4, 4, '<path d="M0 1h4" stroke="{c}"/>'),
    1950: (9, 9, '<circle cx="4.5" cy="4.5" r="1.7" fill="{c}"/>'),
    1960: (
        16,
        16,
        '<g fill="none" stroke="{c}"><circle cx="8" cy="8" r="3"/><circle cx="8" cy="8" r="7"/></g>',
    ),
    1970: (10, 10, '<path d="M-2 2 2-2M0 10 10 0M8 12l4-4" stroke="{c}" stroke-width="1.6"/>'),
    1980: (12, 12, '<path d="M0 0h12M0 0v12" stroke="{c}"/>'),
    1990: (14, 10, '<path d="M1 2h5M8 7h5" stroke="{c}" stroke-width="1.4"/>'),
    2000: (6, 6, '<path d="M0 0h2v2H0zM3 3h2v2H3z" fill="{c}"/>'),
    2010: (5, 5, '<path d="M0 0l5 5" stroke="{c}" stroke-width=".9"/>'),
    2020: (13, 13, '<path d="M6 3v6M3 6h6" stroke="{c}"/>'),
}


def _texture(year: int | None, inks: Inks) -> str:
    if year is None:
        return ""
    wide, tall, tile = TEXTURES[min(max(year // 10 * 10, 1910), 2020)]
    return (
        f'<pattern id="t" width="{wide}" height="{tall}" patternUnits="userSpaceOnUse">'
        f"{tile.format(c=inks.text)}</pattern>"
    )


# -- the poster -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Habit:
    """Holds the traits that one director's posters share."""

    favourite: int  # which accent comes first
    fill: str  # flat, hatched, cut or outlined
    style: str  # attributes of the title's type
    title_above: bool
    anchor: str


FILLS = ("flat", "flat", "hatched", "cut", "outlined")
STYLES = ("", "", ' font-style="italic"')
# Hundredths of the type size: how far an italic leans over the end of its line, and how far it is moved back
# so that it stands where upright letters would.
SLANT, SETBACK = 16, 6
# Units: a card 115 pixels wide shows 22 of them as 10.5 pixels.
NAME_TALL, NAME_TALL_ALONE, NAME_LARGEST = 84, 112, 50
REST_TALL, REST_LARGEST, REST_SMALLEST = 80, 25, 22
REST_LINES = 3


@lru_cache(maxsize=4096)
def _habit(director: str) -> Habit:
    dice = Dice("director", director)
    return Habit(
        dice.below(len(ACCENTS)),
        dice.choice(FILLS),
        dice.choice(STYLES),
        dice.below(3) == 0,
        "start" if dice.below(4) else "middle",
    )


def _brush(inks: Inks, fill: str) -> tuple[Brush, str]:
    """Return the brush and the SVG definitions that it needs."""
    hole = f'fill="{inks.field}"'
    if fill == "hatched":
        tile = (
            '<pattern id="h" width="6" height="6" patternUnits="userSpaceOnUse"'
            ' patternTransform="rotate(45)">'
            f'<path d="M0 0h6v4H0z" fill="{inks.accent}"/></pattern>'
        )
        return Brush(inks, 'fill="url(#h)"', hole), tile
    if fill == "cut":
        return Brush(inks, f'fill="{inks.accent}" stroke="{inks.field}" stroke-width="4"', hole), ""
    if fill == "outlined":
        return Brush(
            inks, f'fill="{inks.field}" stroke="{inks.accent}" stroke-width="6"', f'fill="{inks.tone}"'
        ), ""
    return Brush(inks, f'fill="{inks.accent}"', hole), ""


def draw_poster(
    title: str, year: int | None, genres: Sequence[str], director: str, *, seed: int = 0, choice: int = 0
) -> str:
    """Draw a poster as an SVG document, 240 by 360 units, 1 to 4 KB.

    `director` may be empty, then the film has habits of its own. `seed` tells apart films with the same title
    and year, `choice` is which of the motifs that suit the film is drawn.
    """
    title, director = printable(title) or "?", printable(director)
    dice = Dice("film", title, year or "", seed)
    habit = _habit(director or title)
    inks = inks_for(field_for(genres, dice), habit.favourite)
    brush, definitions = _brush(inks, habit.fill)
    definitions += _texture(year, inks)

    name, subtitle = split_title(title)
    style = "" if any(map(is_full, title)) else habit.style  # no italics in Chinese or Korean
    slant = SLANT if style else 0
    tallest = NAME_TALL if subtitle else NAME_TALL_ALONE
    lines, size = set_lines(name, tallest, NAME_LARGEST, 5, slant=slant)
    rest, rest_size = _subtitle(subtitle, slant) if subtitle else ([], 0.0)
    leading = size * 1.04
    block = round(leading * len(lines) + (rest_size * 1.2 * len(rest) + 8 if rest else 0))

    tall = FOOT_RULE - block - 26
    if habit.title_above:
        top, art_top = 14.0, FOOT_RULE - tall
    else:
        top, art_top = FOOT_RULE - block - 10.0, 0
    middle = MARGIN if habit.anchor == "start" else WIDTH // 2

    def placed(line: str, y: float, size: float) -> str:
        x = middle - size * SETBACK / 100 if style else middle
        limit = MEASURE - size * slant / 100
        return f'<text x="{x:.4g}" y="{y:.0f}"{fitted(line, limit, size)}>{escape(line)}</text>'

    text = []
    y = top + size * 0.82
    for line in lines:
        text.append(placed(line, y, size))
        y += leading
    head = f'<g font-size="{size:.1f}" font-weight="700"{style}>{"".join(text)}</g>'
    if rest:
        y += rest_size * 0.95 + 4 - leading * 0.76
        small = []
        for line in rest:
            small.append(placed(line, y, rest_size))
            y += rest_size * 1.2
        head += f'<g font-size="{rest_size:.1f}"{style}>{"".join(small)}</g>'

    art = MOTIFS[motif_of(title, genres, choice)](dice, brush, tall)
    veil = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#t)" opacity=".12"/>' if year else ""
    named = escape(f"{title} ({year})" if year else title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" role="img"><title>{named}</title><defs>{definitions}</defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{inks.field}"/>'
        f'<svg y="{art_top}" width="{WIDTH}" height="{tall}">{art}</svg>{veil}'
        f'<g fill="{inks.text}" font-family="{SERIF}" text-anchor="{habit.anchor}">{head}</g>'
        f'<path d="M{MARGIN} {FOOT_RULE}h{MEASURE}" stroke="{inks.text}" opacity=".6"/>'
        f"{_foot(director, year, inks)}</svg>"
    )


def _subtitle(text: str, slant: int) -> tuple[list[str], float]:
    """Return a subtitle's lines, none smaller than REST_SMALLEST; an ellipsis ends what does not fit."""
    while True:
        lines, size = set_lines(text, REST_TALL, REST_LARGEST, REST_LINES, slant=slant)
        if size >= REST_SMALLEST or len(text) < 12:
            return lines, max(size, REST_SMALLEST)
        text = shortened(text, len(text) - 3)


def _foot(director: str, year: int | None, inks: Inks) -> str:
    foot = ""
    if director:
        signed = shortened(director, 24)
        room = MEASURE - 50 if year else MEASURE
        width = width_of(signed) * 0.0101 * FOOT_SIZE  # the sans is a little wider than the title's serif
        fit = f' textLength="{room}" lengthAdjust="spacingAndGlyphs"' if width > room else ""
        foot += f'<text x="{MARGIN}" y="{FOOT_LINE}"{fit}>{escape(signed)}</text>'
    if year:
        foot += f'<text x="{WIDTH - MARGIN}" y="{FOOT_LINE}" text-anchor="end">{year}</text>'
    return f'<g fill="{inks.text}" font-family="{SANS}" font-size="{FOOT_SIZE}">{foot}</g>'
