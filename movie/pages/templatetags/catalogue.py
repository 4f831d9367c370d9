"""Template words of the catalogue pages."""

from django import template
from django.utils.translation import gettext

register = template.Library()


@register.filter
def in_own_words(name: str) -> str:
    """The name of a genre, country or language of the catalogue in the visitor's language, if known."""
    return gettext(name) if name else ""


@register.filter
def whole_percent(share: float) -> int:
    """0.427 -> 43."""
    return round(100 * share)
