"""Motifs of posters that show a thing or a place: a road, a window, a skyline."""

from math import cos, pi, sin

from movie.catalogue.posters.brush import Brush, circle, path, rect
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.sheet import WIDTH


def horizon(dice: Dice, brush: Brush, tall: int) -> str:
    line = tall * dice.between(55, 72) / 100
    radius = dice.between(48, 78)
    x = dice.choice((72, 120, 168))
    parts = [
        circle(x, line - dice.between(-10, 24), radius, brush.main),
        rect(0, line, WIDTH, tall, brush.field),
    ]
    y, thick = line, dice.between(5, 10)
    wide = radius * 2.0
    while y < tall:
        shift = dice.between(-14, 14)
        parts.append(rect(x - wide / 2 + shift, y + 3, wide, thick, brush.tone))
        y, wide, thick = y + thick + dice.between(4, 8), wide * 0.86, max(3, thick - 1)
    return "".join(parts) + rect(0, line - 1, WIDTH, 3, brush.spark)


def spotlight(dice: Dice, brush: Brush, tall: int) -> str:
    x = dice.choice((18, 60, 180, 222))
    floor = tall - 34
    to = WIDTH - x + dice.between(-30, 30)
    to = min(max(to, 74), WIDTH - 74)
    wide = dice.between(46, 66)
    parts = path(f"M{x} -6L{to - wide} {floor}h{2 * wide}z", brush.main)
    parts += f'<ellipse cx="{to}" cy="{floor}" rx="{wide}" ry="15" {brush.spark}/>'
    height = dice.between(46, 74)
    body = f"M{to - 7} {floor + 2}l3 {-height}h8l3 {height}z"
    return parts + path(body, brush.field) + circle(to, floor - height - 8, 8, brush.field)


def stairs(dice: Dice, brush: Brush, tall: int) -> str:
    steps = dice.between(5, 8)
    run, rise = WIDTH / steps, (tall - 44) / steps
    left = dice.below(2)
    way = f"M{WIDTH if left else 0} {tall}" + f"v{-rise:.1f}h{-run if left else run:.1f}" * steps
    way += f"V{tall}z"
    lit = dice.between(1, steps - 2)
    x = (WIDTH - run * (lit + 1)) if left else run * lit
    y = tall - rise * (lit + 1)
    radius = dice.between(13, 17)
    sun = circle(58 if not left else WIDTH - 58, 56, dice.between(24, 36), brush.tone)
    return sun + path(way, brush.main) + circle(x + run / 2, y - radius, radius, brush.spark)


def windows(dice: Dice, brush: Brush, tall: int) -> str:
    columns = dice.between(4, 5)
    left = dice.choice((24, 44, 62))
    cell = 27
    wide = columns * cell + 12
    top = dice.between(22, 50)
    parts = [rect(left, top, wide, tall, brush.tone)]
    side = dice.between(14, 18)
    lit = dice.between(2, 3 * columns - 1)
    panes = [
        f"M{left + 12 + cell * (at % columns)} {top + 16 + 34 * (at // columns)}h{side}v22h{-side}z"
        for at in range(columns * 7)
        if top + 16 + 34 * (at // columns) < tall
    ]
    bright = panes.pop(min(lit, len(panes) - 1))
    other = left + wide + 10 if left < 40 else 0
    block = rect(other, top + dice.between(50, 90), WIDTH if other else left - 10, tall, brush.main)
    return block + "".join(parts) + path("".join(panes), brush.field) + path(bright, brush.main)


def eye(dice: Dice, brush: Brush, tall: int) -> str:
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
        lashes = path(lashes, brush.line(5, brush.inks.tone))
    lid = path(f"M12 {y:g}Q120 {y - 2 * lift:g} 228 {y:g}Q120 {y + 2 * lift:g} 12 {y:g}z", brush.spark)
    ball = circle(120 + look, y, iris, brush.main) if brush.inks.accent != brush.inks.spark else ""
    pupil = circle(120 + look, y, iris * dice.choice((0.4, 0.52, 0.62)), brush.field)
    glint = circle(120 + look + iris * 0.32, y - iris * 0.34, 5, brush.spark)
    return lashes + lid + ball + pupil + glint


def peaks(dice: Dice, brush: Brush, tall: int) -> str:
    sun = circle(dice.choice((58, 120, 178)), dice.between(54, 76), dice.between(26, 38), brush.spark)
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
    return sun + path(back, brush.tone) + path(front, brush.main)


def waves(dice: Dice, brush: Brush, tall: int) -> str:
    rows = dice.between(4, 6)
    length = dice.choice((40, 60, 80))
    swell = length * dice.choice((0.26, 0.36, 0.46))
    first = tall * 0.4
    gap = (tall - first) / rows
    moon = circle(
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
        parts.append(path(f"{way}V{tall + 40}H{start:g}z", paints[row % 2]))
    return "".join(parts)


def road(dice: Dice, brush: Brush, tall: int) -> str:
    x = dice.choice((70, 120, 170))
    line = tall * dice.between(38, 52) / 100
    sky = rect(0, line, WIDTH, tall, brush.tone)
    sun = path(f"M{x - 46} {line:g}a46 46 0 0 1 92 0z", brush.spark)
    bend = dice.between(-40, 40)
    road = path(f"M{x - 3} {line:g}h6L{226 + bend} {tall}H{14 + bend}z", brush.main)
    middle, y, dash = "", line + 8, 5.0
    low = 120 + bend
    while y < tall:
        at = (y - line) / (tall - line)
        to = min(1.0, at + dash / (tall - line))
        one, two = x + (low - x) * at, x + (low - x) * to
        end = line + (tall - line) * to
        middle += f"M{one - 5 * at:.0f} {y:.0f}h{10 * at:.0f}L{two + 5 * to:.0f} {end:.0f}h{-10 * to:.0f}z"
        y, dash = y + dash * 2, dash * 1.5
    return sun + sky + road + path(middle, brush.field)


def doors(dice: Dice, brush: Brush, tall: int) -> str:
    frames = dice.between(3, 5)
    parts = []
    high = tall - 18
    wide = dice.between(130, 170)
    lean = dice.choice((-9, 0, 9))
    for frame in range(frames):
        w, h = wide * (1 - frame / (frames + 0.6)), high * (1 - frame / (frames + 1.2))
        x = 120 - w / 2 + lean * frame
        paint = (brush.tone, brush.field)[frame % 2] if frame < frames - 1 else brush.main
        parts.append(rect(round(x), round(tall - h), round(w), round(h), paint))
    w = wide * (1 - (frames - 1) / (frames + 0.6))
    x = 120 + lean * (frames - 1)
    spill = path(f"M{x - w / 2:.0f} {tall}h{w:.0f}v0z", brush.spark)
    man = dice.between(26, 40)
    figure = path(f"M{x - 6:.0f} {tall}l3 {-man}h6l3 {man}z", brush.field) + circle(
        x, tall - man - 6, 6, brush.field
    )
    return "".join(parts) + spill + figure


def reel(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice(((120, tall / 2), (40, tall / 2 + 10), (206, tall / 2 - 10), (120, tall - 10)))
    radius = dice.between(86, 104) if x == 120 else dice.between(110, 130)
    holes = dice.between(3, 6)
    turn = dice.below(60) / 10
    around = "".join(
        circle(
            round(x + radius * 0.58 * cos(turn + 2 * pi * hole / holes)),
            round(y + radius * 0.58 * sin(turn + 2 * pi * hole / holes)),
            round(radius * (0.34 if holes < 4 else 0.25 if holes < 6 else 0.2)),
            brush.hole,
        )
        for hole in range(holes)
    )
    return circle(x, y, radius, brush.main) + around + circle(x, y, radius * 0.13, brush.spark)


def skyline(dice: Dice, brush: Brush, tall: int) -> str:
    bars = dice.between(6, 9)
    gap = dice.choice((0, 4, 8))
    wide = (WIDTH - gap * (bars + 1)) / bars if gap else WIDTH / bars
    odd = dice.below(bars)
    rest = tall_one = ""
    for bar in range(bars):
        high = dice.between(48, tall - 70)
        x = gap + bar * (wide + gap)
        if bar == odd:
            tall_one = rect(round(x, 1), 34, round(wide, 1), tall, brush.main)
        else:
            rest += f"M{x:.1f} {tall}v{-high}h{wide:.1f}v{high}z"
    side = 1 if odd < bars / 2 else -1
    disc = circle(120 + side * dice.between(40, 66), dice.between(46, 64), dice.between(20, 30), brush.spark)
    return disc + path(rest, brush.tone) + tall_one
