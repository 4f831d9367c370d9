"""The brush of a poster: its inks, and the plain shapes that motifs are made of."""

from collections.abc import Callable
from dataclasses import dataclass

from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.inks import Inks


@dataclass(frozen=True, slots=True)
class Brush:
    """Holds the inks and the director's way to fill a shape with the accent."""

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


# Draws into a box `WIDTH` wide and `tall` high (about 130 to 280), clipped at its edges.
Motif = Callable[[Dice, Brush, int], str]


def circle(x: float, y: float, radius: float, paint: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {paint}/>'


def rect(x: float, y: float, wide: float, tall: float, paint: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{tall:g}" {paint}/>'


def ellipse(x: float, y: float, across: float, down: float, paint: str) -> str:
    """Draw an ellipse of two radii."""
    return f'<ellipse cx="{x:g}" cy="{y:.0f}" rx="{across:.0f}" ry="{down:.0f}" {paint}/>'


def turned(shape: str, degrees: float, x: float, y: float) -> str:
    """Turn a shape around a point, clockwise."""
    return f'<g transform="rotate({degrees:g} {x:g} {y:g})">{shape}</g>'


def path(data: str, paint: str) -> str:
    return f'<path d="{data}" {paint}/>'
