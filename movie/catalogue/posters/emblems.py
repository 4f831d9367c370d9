"""Motifs of posters that are one thing: a clock, a crown, a heart, a key, a book."""

from math import cos, pi, sin

from movie.catalogue.posters.brush import Brush, circle, ellipse, path, rect, turned
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.sheet import MARGIN, MEASURE, WIDTH


def clock(dice: Dice, brush: Brush, tall: int) -> str:
    x, y, radius = 120, tall / 2 + 4, min(tall / 2 - 12, 96)
    ticks = ""
    for hour in range(12):
        turn = hour * pi / 6
        inner = radius * (0.7 if hour % 3 == 0 else 0.78)
        ticks += (
            f"M{x + inner * sin(turn):.1f} {y - inner * cos(turn):.1f}"
            f"L{x + radius * 0.86 * sin(turn):.1f} {y - radius * 0.86 * cos(turn):.1f}"
        )
    hour, minute = dice.below(360), dice.choice((0, 60, 90, 180, 240, 270, 330))
    long = turned(rect(x - 4, round(y - radius * 0.72), 8, round(radius * 0.8), brush.main), minute, x, y)
    short = turned(rect(x - 6, round(y - radius * 0.46), 12, round(radius * 0.54), brush.main), hour, x, y)
    face = circle(x, y, radius, brush.tone) + path(ticks, brush.line(5, brush.inks.spark))
    return face + long + short + circle(x, y, 8, brush.spark)


def piano(dice: Dice, brush: Brush, tall: int) -> str:
    keys, top = 7, round(tall * dice.between(22, 36) / 100)
    wide = WIDTH / keys
    pressed = dice.below(keys)
    white = "".join(
        rect(
            round(key * wide + 2, 1),
            top + (10 if key == pressed else 0),
            round(wide - 4, 1),
            tall,
            brush.spark,
        )
        for key in range(keys)
    )
    first = dice.below(7)
    black = "".join(
        rect(
            round(key * wide - wide * 0.3, 1),
            top,
            round(wide * 0.6, 1),
            round((tall - top) * 0.6),
            brush.main,
        )
        for key in range(1, keys)
        if (key + first) % 7 not in (0, 3)
    )
    return white + black + circle(round((pressed + 0.5) * wide, 1), top - 18, 8, brush.tone)


def _heart(x: float, y: float, size: float, paint: str) -> str:
    return path(
        f"M{x:.0f} {y + size * 0.9:.0f}C{x - size * 1.5:.0f} {y - size * 0.1:.0f} {x - size * 0.75:.0f} "
        f"{y - size * 1.2:.0f} {x:.0f} {y - size * 0.4:.0f}C{x + size * 0.75:.0f} {y - size * 1.2:.0f} "
        f"{x + size * 1.5:.0f} {y - size * 0.1:.0f} {x:.0f} {y + size * 0.9:.0f}z",
        paint,
    )


def heart(dice: Dice, brush: Brush, tall: int) -> str:
    size, y = min(tall * 0.4, 92) * dice.between(82, 100) / 100, tall / 2 + 4
    lean = dice.choice((-1, 1)) * dice.between(6, 16)
    inner = dice.between(28, 54) / 100
    shape = _heart(120, y, size, brush.main) + _heart(120, y, size * inner, brush.spark)
    behind = _heart(120 + dice.choice((-46, 46)), y - 10, size * 0.8, brush.tone)
    return behind + turned(shape, lean, 120, y)


def crown(dice: Dice, brush: Brush, tall: int) -> str:
    points = dice.choice((3, 5))
    low, high = tall * 0.74, min(tall * dice.between(40, 54) / 100, 110)
    half = dice.between(70, 90)
    step = 2 * half / (points - 1)
    way, jewels = f"M{120 - half} {low:.0f}V{low - high:.0f}", ""
    for point in range(points):
        x = 120 - half + point * step
        lift = high * (1.0 if point % 2 == 0 else 0.86)
        jewels += circle(round(x, 1), round(low - lift - 8), 8, brush.spark)
        way += f"L{x:.0f} {low - lift:.0f}"
        if point < points - 1:
            way += f"L{x + step / 2:.0f} {low - high * 0.42:.0f}"
    way += f"L{120 + half} {low:.0f}z"
    return (
        path(way, brush.main)
        + rect(120 - half, round(low + 8), 2 * half, dice.between(9, 18), brush.tone)
        + jewels
    )


def flower(dice: Dice, brush: Brush, tall: int) -> str:
    petals = dice.choice((5, 6, 8, 10))
    x, y = dice.between(92, 148), tall * 0.42
    reach = min(tall * 0.36, 74) * dice.between(84, 100) / 100
    stem = path(f"M{x} {y:.0f}Q{x + 16} {tall * 0.75:.0f} {120} {tall + 4}", brush.line(7, brush.inks.tone))
    leaf = path(f"M{x + 8} {tall * 0.78:.0f}q40 -34 66 -8q-28 26 -66 8z", brush.tone)
    one = ellipse(x, y - reach * 0.6, reach * 1.6 / petals + 6, reach * 0.44, brush.main)
    around = "".join(turned(one, 360 * petal / petals, x, round(y)) for petal in range(petals))
    return stem + leaf + around + circle(x, round(y), reach * 0.26, brush.spark)


def target(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice((84, 120, 156)), tall / 2 + 4
    rings, reach = dice.choice((3, 4)), min(tall / 2 - 10, 98)
    parts = "".join(
        circle(x, y, round(reach * (1 - ring / (rings + 0.4)), 1), (brush.main, brush.hole)[ring % 2])
        for ring in range(rings)
    )
    far = reach + 12
    cross = path(
        f"M{x} {y - far:.0f}v{2 * far:.0f}M{x - far:.0f} {y:g}h{2 * far:.0f}", brush.line(3, brush.inks.spark)
    )
    hole = circle(x + dice.between(-30, 30), y + dice.between(-26, 26), 6, brush.spark)
    return parts + cross + hole


def keyhole(dice: Dice, brush: Brush, tall: int) -> str:
    y, radius = tall * 0.38, min(tall * 0.22, 46) * dice.between(84, 104) / 100
    light = dice.choice((-1, 1)) * dice.between(24, 70)
    beam = path(f"M110 {tall * 0.8:.0f}h20L{150 + light} {tall}H{90 + light}z", brush.spark)
    wide = radius * 3.4
    plate = (
        f'<rect x="{120 - wide / 2:.0f}" y="12" width="{wide:.0f}" height="{tall - 22}" rx="{radius:.0f}"'
        f" {brush.tone}/>"
    )
    drop = tall * 0.8 - y
    hole = path(f"M{120 - radius * 0.4:.0f} {y:.0f}h{radius * 0.8:.0f}l{radius * 0.42:.0f} {drop:.0f}"
                f"h{-radius * 1.64:.0f}z", brush.main)  # fmt: skip
    return plate + hole + circle(120, round(y), radius, brush.main) + beam


def compass(dice: Dice, brush: Brush, tall: int) -> str:
    x, y, reach = 120, tall / 2 + 4, min(tall / 2 - 12, 98)
    turn = dice.choice((-1, 1)) * dice.between(14, 70)
    ring = circle(x, y, reach - 4, brush.line(7, brush.inks.tone))
    marks = "".join(
        turned(rect(x - 3, round(y - reach + 10), 6, 14, brush.tone), 45 * mark, x, y) for mark in range(8)
    )
    half = reach * 0.2
    north = path(f"M{x} {y - reach * 0.8:.0f}L{x + half:.0f} {y:g}H{x - half:.0f}z", brush.main)
    south = path(f"M{x} {y + reach * 0.8:.0f}L{x + half:.0f} {y:g}H{x - half:.0f}z", brush.spark)
    return ring + marks + turned(north + south, turn, x, y) + circle(x, y, 7, brush.field)


def mask(dice: Dice, brush: Brush, tall: int) -> str:
    y, size = tall / 2, min(tall * 0.4, 86) * dice.between(86, 100) / 100

    def face(x: float, paint: str, mood: int) -> str:
        shape = path(
            f"M{x - size * 0.7:.0f} {y - size * 0.8:.0f}h{size * 1.4:.0f}v{size * 0.8:.0f}"
            f"a{size * 0.7:.0f} {size * 0.9:.0f} 0 0 1 {-size * 1.4:.0f} 0z",
            paint,
        )
        for side in (-1, 1):
            shape += path(f"M{x + side * size * 0.34 - size * 0.2:.0f} {y - size * 0.3:.0f}q{size * 0.2:.0f} "
                          f"{-size * 0.24:.0f} {size * 0.4:.0f} 0z", brush.field)  # fmt: skip
        smile = f"q{size * 0.34:.0f} {mood * size * 0.36:.0f} {size * 0.68:.0f} 0z"
        return shape + path(f"M{x - size * 0.34:.0f} {y + size * 0.34 - mood * 6:.0f}{smile}", brush.field)

    lean = dice.choice((-1, 1)) * dice.between(6, 14)
    behind = turned(face(150 if lean < 0 else 90, brush.tone, -1), lean, 120, y)
    return behind + turned(face(96 if lean < 0 else 144, brush.main, 1), -lean / 2, 120, y)


def book(dice: Dice, brush: Brush, tall: int) -> str:
    y, half, high = tall * 0.3, 96, min(tall * 0.48, 110)
    drop = dice.between(10, 18)
    parts = ""
    for side in (-1, 1):
        fold, edge = 120 + side * half / 2, 120 + side * half
        page = f"M120 {y + drop:.0f}Q{fold:.0f} {y - 8:.0f} {edge} {y:.0f}v{high:.0f}"
        page += f"Q{fold:.0f} {y + high - 8:.0f} 120 {y + high + drop:.0f}z"
        parts += path(page, brush.main if side < 0 else brush.spark)
    lines = "".join(
        f"M136 {y + drop + line * 15 + 4:.0f}q28 -14 {dice.between(40, 62)} -15"
        for line in range(1, int(high // 15))
    )
    return (
        parts
        + path(lines, brush.line(4, brush.inks.field))
        + rect(20, round(y + high + drop + 14), 200, 6, brush.tone)
    )


def plane(dice: Dice, brush: Brush, tall: int) -> str:
    turn = dice.choice((-38, -26, 26, 38))
    x, y, size = 120, tall * 0.46, min(tall * 0.4, 84)
    body = (
        f"M{x} {y - size:.0f}q9 8 9 26v{size * 0.4:.0f}l{size * 0.9:.0f} {size * 0.5:.0f}v14"
        f"l{-size * 0.9:.0f} -22"
        f"l-3 {size * 0.5:.0f}l22 16v9l-28 -8l-28 8v-9l22 -16l-3 {-size * 0.5:.0f}l{-size * 0.9:.0f} 22v-14"
        f"l{size * 0.9:.0f} {-size * 0.5:.0f}v{-size * 0.4:.0f}q0 -18 9 -26z"
    )
    clouds = ""
    for _cloud in range(dice.between(4, 6)):
        place = rect(
            dice.between(-30, 150), dice.between(10, tall - 20), dice.between(60, 120), 12, brush.tone
        )
        clouds += place.replace("/>", ' rx="6"/>')
    return clouds + turned(path(body, brush.main), turn, x, round(y)) + circle(
        dice.choice((34, 206)), 34, 15, brush.spark
    )  # fmt: skip


def balloons(dice: Dice, brush: Brush, tall: int) -> str:
    knot = 120 + dice.between(-20, 20)
    parts, strings = "", ""
    paints = (brush.main, brush.tone, brush.spark, brush.main, brush.tone)
    for place, paint in enumerate(paints[: dice.choice((3, 5))]):
        x = 120 + (0, -58, 58, -30, 34)[place] + dice.between(-6, 6)
        y = tall * (0.26, 0.38, 0.36, 0.54, 0.56)[place]
        strings += f"M{x} {y:.0f}Q{x} {tall * 0.8:.0f} {knot} {tall + 4}"
        radius = min(tall * 0.15, 34)
        parts = f'<ellipse cx="{x}" cy="{y:.0f}" rx="{radius * 0.86:.0f}" ry="{radius:.0f}" {paint}/>' + parts
    return path(strings, brush.line(2, brush.inks.text)) + parts


def paw(dice: Dice, brush: Brush, tall: int) -> str:
    def print_at(x: float, y: float, size: float, paint: str) -> str:
        low, high = y + size * 0.66, y - size * 0.24
        pad = path(
            f"M{x:.0f} {high:.0f}C{x + size * 0.4:.0f} {high:.0f} {x + size * 0.9:.0f} {low:.0f} "
            f"{x + size * 0.34:.0f} {low:.0f}Q{x:.0f} {low - size * 0.16:.0f} {x - size * 0.34:.0f} {low:.0f}"
            f"C{x - size * 0.9:.0f} {low:.0f} {x - size * 0.4:.0f} {high:.0f} {x:.0f} {high:.0f}z",
            paint,
        )
        toes = ((-0.66, -0.12), (-0.26, -0.56), (0.26, -0.56), (0.66, -0.12))
        return pad + "".join(
            circle(round(x + size * dx), round(y + size * dy), size * 0.2, paint) for dx, dy in toes
        )

    side = dice.choice((-1, 1))
    size = min(tall * 0.34, 76) * dice.between(86, 100) / 100
    tilt = dice.between(6, 20)
    large = print_at(120 - side * 22, tall * 0.56, size, brush.main)
    small = print_at(120 + side * 72, tall * 0.24, size * 0.44, brush.tone)
    return turned(small, side * 18, 120, tall // 2) + turned(large, side * tilt, 120, tall // 2)


def sword(dice: Dice, brush: Brush, tall: int) -> str:
    turn = dice.between(-42, 42)
    long = min(tall * 0.9, 190) * dice.between(90, 100) / 100
    top = tall / 2 - long / 2 + 4
    blade = path(
        f"M112 {top + long * 0.72:.0f}V{top + 22:.0f}l8 -20l8 20V{top + long * 0.72:.0f}z", brush.spark
    )
    guard = rect(76, round(top + long * 0.72), 88, 12, brush.main)
    grip = rect(113, round(top + long * 0.72) + 12, 14, round(long * 0.2), brush.main)
    knob = circle(120, round(top + long * 0.95), 11, brush.main)
    shield = circle(120, round(tall / 2), min(tall * 0.36, 80), brush.tone)
    return shield + turned(blade + guard + grip + knob, turn, 120, round(tall / 2))


def chequers(dice: Dice, brush: Brush, tall: int) -> str:
    columns, line = dice.choice((6, 8)), tall * 0.52
    squares, rows = "", 5
    edges = [line + (tall - line) * (row / rows) ** 1.7 for row in range(rows + 1)]
    for row in range(rows):
        for column in range(columns):
            if (row + column) % 2:
                continue
            corners = []
            for y, order in ((edges[row], (0, 1)), (edges[row + 1], (1, 0))):
                spread = 0.62 + 0.9 * (y - line) / (tall - line)
                corners += [
                    (120 + (column + end - columns / 2) * WIDTH / columns * spread, y) for end in order
                ]
            squares += "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in corners) + "z"
    x, base = dice.between(72, 168), tall * 0.8
    pawn = path(f"M{x - 34} {base:.0f}h68l-20 {-tall * 0.36:.0f}h-28z", brush.main)
    return path(squares, brush.tone) + pawn + circle(x, round(base - tall * 0.42), 24, brush.main)


def letter(dice: Dice, brush: Brush, tall: int) -> str:
    high = min(tall * 0.56, 126)
    y = tall / 2 - high / 2 + 4
    turn = dice.choice((-1, 1)) * dice.between(3, 11)
    depth = dice.between(46, 68) / 100
    sheet = rect(MARGIN + 8, round(y), MEASURE - 16, round(high), brush.main)
    fold = path(
        f"M{MARGIN + 8} {y:.0f}L120 {y + high * depth:.0f}L{WIDTH - MARGIN - 8} {y:.0f}z", brush.spark
    )
    seal = circle(120, round(y + high * depth), 16, brush.tone)
    return turned(sheet + fold + seal, turn, 120, round(tall / 2))
