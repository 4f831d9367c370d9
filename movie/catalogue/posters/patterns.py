"""Abstract motifs of posters: rings, stripes, grids and other patterns."""

from math import cos, pi, sin

from movie.catalogue.posters.brush import Brush, circle, path, rect
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.sheet import MARGIN, MEASURE, WIDTH


def arcs(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice(((0, tall), (WIDTH, tall), (WIDTH / 2, tall), (0, 0), (WIDTH, 0)))
    reach = tall - 14 if x != WIDTH / 2 else min(tall - 14, 112)
    rings = dice.between(3, 5)
    step = reach / (rings + 0.4)
    odd = dice.below(rings)
    parts = []
    for ring in range(rings):
        paint = brush.line(step * 0.56, brush.inks.accent if ring != odd else brush.inks.spark)
        parts.append(circle(x, y, reach - step * (ring + 0.28), paint))
    return "".join(parts)


def stripes(dice: Dice, brush: Brush, tall: int) -> str:
    lean = dice.choice((-70, -40, 40, 70, 110))
    x, parts = -120.0, []
    gap = dice.between(10, 26)
    while x < WIDTH + 120:
        wide = dice.between(8, 42)
        paint = (brush.main, brush.main, brush.tone, brush.spark)[dice.below(4)]
        parts.append(path(f"M{x:g} {tall}h{wide}l{lean} {-tall}h{-wide}z", paint))
        x += wide + gap
    return "".join(parts)


def grid(dice: Dice, brush: Brush, tall: int) -> str:
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
    return path(rest, brush.tone) + path(bold, brush.main)


def orbit(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = 120, tall / 2 + 6
    turn = dice.choice((-38, -24, -12, 14, 27, 40))
    radius = dice.between(40, 56)
    rings = "".join(
        f'<ellipse cx="{x}" cy="{y:g}" rx="{radius + gap}" ry="{(radius + gap) * 0.32:.0f}" '
        f"{brush.line(3.5, brush.inks.spark)}/>"
        for gap in range(24, 24 + 17 * dice.between(1, 3), 17)
    )
    ball = circle(x, y, radius, brush.main)
    half = path(f"M{x - radius} {y:g}a{radius} {radius} 0 0 1 {2 * radius} 0z", brush.main)
    moon = circle(x + dice.choice((-1, 1)) * (radius + 34), y - 9, dice.between(6, 11), brush.spark)
    return f'<g transform="rotate({turn} {x} {y:g})">{ball}{rings}{half}{moon}</g>'


def rays(dice: Dice, brush: Brush, tall: int) -> str:
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
    return path(way, brush.tone) + circle(x, y, radius + 8, brush.field) + circle(x, y, radius, brush.main)


def overlap(dice: Dice, brush: Brush, tall: int) -> str:
    radius = min(dice.between(60, 72), tall * 0.34)
    apart = dice.between(32, 50)
    upright = dice.below(2)
    y = tall / 2 + 4
    dx, dy = (0, min(apart, tall / 2 - radius - 12)) if upright else (apart, dice.between(-10, 10))
    one, two = (120 - dx, y - dy), (120 + dx, y + dy)
    half = (dx * dx + dy * dy) ** 0.5
    along = (radius * radius - half * half) ** 0.5
    # The lens between the circles: its tips lie on the line through the middle, across their axis.
    tx, ty = -dy / half * along, dx / half * along
    lens = (
        f"M{120 + tx:.1f} {y + ty:.1f}A{radius} {radius} 0 0 1 {120 - tx:.1f} {y - ty:.1f}"
        f"A{radius} {radius} 0 0 1 {120 + tx:.1f} {y + ty:.1f}z"
    )
    return circle(*one, radius, brush.main) + circle(*two, radius, brush.tone) + path(lens, brush.spark)


def blinds(dice: Dice, brush: Brush, tall: int) -> str:
    disc = circle(dice.choice((80, 120, 160)), tall / 2 + 4, dice.between(70, 92), brush.main)
    pitch = dice.between(13, 22)
    lean = dice.choice((-26, -12, 0, 12, 26))
    slats, y = "", -30
    while y < tall + 30:
        slats += f"M0 {y}L{WIDTH} {y + lean}v{pitch * 0.42:.1f}L0 {y + pitch * 0.42:.1f}z"
        y += pitch
    return disc + path(slats, brush.field) + rect(dice.choice((44, 120, 190)), 0, 3, tall, brush.spark)


def spiral(dice: Dice, brush: Brush, tall: int) -> str:
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
    return path(way, brush.line(grow * 0.95)) + circle(x, y, grow * dice.between(60, 110) / 100, brush.spark)


def tiles(dice: Dice, brush: Brush, tall: int) -> str:
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
    return path(ways[1], brush.tone) + path(ways[0], brush.main) + path(ways[2], brush.spark)


def halves(dice: Dice, brush: Brush, tall: int) -> str:
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


def bolt(dice: Dice, brush: Brush, tall: int) -> str:
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
    disc = circle(WIDTH - x + side * 10, tall * 0.36, dice.between(38, 52), brush.tone)
    dot = circle(WIDTH - x + side * 10, tall * 0.36, dice.between(9, 14), brush.spark)
    return disc + path(f"M{line}z", brush.main) + dot
