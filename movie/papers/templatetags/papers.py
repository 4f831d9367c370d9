"""Template tags about reviews for pages elsewhere on the site."""

from django import template
from django.core.cache import cache

from movie.papers.models import BY_MODEL, BY_MODEL_SECONDS, addresses_by_model

register = template.Library()


@register.simple_tag
def review_url(model: str) -> str:
    """Return the address of the review that explains a model, "" where there is none."""
    addresses = cache.get_or_set(BY_MODEL, addresses_by_model, BY_MODEL_SECONDS) or {}
    return addresses.get(model, "")
