"""Lettering: a title in balanced lines that fill the measure, in any script."""

from itertools import pairwise
from unicodedata import east_asian_width

from movie.catalogue.posters.sheet import MEASURE

# Widths in hundredths of the type size for a bold serif; the browser is told the width of each line, so
# another font than Georgia is set to the same measure.
_NARROW = {" ": 26} | dict.fromkeys("ijl.,:;!'’|", 32) | dict.fromkeys("frtI()[]-", 36)
_WIDE = dict.fromkeys("mwMW@%", 92) | dict.fromkeys("ABCDGHKNOQRUVXYZ&", 74) | dict.fromkeys("EFJLPST", 64)
_WIDTHS = _NARROW | _WIDE
_PLAIN, _FULL = 57, 100
BREAKS_BEFORE_SUBTITLE = (" or: ", ": ", " - ", " – ", " (", "; ")


def is_full(letter: str) -> bool:
    """Return whether a letter fills a whole square and a line may end after it: Chinese, Japanese, Korean."""
    return letter > "\u10ff" and east_asian_width(letter) in "WF"


def width_of(text: str) -> int:
    """Estimate the width in hundredths of the type size."""
    return sum(_WIDTHS.get(letter) or (_FULL if is_full(letter) else _PLAIN) for letter in text)


def _pieces(text: str) -> list[tuple[str, str]]:
    """Split a line into pieces that may be parted: (piece, the joint before it)."""
    pieces: list[tuple[str, str]] = []
    for word in text.split():
        glue = " "
        run = ""
        for letter in word:
            if is_full(letter):
                if run:
                    pieces.append((run, glue))
                    glue = run = ""
                pieces.append((letter, glue))
                glue = ""
            else:
                run += letter
        if run:
            pieces.append((run, glue))
    return pieces or [("", "")]


def _balanced(pieces: list[tuple[str, str]], count: int) -> list[str]:
    """Break into `count` lines at most, the longest as short as can be (by bisection on its width)."""
    widths = [width_of(piece) for piece, _glue in pieces]
    joins = [26 if glue else 0 for _piece, glue in pieces]

    def fill(limit: int) -> list[int]:
        starts, line = [0], 0
        for at, width in enumerate(widths):
            grown = line + joins[at] + width if at != starts[-1] else width
            if grown > limit and at != starts[-1]:
                starts.append(at)
                grown = width
            line = grown
        return starts

    low, high = max(widths), sum(widths) + sum(joins)
    while low < high:
        middle = (low + high) // 2
        if len(fill(middle)) <= count:
            high = middle
        else:
            low = middle + 1
    starts = [*fill(low), len(pieces)]
    lines = []
    for start, end in pairwise(starts):
        first, *rest = pieces[start:end]
        lines.append(first[0] + "".join(glue + piece for piece, glue in rest))
    return lines


def set_lines(
    text: str, tallest: float, largest: float, most_lines: int, *, slant: int = 0
) -> tuple[list[str], float]:
    """Return the lines and the type size that fill the measure best within a height.

    `slant` is how far letters lean out of the end of their line, in hundredths of the type size.
    """
    pieces = _pieces(text)
    best: tuple[list[str], float] = ([text], 0.0)
    for count in range(1, min(most_lines, len(pieces)) + 1):
        lines = _balanced(pieces, count)
        size = min(
            largest, MEASURE * 100 / (max(map(width_of, lines)) + slant), tallest / (1.06 * len(lines))
        )
        if size > best[1] * 1.08:
            best = (lines, size)
    return best


def split_title(title: str) -> tuple[str, str]:
    """Split a long title into its usual name and the rest: "Star Wars", "Episode IV – A New Hope"."""
    if len(title) > 16:
        for mark in BREAKS_BEFORE_SUBTITLE:
            name, found, rest = title.partition(mark)
            if found and len(name) > 2 and len(rest) > 2:
                kept = {" or: ": "or: ", " (": "("}.get(mark, "")
                return name, kept + rest
    return title, ""


def fitted(text: str, limit: float, size: float) -> str:
    """Return a `textLength` for a line that another font could push out of its measure."""
    width = width_of(text) * size / 100
    if width < limit * 0.62:
        return ""
    return f' textLength="{min(width, limit):.0f}" lengthAdjust="spacingAndGlyphs"'


def printable(text: str) -> str:
    """Return the text on one line, without characters that XML forbids."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shortened(text: str, letters: int) -> str:
    """Cut a text to a number of letters, the last of them an ellipsis."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
