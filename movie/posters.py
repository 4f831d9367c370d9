"""Posters drawn from a film's facts: a flat field, one motif, the title, director and year.

They are meant as one printed series. The first genre chooses the field, the title chooses the motif
and every measure in it, the decade lays a texture over it, and the director brings the habits that
recur from film to film: accent colour, how shapes are filled, how the title is set and where.
Everything follows from hashes, so a film has the same poster on every machine.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from math import cos, pi, sin
from typing import TypeVar
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

Thing = TypeVar("Thing")

DRAWING = "1"  # raise it when posters are drawn differently: addresses and ETags carry it

WIDTH, HEIGHT = 240, 360
MARGIN = 16
MEASURE = WIDTH - 2 * MARGIN
FOOT_RULE, FOOT_LINE = 328, 347
FOOT_SIZE = 15

SERIF = "ui-serif,Georgia,'Noto Serif KR','Noto Serif CJK KR','Noto Serif SC','Noto Serif CJK SC',serif"
SANS = "system-ui,'Segoe UI','Noto Sans KR','Noto Sans CJK KR','Noto Sans SC','Noto Sans CJK SC',sans-serif"

CREAM, BLACK = "#f4ead6", "#1c1917"
# The print shop's inks; a director has one of them.
ACCENTS = ("#d8432b", "#f0b23e", "#2f7f86", "#f4ead6", "#e8825a", "#9cc7d3", "#eeb0a8", "#1c1917")

FIELDS: dict[str, tuple[str, ...]] = {
    "action": ("#c23a22", "#26262b", "#e07b28", "#17374f", "#8f1f2b", "#e5b23f"),
    "adventure": ("#e0a83a", "#1f6a70", "#c9602c", "#3e5a34"),
    "animation": ("#86bccb", "#ee9f97", "#efc04c"),
    "children": ("#a9cfae", "#8cc3d6", "#f0a04b"),
    "comedy": ("#efbf4a", "#ec9a8f", "#e9dcc0", "#5fa8a3", "#e8743b", "#b9d0a2"),
    "crime": ("#2a2a30", "#7f2a22", "#1f3148"),
    "documentary": ("#e7dcc4", "#b9b08f", "#51605a"),
    "drama": ("#24505a", "#96382c", "#d5b98a", "#3c4a3a", "#3a3350", "#b9afa0", "#7f8fa0", "#1f2a38"),
    "fantasy": ("#56305a", "#2b5a4b", "#9a8fc0"),
    "film-noir": ("#1a1a1d", "#2f2d2b", "#4b4843"),
    "horror": ("#2a1216", "#17211d", "#7a1a1c"),
    "musical": ("#d9647a", "#efb548", "#6a2c56"),
    "mystery": ("#1f2d4a", "#402745", "#1e453f"),
    "romance": ("#efb3a5", "#c7506a", "#ecdcc4"),
    "sci-fi": ("#16263f", "#105a66", "#34305f"),
    "thriller": ("#222c30", "#19474b", "#8a2320"),
    "war": ("#5c6138", "#8a7f5c", "#3d4238"),
    "western": ("#d2a05a", "#a9502b", "#6f3a25"),
}
SAME_GENRE = {
    "children's": "children", "family": "children", "science fiction": "sci-fi", "music": "musical",
    "noir": "film-noir", "biography": "drama", "history": "war", "sport": "action", "short": "documentary",
}  # fmt: skip
OTHER_FIELDS = ("#4a4f57", "#7d6a4f", "#2e5148", "#b98f6a")

# -- colour -----------------------------------------------------------------------------------


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [
        channel / 3294.6 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in _channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Inks:
    field: str
    text: str  # readable on the field
    accent: str  # the director's
    tone: str  # a shade of the field
    spark: str  # a small light or dark touch


@lru_cache(maxsize=1024)
def _inks(field: str, favourite: int) -> Inks:
    text = max((CREAM, BLACK), key=lambda ink: contrast(field, ink))
    order = ACCENTS[favourite:] + ACCENTS[:favourite]
    accent = next(ink for ink in order if contrast(field, ink) >= 2.4 or ink == text)
    deep = _luminance(field) < 0.3
    tone = _mix(field, CREAM, 0.2) if _luminance(field) < 0.05 else _mix(field, BLACK, 0.34 if deep else 0.24)
    spark = text if accent != text else _mix(field, text, 0.55)
    return Inks(field, text, accent, tone, spark)


# -- chance -----------------------------------------------------------------------------------


class Dice:
    """Numbers that follow from a text and are the same everywhere."""

    def __init__(self, *facts: object) -> None:
        self._seed = "\x1f".join(str(fact) for fact in facts).encode()
        self._bytes = b""
        self._at = self._round = 0

    def _next(self) -> int:
        if self._at + 2 > len(self._bytes):
            self._bytes = hashlib.blake2b(self._seed, salt=bytes([self._round])).digest()
            self._at, self._round = 0, self._round + 1
        self._at += 2
        return int.from_bytes(self._bytes[self._at - 2 : self._at])

    def below(self, count: int) -> int:
        return self._next() % count

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self._next() % (high - low + 1)

    def choice(self, things: Sequence[Thing]) -> Thing:
        return things[self.below(len(things))]


# -- motifs -----------------------------------------------------------------------------------
# Each draws into a box 240 wide and `tall` high (about 190 to 250), clipped at its edges.


@dataclass(frozen=True, slots=True)
class Brush:
    """The inks, and the director's way to fill a shape with the accent."""

    inks: Inks
    main: str  # attributes of the bold shape
    hole: str  # attributes of a hole in it

    @property
    def tone(self) -> str:
        return f'fill="{self.inks.tone}"'

    @property
    def spark(self) -> str:
        return f'fill="{self.inks.spark}"'

    @property
    def field(self) -> str:
        return f'fill="{self.inks.field}"'

    def line(self, width: float, ink: str = "") -> str:
        return f'fill="none" stroke="{ink or self.inks.accent}" stroke-width="{width:g}"'


Motif = Callable[[Dice, Brush, int], str]


def _circle(x: float, y: float, radius: float, paint: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {paint}/>'


def _rect(x: float, y: float, wide: float, tall: float, paint: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{tall:g}" {paint}/>'


def _path(data: str, paint: str) -> str:
    return f'<path d="{data}" {paint}/>'


def _arcs(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice(((0, tall), (WIDTH, tall), (WIDTH / 2, tall), (0, 0), (WIDTH, 0)))
    reach = tall - 14 if x != WIDTH / 2 else min(tall - 14, 112)
    rings = dice.between(3, 5)
    step = reach / (rings + 0.4)
    odd = dice.below(rings)
    parts = []
    for ring in range(rings):
        paint = brush.line(step * 0.56, brush.inks.accent if ring != odd else brush.inks.spark)
        parts.append(_circle(x, y, reach - step * (ring + 0.28), paint))
    return "".join(parts)


def _stripes(dice: Dice, brush: Brush, tall: int) -> str:
    lean = dice.choice((-70, -40, 40, 70, 110))
    x, parts = -120.0, []
    gap = dice.between(10, 26)
    while x < WIDTH + 120:
        wide = dice.between(8, 42)
        paint = (brush.main, brush.main, brush.tone, brush.spark)[dice.below(4)]
        parts.append(_path(f"M{x:g} {tall}h{wide}l{lean} {-tall}h{-wide}z", paint))
        x += wide + gap
    return "".join(parts)


def _grid(dice: Dice, brush: Brush, tall: int) -> str:
    columns = dice.between(4, 6)
    cell = MEASURE / columns
    rows = int((tall - 20) / cell)
    top = (tall - rows * cell) / 2 + 6
    side = cell * dice.choice((0.62, 0.74, 0.86))
    inset, r = (cell - side) / 2, side / 2
    shape = dice.choice(
        (
            f"m0 {r:.1f}a{r:.1f} {r:.1f} 0 1 0 {side:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-side:.1f} 0",
            f"h{side:.1f}v{side:.1f}h{-side:.1f}z",
            f"v{side:.1f}h{side:.1f}z",
            f"m0 {side:.1f}a{side:.1f} {side:.1f} 0 0 1 {side:.1f} {-side:.1f}v{side:.1f}z",
        )
    )
    spots = [
        f"M{MARGIN + cell * (at % columns) + inset:.0f} {top + cell * (at // columns) + inset:.0f}{shape}"
        for at in range(rows * columns)
    ]
    odd = dice.between(columns, len(spots) - 2)
    chosen = (
        {odd},
        set(range(odd - odd % columns, odd - odd % columns + columns)),  # its row
        {at for at in range(len(spots)) if at % columns == odd % columns},  # its column
        {
            at for at in range(len(spots)) if (at % columns + at // columns) % columns == odd % columns
        },  # diagonals
    )[dice.below(4)]
    bold = "".join(spot for at, spot in enumerate(spots) if at in chosen)
    rest = "".join(spot for at, spot in enumerate(spots) if at not in chosen)
    return _path(rest, brush.tone) + _path(bold, brush.main)


def _horizon(dice: Dice, brush: Brush, tall: int) -> str:
    line = tall * dice.between(55, 72) / 100
    radius = dice.between(48, 78)
    x = dice.choice((72, 120, 168))
    parts = [
        _circle(x, line - dice.between(-10, 24), radius, brush.main),
        _rect(0, line, WIDTH, tall, brush.field),
    ]
    y, thick = line, dice.between(5, 10)
    wide = radius * 2.0
    while y < tall:
        shift = dice.between(-14, 14)
        parts.append(_rect(x - wide / 2 + shift, y + 3, wide, thick, brush.tone))
        y, wide, thick = y + thick + dice.between(4, 8), wide * 0.86, max(3, thick - 1)
    return "".join(parts) + _rect(0, line - 1, WIDTH, 3, brush.spark)


def _spotlight(dice: Dice, brush: Brush, tall: int) -> str:
    x = dice.choice((18, 60, 180, 222))
    floor = tall - 34
    to = WIDTH - x + dice.between(-30, 30)
    to = min(max(to, 74), WIDTH - 74)
    wide = dice.between(46, 66)
    parts = _path(f"M{x} -6L{to - wide} {floor}h{2 * wide}z", brush.main)
    parts += f'<ellipse cx="{to}" cy="{floor}" rx="{wide}" ry="15" {brush.spark}/>'
    height = dice.between(46, 74)
    body = f"M{to - 7} {floor + 2}l3 {-height}h8l3 {height}z"
    return parts + _path(body, brush.field) + _circle(to, floor - height - 8, 8, brush.field)


def _stairs(dice: Dice, brush: Brush, tall: int) -> str:
    steps = dice.between(5, 8)
    run, rise = WIDTH / steps, (tall - 44) / steps
    left = dice.below(2)
    way = f"M{WIDTH if left else 0} {tall}" + f"v{-rise:.1f}h{-run if left else run:.1f}" * steps
    way += f"V{tall}z"
    lit = dice.between(1, steps - 2)
    x = (WIDTH - run * (lit + 1)) if left else run * lit
    y = tall - rise * (lit + 1)
    radius = dice.between(13, 17)
    sun = _circle(58 if not left else WIDTH - 58, 56, dice.between(24, 36), brush.tone)
    return sun + _path(way, brush.main) + _circle(x + run / 2, y - radius, radius, brush.spark)


def _orbit(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = 120, tall / 2 + 6
    turn = dice.choice((-38, -24, -12, 14, 27, 40))
    radius = dice.between(40, 56)
    rings = "".join(
        f'<ellipse cx="{x}" cy="{y:g}" rx="{radius + gap}" ry="{(radius + gap) * 0.32:.0f}" '
        f"{brush.line(3.5, brush.inks.spark)}/>"
        for gap in range(24, 24 + 17 * dice.between(1, 3), 17)
    )
    ball = _circle(x, y, radius, brush.main)
    half = _path(f"M{x - radius} {y:g}a{radius} {radius} 0 0 1 {2 * radius} 0z", brush.main)
    moon = _circle(x + dice.choice((-1, 1)) * (radius + 34), y - 9, dice.between(6, 11), brush.spark)
    return f'<g transform="rotate({turn} {x} {y:g})">{ball}{rings}{half}{moon}</g>'


def _windows(dice: Dice, brush: Brush, tall: int) -> str:
    columns = dice.between(4, 5)
    left = dice.choice((24, 44, 62))
    cell = 27
    wide = columns * cell + 12
    top = dice.between(22, 50)
    parts = [_rect(left, top, wide, tall, brush.tone)]
    side = dice.between(14, 18)
    lit = dice.between(2, 3 * columns - 1)
    panes = [
        f"M{left + 12 + cell * (at % columns)} {top + 16 + 34 * (at // columns)}h{side}v22h{-side}z"
        for at in range(columns * 7)
        if top + 16 + 34 * (at // columns) < tall
    ]
    bright = panes.pop(lit)
    other = left + wide + 10 if left < 40 else 0
    block = _rect(other, top + dice.between(50, 90), WIDTH if other else left - 10, tall, brush.main)
    return block + "".join(parts) + _path("".join(panes), brush.field) + _path(bright, brush.main)


def _eye(dice: Dice, brush: Brush, tall: int) -> str:
    y = tall / 2 + 8
    lift = dice.between(58, 86)
    iris = dice.between(34, 42)
    look = dice.between(-20, 20)
    lashes = ""
    if dice.below(2):
        rays = dice.between(5, 9)
        lashes = "".join(
            f"M{30 + 180 * at / (rays - 1):.0f} {y - 34 - 40 * (1 - abs(2 * at / (rays - 1) - 1)):.0f}v-26"
            for at in range(rays)
        )
        lashes = _path(lashes, brush.line(5, brush.inks.tone))
    lid = _path(f"M12 {y:g}Q120 {y - 2 * lift:g} 228 {y:g}Q120 {y + 2 * lift:g} 12 {y:g}z", brush.spark)
    ball = _circle(120 + look, y, iris, brush.main) if brush.inks.accent != brush.inks.spark else ""
    pupil = _circle(120 + look, y, iris * dice.choice((0.4, 0.52, 0.62)), brush.field)
    glint = _circle(120 + look + iris * 0.32, y - iris * 0.34, 5, brush.spark)
    return lashes + lid + ball + pupil + glint


def _peaks(dice: Dice, brush: Brush, tall: int) -> str:
    sun = _circle(dice.choice((58, 120, 178)), dice.between(54, 76), dice.between(26, 38), brush.spark)
    back = front = ""
    x = dice.between(-40, 0)
    while x < WIDTH:
        half, high = dice.between(38, 62), dice.between(90, 140)
        back += f"M{x} {tall}l{half} {-high}l{half} {high}z"
        x += half
    x = dice.between(-60, -20)
    while x < WIDTH:
        half, high = dice.between(48, 84), dice.between(44, 96)
        front += f"M{x} {tall}l{half} {-high}l{half} {high}z"
        x += half + 18
    return sun + _path(back, brush.tone) + _path(front, brush.main)


def _waves(dice: Dice, brush: Brush, tall: int) -> str:
    rows = dice.between(4, 6)
    length = dice.choice((40, 60, 80))
    swell = length * dice.choice((0.26, 0.36, 0.46))
    first = tall * 0.4
    gap = (tall - first) / rows
    moon = _circle(
        dice.choice((62, 120, 178)), first - dice.between(14, 34), dice.between(30, 44), brush.spark
    )
    parts = [moon]
    paints = (brush.main, brush.tone) if dice.below(2) else (brush.tone, brush.main)
    for row in range(rows):
        y = first + row * gap
        start = -length * (1 + 0.5 * (row % 2))
        way = f"M{start:g} {y:.0f}" + f"q{length / 4:g} {-swell:.0f} {length / 2:g} 0t{length / 2:g} 0" * (
            WIDTH // length + 3
        )
        parts.append(_path(f"{way}V{tall + 40}H{start:g}z", paints[row % 2]))
    return "".join(parts)


def _road(dice: Dice, brush: Brush, tall: int) -> str:
    x = dice.choice((70, 120, 170))
    line = tall * dice.between(38, 52) / 100
    sky = _rect(0, line, WIDTH, tall, brush.tone)
    sun = _path(f"M{x - 46} {line:g}a46 46 0 0 1 92 0z", brush.spark)
    bend = dice.between(-40, 40)
    road = _path(f"M{x - 3} {line:g}h6L{226 + bend} {tall}H{14 + bend}z", brush.main)
    middle, y, dash = "", line + 8, 5.0
    low = 120 + bend
    while y < tall:
        at = (y - line) / (tall - line)
        to = min(1.0, at + dash / (tall - line))
        one, two = x + (low - x) * at, x + (low - x) * to
        end = line + (tall - line) * to
        middle += f"M{one - 5 * at:.0f} {y:.0f}h{10 * at:.0f}L{two + 5 * to:.0f} {end:.0f}h{-10 * to:.0f}z"
        y, dash = y + dash * 2, dash * 1.5
    return sun + sky + road + _path(middle, brush.field)


def _rays(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice(((120, tall // 2), (120, tall - 20), (40, tall - 20), (200, 40), (120, 60)))
    count = dice.choice((12, 16, 20, 24))
    reach = 330
    turn = dice.below(30)
    way = ""
    for ray in range(count):
        one = 2 * pi * ray / count + turn / 30
        two = one + pi / count
        edges = "L".join(
            f"{x + reach * cos(turned):.0f} {y + reach * sin(turned):.0f}" for turned in (one, two)
        )
        way += f"M{x} {y}L{edges}z"
    radius = dice.between(30, 52)
    return _path(way, brush.tone) + _circle(x, y, radius + 8, brush.field) + _circle(x, y, radius, brush.main)


def _doors(dice: Dice, brush: Brush, tall: int) -> str:
    frames = dice.between(3, 5)
    parts = []
    high = tall - 18
    wide = dice.between(130, 170)
    lean = dice.choice((-9, 0, 9))
    for frame in range(frames):
        w, h = wide * (1 - frame / (frames + 0.6)), high * (1 - frame / (frames + 1.2))
        x = 120 - w / 2 + lean * frame
        paint = (brush.tone, brush.field)[frame % 2] if frame < frames - 1 else brush.main
        parts.append(_rect(round(x), round(tall - h), round(w), round(h), paint))
    w = wide * (1 - (frames - 1) / (frames + 0.6))
    x = 120 + lean * (frames - 1)
    spill = _path(f"M{x - w / 2:.0f} {tall}h{w:.0f}v0z", brush.spark)
    man = dice.between(26, 40)
    figure = _path(f"M{x - 6:.0f} {tall}l3 {-man}h6l3 {man}z", brush.field) + _circle(
        x, tall - man - 6, 6, brush.field
    )
    return "".join(parts) + spill + figure


def _reel(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice(((120, tall / 2), (40, tall / 2 + 10), (206, tall / 2 - 10), (120, tall - 10)))
    radius = dice.between(86, 104) if x == 120 else dice.between(110, 130)
    holes = dice.between(3, 6)
    turn = dice.below(60) / 10
    around = "".join(
        _circle(
            round(x + radius * 0.58 * cos(turn + 2 * pi * hole / holes)),
            round(y + radius * 0.58 * sin(turn + 2 * pi * hole / holes)),
            round(radius * (0.34 if holes < 4 else 0.25 if holes < 6 else 0.2)),
            brush.hole,
        )
        for hole in range(holes)
    )
    return _circle(x, y, radius, brush.main) + around + _circle(x, y, radius * 0.13, brush.spark)


def _overlap(dice: Dice, brush: Brush, tall: int) -> str:
    radius = dice.between(60, 72)
    apart = dice.between(32, 50)
    upright = dice.below(2)
    y = tall / 2 + 4
    dx, dy = (0, min(apart, (tall / 2 - radius) + 8)) if upright else (apart, dice.between(-10, 10))
    one, two = (120 - dx, y - dy), (120 + dx, y + dy)
    half = (dx * dx + dy * dy) ** 0.5
    along = (radius * radius - half * half) ** 0.5
    # The lens between the circles: its tips lie on the line through the middle, across their axis.
    tx, ty = -dy / half * along, dx / half * along
    lens = (
        f"M{120 + tx:.1f} {y + ty:.1f}A{radius} {radius} 0 0 1 {120 - tx:.1f} {y - ty:.1f}"
        f"A{radius} {radius} 0 0 1 {120 + tx:.1f} {y + ty:.1f}z"
    )
    return _circle(*one, radius, brush.main) + _circle(*two, radius, brush.tone) + _path(lens, brush.spark)


def _blinds(dice: Dice, brush: Brush, tall: int) -> str:
    disc = _circle(dice.choice((80, 120, 160)), tall / 2 + 4, dice.between(70, 92), brush.main)
    pitch = dice.between(13, 22)
    lean = dice.choice((-26, -12, 0, 12, 26))
    slats, y = "", -30
    while y < tall + 30:
        slats += f"M0 {y}L{WIDTH} {y + lean}v{pitch * 0.42:.1f}L0 {y + pitch * 0.42:.1f}z"
        y += pitch
    return disc + _path(slats, brush.field) + _rect(dice.choice((44, 120, 190)), 0, 3, tall, brush.spark)


def _spiral(dice: Dice, brush: Brush, tall: int) -> str:
    y = tall / 2 + 4
    halves = dice.between(7, 12)
    reach = min(tall / 2 - 8, 104)
    sweep = dice.below(2)
    grow = reach / (halves + 0.5)
    x = 120 - grow / 2
    way, side = f"M{x:g} {y:g}", 1
    for half in range(1, halves + 1):
        radius = grow * half
        way += f"a{radius:.1f} {radius:.1f} 0 0 {sweep} {2 * radius * side:.1f} 0"
        side = -side
    return _path(way, brush.line(grow * 0.95)) + _circle(x, y, grow * 0.8, brush.spark)


def _skyline(dice: Dice, brush: Brush, tall: int) -> str:
    bars = dice.between(6, 9)
    gap = dice.choice((0, 4, 8))
    wide = (WIDTH - gap * (bars + 1)) / bars if gap else WIDTH / bars
    odd = dice.below(bars)
    rest = tall_one = ""
    for bar in range(bars):
        high = dice.between(48, tall - 70)
        x = gap + bar * (wide + gap)
        if bar == odd:
            tall_one = _rect(round(x, 1), 34, round(wide, 1), tall, brush.main)
        else:
            rest += f"M{x:.1f} {tall}v{-high}h{wide:.1f}v{high}z"
    side = 1 if odd < bars / 2 else -1
    disc = _circle(120 + side * dice.between(40, 66), dice.between(46, 64), dice.between(20, 30), brush.spark)
    return disc + _path(rest, brush.tone) + tall_one


def _tiles(dice: Dice, brush: Brush, tall: int) -> str:
    side = dice.choice((48, 60))
    columns = WIDTH // side
    rows = -(-tall // side)
    ways = ["", "", ""]
    quarter = (
        "h{s}a{s} {s} 0 0 1 -{s} {s}z",
        "h{s}v{s}a{s} {s} 0 0 1 -{s} -{s}z",
        "m{s} {s}h-{s}a{s} {s} 0 0 1 {s} -{s}z",
        "m0 {s}v-{s}a{s} {s} 0 0 1 {s} {s}z",
    )
    top = tall - rows * side
    for at in range(rows * columns):
        which = dice.below(8)
        if which == 7:
            continue
        ink = 0 if which < 3 else 1 if which < 6 else 2
        ways[ink] += f"M{at % columns * side} {top + at // columns * side}" + dice.choice(quarter).format(
            s=side
        )
    return _path(ways[1], brush.tone) + _path(ways[0], brush.main) + _path(ways[2], brush.spark)


def _halves(dice: Dice, brush: Brush, tall: int) -> str:
    rows = dice.between(2, 3)
    radius = (tall - 18) / rows / 2
    radius = min(radius, 58)
    top = (tall - rows * radius * 2) / 2 + 6
    parts = []
    paints = [brush.main, brush.tone, brush.spark, brush.main, brush.tone, brush.main]
    turn = dice.below(3)
    columns = 4 if rows == 3 else 2
    for at in range(rows * columns):
        x = 120 + (at % columns - (columns - 1) / 2) * (WIDTH / columns if columns == 4 else radius * 2)
        y = top + radius + at // columns * radius * 2
        quarters = dice.below(4) * 90
        r = min(radius, WIDTH / columns / 2) if columns == 4 else radius
        parts.append(
            f'<path d="M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 0 1 {2 * r:.1f} 0z" '
            f'transform="rotate({quarters} {x:.1f} {y:.1f})" {paints[(at + turn) % len(paints)]}/>'
        )
    return "".join(parts)


def _bolt(dice: Dice, brush: Brush, tall: int) -> str:
    bends = dice.between(3, 5)
    x, side = dice.between(70, 110), dice.choice((-1, 1))
    if side < 0:
        x = WIDTH - x
    thick = dice.between(30, 46)
    step = (tall + 40) / bends
    right, left = [], []
    y = -20.0
    for bend in range(bends + 1):
        reach = x + (side * dice.between(34, 64) if bend % 2 else 0)
        width = thick * (1 - 0.62 * bend / bends)
        right.append((reach + width / 2, y))
        left.append((reach - width / 2, y))
        y += step
    line = "L".join(f"{px:.0f} {py:.0f}" for px, py in [*right, *reversed(left)])
    disc = _circle(WIDTH - x + side * 10, tall * 0.36, dice.between(38, 52), brush.tone)
    dot = _circle(WIDTH - x + side * 10, tall * 0.36, dice.between(9, 14), brush.spark)
    return disc + _path(f"M{line}z", brush.main) + dot


MOTIFS: tuple[Motif, ...] = (
    _arcs, _stripes, _grid, _horizon, _spotlight, _stairs, _orbit, _windows, _eye, _peaks, _waves, _road,
    _rays, _doors, _reel, _overlap, _blinds, _spiral, _skyline, _tiles, _halves, _bolt,
)  # fmt: skip

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


# -- the title ------------------------------------------------------------------------------------

# Widths in hundredths of the type size for a bold serif; the browser is told the width of each line, so
# another font than Georgia is set to the same measure.
_NARROW = (
    dict.fromkeys("fijlrtI!'’.,:;|()[] -", 36) | dict.fromkeys(" ", 26) | dict.fromkeys("ijl.,:;!'’|", 32)
)
_WIDE = dict.fromkeys("mwMW@%", 92) | dict.fromkeys("ABCDGHKNOQRUVXYZ&", 74) | dict.fromkeys("EFJLPST", 64)
_WIDTHS = _NARROW | _WIDE
_PLAIN, _FULL = 57, 100
BREAKS_BEFORE_SUBTITLE = (" or: ", ": ", " - ", " – ", " (", "; ")


def _is_full(letter: str) -> bool:
    return letter > "\u10ff" and east_asian_width(letter) in "WF"


def _width(text: str) -> int:
    """Estimated width in hundredths of the type size."""
    return sum(_WIDTHS.get(letter) or (_FULL if _is_full(letter) else _PLAIN) for letter in text)


def _pieces(text: str) -> list[tuple[str, str]]:
    """What a line may be broken into: (piece, what joins it to the one before)."""
    pieces: list[tuple[str, str]] = []
    for word in text.split():
        glue = " "
        run = ""
        for letter in word:
            if _is_full(letter):
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
    widths = [_width(piece) for piece, _glue in pieces]
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


def _set(text: str, tallest: int, largest: float, most_lines: int) -> tuple[list[str], float]:
    """The lines and the type size that fill the measure best within a height."""
    pieces = _pieces(text)
    best: tuple[list[str], float] = ([text], 0.0)
    for count in range(1, min(most_lines, len(pieces)) + 1):
        lines = _balanced(pieces, count)
        size = min(largest, MEASURE * 100 / max(map(_width, lines)), tallest / (1.06 * len(lines)))
        if size > best[1] * 1.08:
            best = (lines, size)
    return best


def _split(title: str) -> tuple[str, str]:
    """A long title as the name people use and the rest: "Star Wars", "Episode IV – A New Hope"."""
    if len(title) > 16:
        for mark in BREAKS_BEFORE_SUBTITLE:
            name, found, rest = title.partition(mark)
            if found and len(name) > 2 and len(rest) > 2:
                kept = {" or: ": "or: ", " (": "("}.get(mark, "")
                return name, kept + rest
    return title, ""


def _fitted(text: str, limit: float, size: float) -> str:
    """`textLength` for a line that another font could push out of its measure."""
    width = _width(text) * size / 100
    if width < limit * 0.62:
        return ""
    return f' textLength="{min(width, limit):.0f}" lengthAdjust="spacingAndGlyphs"'


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


# -- the poster -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Habit:
    """What recurs in one director's posters."""

    favourite: int  # which accent comes first
    fill: str  # flat, hatched, cut or outlined
    style: str  # attributes of the title's type
    title_above: bool
    anchor: str


FILLS = ("flat", "flat", "hatched", "cut", "outlined")
STYLES = ("", "", ' font-style="italic"')


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
    """The brush and the definitions it needs."""
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


def _field(genres: Sequence[str], dice: Dice) -> str:
    for genre in genres:
        name = genre.casefold().strip()
        fields = FIELDS.get(SAME_GENRE.get(name, name))
        if fields:
            return dice.choice(fields)
    return dice.choice(OTHER_FIELDS)


def draw_poster(title: str, year: int | None, genres: Sequence[str], director: str, seed: int = 0) -> str:
    """A poster as an SVG document, 240 by 360 units, about 2 to 4 KB.

    `genres` in their order, the first one known chooses the colours; `director` may be empty, then the film
    has habits of its own. `seed` tells apart films with the same title and year.
    """
    title = " ".join(title.split()) or "?"
    dice = Dice("film", title, year or "", seed)
    habit = _habit(director or title)
    inks = _inks(_field(genres, dice), habit.favourite)
    brush, definitions = _brush(inks, habit.fill)
    definitions += _texture(year, inks)

    name, subtitle = _split(title)
    lines, size = _set(name, 92 if subtitle else 112, 50, 5)
    rest, rest_size = _set(subtitle, 40, 17, 3) if subtitle else ([], 0.0)
    leading = size * 1.04
    block = round(leading * len(lines) + (rest_size * 1.2 * len(rest) + 8 if rest else 0))

    tall = FOOT_RULE - block - 26
    if habit.title_above:
        top, art_top = 14.0, FOOT_RULE - tall
    else:
        top, art_top = FOOT_RULE - block - 10.0, 0
    x = MARGIN if habit.anchor == "start" else WIDTH // 2

    style = "" if any(map(_is_full, title)) else habit.style  # no italics in Chinese or Korean
    text = []
    y = top + size * 0.82
    for line in lines:
        text.append(f'<text x="{x}" y="{y:.0f}"{_fitted(line, MEASURE, size)}>{escape(line)}</text>')
        y += leading
    head = f'<g font-size="{size:.1f}" font-weight="700"{style}>{"".join(text)}</g>'
    if rest:
        y += rest_size * 0.95 + 4 - leading * 0.76
        small = []
        for line in rest:
            small.append(
                f'<text x="{x}" y="{y:.0f}"{_fitted(line, MEASURE, rest_size)}>{escape(line)}</text>'
            )
            y += rest_size * 1.2
        head += f'<g font-size="{rest_size:.1f}"{style}>{"".join(small)}</g>'

    art = dice.choice(MOTIFS)(dice, brush, tall)
    veil = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#t)" opacity=".12"/>' if year else ""
    foot_paint = f'fill="{inks.text}" font-family="{SANS}" font-size="{FOOT_SIZE}"'
    foot = ""
    if director:
        signed = _shortened(director, 24)
        room = MEASURE - 44 if year else MEASURE
        width = _width(signed) * 0.0092 * FOOT_SIZE
        fit = f' textLength="{room}" lengthAdjust="spacingAndGlyphs"' if width > room else ""
        foot += f'<text x="{MARGIN}" y="{FOOT_LINE}"{fit}>{escape(signed)}</text>'
    if year:
        foot += f'<text x="{WIDTH - MARGIN}" y="{FOOT_LINE}" text-anchor="end">{year}</text>'
    named = escape(f"{title} ({year})" if year else title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" role="img"><title>{named}</title><defs>{definitions}</defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{inks.field}"/>'
        f'<svg y="{art_top}" width="{WIDTH}" height="{tall}">{art}</svg>{veil}'
        f'<g fill="{inks.text}" font-family="{SERIF}" text-anchor="{habit.anchor}">{head}</g>'
        f'<path d="M{MARGIN} {FOOT_RULE}h{MEASURE}" stroke="{inks.text}" opacity=".6"/>'
        f"<g {foot_paint}>{foot}</g></svg>"
    )


def poster_version(changed: datetime) -> str:
    """What a drawn poster's address carries: it differs once the film's facts or our drawing change."""
    return f"{DRAWING}{int(changed.timestamp() * 1e6):x}"
