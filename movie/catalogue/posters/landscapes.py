"""Motifs of posters that show the open air: the sea, the sky, the desert, the woods."""

from math import cos, pi, sin

from movie.catalogue.posters.brush import Brush, circle, path, rect
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.sheet import WIDTH


def _star(x: float, y: float, reach: float, paint: str) -> str:
    """Draw a star of four points."""
    r = f"{reach:.0f}"
    return path(
        f"M{x:.0f} {y - reach:.0f}q0 {r} {r} {r}q-{r} 0 -{r} {r}q0 -{r} -{r} -{r}q{r} 0 {r} -{r}z", paint
    )


def starfield(dice: Dice, brush: Brush, tall: int) -> str:
    dots = "".join(
        circle(
            dice.between(8, 232), dice.between(8, tall - 6), dice.choice((1.2, 1.2, 1.8, 2.6)), brush.spark
        )
        for _star_number in range(dice.between(22, 34))
    )
    x, y = dice.choice((84, 120, 156)), tall * dice.between(42, 52) / 100
    side = 1 if x < 120 else -1
    small = _star(x + side * 74, y - dice.between(34, 52), dice.between(18, 26), brush.spark)
    return dots + circle(x, y, 30, brush.tone) + _star(x, y, min(tall * 0.44, 88), brush.main) + small


def moonlight(dice: Dice, brush: Brush, tall: int) -> str:
    x, y, radius = dice.choice((92, 120, 148)), tall * 0.42, min(tall * 0.34, 70)
    dx, dy = radius * cos(pi / 3), radius * sin(pi / 3)
    moon = path(
        f"M{x + dx:.1f} {y - dy:.1f}A{radius:.1f} {radius:.1f} 0 1 0 {x + dx:.1f} {y + dy:.1f}"
        f"A{radius * 0.9:.1f} {radius * 0.9:.1f} 0 1 1 {x + dx:.1f} {y - dy:.1f}z",
        brush.main,
    )
    stars = "".join(
        _star(dice.between(20, 220), dice.between(14, int(tall * 0.6)), dice.between(5, 9), brush.spark)
        for _star_number in range(dice.between(4, 7))
    )
    low, high = tall * 0.86, tall * 0.72
    hill = path(f"M0 {low:.0f}Q{dice.between(50, 110)} {high:.0f} {WIDTH} {low:.0f}V{tall}H0z", brush.tone)
    return stars + moon + hill


def trees(dice: Dice, brush: Brush, tall: int) -> str:
    def pine(x: float, high: float) -> str:
        half = high * 0.26
        return f"M{x - half:.0f} {tall}L{x:.0f} {tall - high:.0f}L{x + half:.0f} {tall}z"

    back = "".join(pine(x, dice.between(60, 74) / 100 * tall) for x in range(4, WIDTH, 38))
    front = "".join(
        pine(x + dice.between(-8, 8), dice.between(36, 52) / 100 * tall) for x in range(18, WIDTH, 56)
    )
    moon = circle(dice.choice((64, 120, 176)), tall * 0.22, tall * 0.13, brush.spark)
    return moon + path(back, brush.tone) + path(front, brush.main)


def mesa(dice: Dice, brush: Brush, tall: int) -> str:
    ground = tall * 0.82
    sun = circle(dice.choice((70, 170)), tall * dice.between(30, 38) / 100, tall * 0.2, brush.spark)

    def rock(x: float, wide: float, high: float, paint: str) -> str:
        slope, step = wide * 0.24, high * 0.36
        return path(
            f"M{x:.0f} {ground:.0f}l{slope:.0f} {-step:.0f}v{-(high - step):.0f}h{wide - 2 * slope:.0f}"
            f"v{high - step:.0f}l{slope:.0f} {step:.0f}z",
            paint,
        )

    left = dice.below(2)
    far = rock(138 if left else -24, dice.between(90, 120), tall * 0.3, brush.tone)
    near = rock(-10 if left else 112, dice.between(120, 146), tall * dice.between(46, 56) / 100, brush.main)
    return sun + far + near + rect(0, round(ground), WIDTH, tall, brush.tone)


def ship(dice: Dice, brush: Brush, tall: int) -> str:
    x, water = dice.between(106, 134), tall * 0.76
    high = water - dice.between(14, 34)
    sails = path(f"M{x - 6} {water - 18:.0f}V{water - high:.0f}L{x - 78} {water - 18:.0f}z", brush.main)
    sails += path(
        f"M{x + 6} {water - 18:.0f}V{water - high * 0.8:.0f}L{x + 60} {water - 18:.0f}z", brush.spark
    )
    hull = path(f"M{x - 84} {water - 10:.0f}h158l-24 {tall * 0.14:.0f}h-104z", brush.main)
    way = f"M0 {water:.0f}" + "q15 -12 30 0t30 0" * 4 + f"V{tall}H0z"
    return sails + hull + path(way, brush.tone)


def fin(dice: Dice, brush: Brush, tall: int) -> str:
    water = tall * 0.62
    x = dice.between(78, 104)
    side = dice.choice((-1, 1))
    rise = dice.between(34, 46) / 100
    x = x if side > 0 else WIDTH - x
    foot, tip = water + 16, water - tall * rise
    blade = path(
        f"M{x - side * 50} {foot:.0f}Q{x - side * 8} {water - 34:.0f} {x + side * 34} {tip:.0f}"
        f"Q{x + side * 20} {water - 20:.0f} {x + side * 44} {foot:.0f}z",
        brush.main,
    )
    swimmer = circle(x + side * 100, water - 5, 6, brush.spark)
    far = f"M0 {water:.0f}" + "q15 -9 30 0t30 0" * 4 + f"V{tall}H0z"
    near = f"M-20 {tall * 0.8:.0f}" + "q20 -12 40 0t40 0" * 4 + f"V{tall}H-20z"
    return swimmer + blade + path(far, brush.tone) + path(near, f'fill="{brush.inks.field}" opacity=".55"')


def rails(dice: Dice, brush: Brush, tall: int) -> str:
    x, line = dice.between(74, 166), tall * dice.between(26, 38) / 100
    sleepers, y, gap = "", line + 8, 6.0
    while y < tall:
        share = (y - line) / (tall - line)
        middle, half = x + (120 - x) * share, 8 + 100 * share
        sleepers += f"M{middle - half:.0f} {y:.0f}h{2 * half:.0f}v{gap * 0.45:.1f}h{-2 * half:.0f}z"
        y, gap = y + gap, gap * 1.28
    steel = ""
    for side in (-1, 1):
        steel += f"M{x + side * 3} {line:.0f}L{120 + side * 72} {tall}h{side * 14}L{x + side * 5} {line:.0f}z"
    lamp = circle(x, line - 14, 15, brush.spark)
    return lamp + path(sleepers, brush.tone) + path(steel, brush.main)


def castle(dice: Dice, brush: Brush, tall: int) -> str:
    moon = circle(dice.choice((52, 188)), tall * 0.22, tall * 0.12, brush.spark)

    def tower(x: float, wide: float, high: float) -> str:
        tooth = wide / 5
        teeth = f"v-12h{tooth:.1f}v12h{tooth:.1f}" * 2 + f"v-12h{tooth:.1f}v12"
        return f"M{x:.0f} {tall}V{tall - high:.0f}{teeth}V{tall}z"

    walls = path(tower(10, 220, tall * 0.34), brush.tone)
    towers = tower(24, 46, tall * dice.between(48, 58) / 100) + tower(
        170, 46, tall * dice.between(44, 62) / 100
    )
    keep = tower(88, 64, tall * dice.between(66, 74) / 100)
    gate = path(f"M106 {tall}v{-tall * 0.2:.0f}a14 14 0 0 1 28 0V{tall}z", brush.field)
    return moon + walls + path(towers + keep, brush.main) + gate


def birds(dice: Dice, brush: Brush, tall: int) -> str:
    sun = circle(dice.choice((72, 120, 168)), tall * 0.55, tall * 0.28, brush.tone)
    flock = ""
    for place in range(dice.between(4, 6)):
        wing = dice.between(16, 30) * (1.7 if place == 0 else 1)
        x = dice.between(48, 192)
        y = 24 + (tall - 48) * (place + 0.5) / 6
        flock += (
            f"M{x - wing:.0f} {y - wing * 0.3:.0f}Q{x - wing * 0.4:.0f} {y - wing * 0.6:.0f} {x} {y:.0f}"
            f"Q{x + wing * 0.4:.0f} {y - wing * 0.6:.0f} {x + wing:.0f} {y - wing * 0.3:.0f}"
        )
    return sun + path(flock, brush.line(6) + ' stroke-linecap="round"')


def umbrella(dice: Dice, brush: Brush, tall: int) -> str:
    x, y = dice.choice((104, 120, 136)), tall * 0.56
    reach = min(tall * 0.42, 84)
    drops = "".join(
        f"M{dice.between(0, 250)} {dice.between(-10, tall)}l-7 22" for _drop in range(dice.between(26, 36))
    )
    third = reach * 2 / 3
    top = path(
        f"M{x - reach:.0f} {y:.0f}A{reach:.0f} {reach:.0f} 0 0 1 {x + reach:.0f} {y:.0f}"
        + f"q{-third / 2:.0f} -14 {-third:.0f} 0" * 3
        + "z",
        brush.main,
    )
    rod = path(f"M{x} {y - reach - 8:.0f}V{tall - 26}q0 14 12 14t12 -14", brush.line(5, brush.inks.spark))
    return path(drops, brush.line(2.5, brush.inks.tone)) + rod + top


def flames(dice: Dice, brush: Brush, tall: int) -> str:
    def flame(x: float, half: float, high: float, lean: float) -> str:
        tip = x + lean
        return (
            f"M{x - half:.0f} {tall}C{x - half * 1.3:.0f} {tall - high * 0.5:.0f} {tip - half * 0.2:.0f} "
            f"{tall - high * 0.55:.0f} {tip:.0f} {tall - high:.0f}C{tip + half * 0.5:.0f} "
            f"{tall - high * 0.6:.0f} {x + half * 1.4:.0f} {tall - high * 0.45:.0f} {x + half:.0f} {tall}z"
        )

    back = "".join(flame(x, 40, dice.between(52, 70) / 100 * tall, dice.between(-16, 16)) for x in (36, 204))
    x, lean = dice.between(108, 132), dice.between(-22, 22)
    high = tall * dice.between(84, 92) / 100
    return path(back, brush.tone) + path(flame(x, 64, high, lean), brush.main) + path(
        flame(x, 28, high * 0.5, lean * 0.5), brush.spark
    )  # fmt: skip
