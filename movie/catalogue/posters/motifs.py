"""Motifs: the one bold shape of a poster.

Each draws into a box `WIDTH` wide and `tall` high (about 130 to 280), clipped at its edges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.inks import Inks
from movie.catalogue.posters.sheet import MARGIN, MEASURE, WIDTH


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
