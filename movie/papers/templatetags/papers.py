"""Template words about reviews for pages elsewhere on the site."""

from django import template

from movie.papers.models import addresses_by_model

register = template.Library()


@register.simple_tag
def review_url(model: str) -> str:
    """The address of the review that explains a model; nothing where there is none."""
    return addresses_by_model().get(model, "")
