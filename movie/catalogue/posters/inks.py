"""Inks: fields by the rarest genre, a director's accent, and what can be read on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from movie.catalogue.posters.dice import Dice

CREAM, BLACK = "#f4ead6", "#1c1917"
# The print shop's inks; a director has one of them.
ACCENTS = ("#d8432b", "#f0b23e", "#2f7f86", "#f4ead6", "#e8825a", "#9cc7d3", "#eeb0a8", "#1c1917")

FIELDS: dict[str, tuple[str, ...]] = {
    "action": ("#b93620", "#26262b", "#e07b28", "#17374f", "#8f1f2b", "#e5b23f"),
    "adventure": ("#e0a83a", "#1f6a70", "#d9743c", "#3e5a34"),
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
    "romance": ("#efb3a5", "#ab3a54", "#ecdcc4"),
    "sci-fi": ("#16263f", "#105a66", "#34305f"),
    "thriller": ("#222c30", "#19474b", "#8a2320"),
    "war": ("#5c6138", "#a59a74", "#3d4238"),
    "western": ("#d2a05a", "#97441f", "#6f3a25"),
}
# From the rarest to the commonest, by the number of films in MovieLens 100K.
RARITY = (
    "fantasy", "film-noir", "western", "animation", "documentary", "musical", "mystery", "war", "horror",
    "sci-fi", "crime", "children", "adventure", "romance", "action", "thriller", "comedy", "drama",
)  # fmt: skip
SAME_GENRE = {
    "children's": "children", "family": "children", "science fiction": "sci-fi", "music": "musical",
    "noir": "film-noir", "biography": "drama", "history": "war", "sport": "action", "short": "documentary",
}  # fmt: skip
OTHER_FIELDS = ("#4a4f57", "#6a593f", "#2e5148", "#b98f6a")


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    """Return the relative luminance, WCAG 2.2."""
    linear = [
        channel / 3294.6 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in _channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two ``#rrggbb`` colours, 1 to 21 (WCAG 2.2)."""
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
def inks_for(field: str, favourite: int) -> Inks:
    """Return the inks for a field; `favourite` is the index of the director's accent in `ACCENTS`."""
    text = max((CREAM, BLACK), key=lambda ink: contrast(field, ink))
    order = ACCENTS[favourite:] + ACCENTS[:favourite]
    accent = next(ink for ink in order if contrast(field, ink) >= 2.4 or ink == text)
    deep = _luminance(field) < 0.3
    tone = _mix(field, CREAM, 0.2) if _luminance(field) < 0.05 else _mix(field, BLACK, 0.34 if deep else 0.24)
    spark = text if accent != text else _mix(field, text, 0.55)
    return Inks(field, text, accent, tone, spark)


def field_for(genres: Sequence[str], dice: Dice) -> str:
    """Return the colour of the field, one of the colours of the rarest genre that has any."""
    known = by_rarity(genres)
    return dice.choice(FIELDS[known[0]] if known else OTHER_FIELDS)


def by_rarity(genres: Iterable[str]) -> list[str]:
    """Return the known ones of some genres by the names they have here, the rarest first."""
    names = {SAME_GENRE.get(name, name) for genre in genres if (name := genre.casefold().strip())}
    return [name for name in RARITY if name in names]
