"""Template words of the catalogue pages."""

from collections.abc import Container

from django import template
from django.utils.translation import gettext

from movie.models import Movie
from movie.recommendations import mean_sentence

register = template.Library()


@register.filter
def contains(container: Container | None, key: object) -> bool:
    """``key in container``, as an argument of an include: ``watchlist|contains:film.pk``."""
    return bool(container) and key in container


@register.filter
def mean_line(movie: Movie) -> str:
    """ "4.1 from 512 ratings", or nothing for a film nobody rated."""
    return mean_sentence(movie)


@register.filter
def in_own_words(name: str) -> str:
    """The name of a genre, country or language of the catalogue in the visitor's language, if known."""
    return gettext(name) if name else ""


@register.filter
def whole_percent(share: float) -> int:
    """0.427 -> 43."""
    return round(100 * share)
