"""How Jinja2 renders the parts of pages that are repeated many times; all other templates are Django's."""

from typing import Any

from jinja2 import Environment, StrictUndefined


def environment(**options: Any) -> Environment:
    """Return an environment in which a name that a template misspells is an error, not an empty text."""
    from movie.templatetags.reelgraph import stars

    options |= {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    made = Environment(**options)  # noqa: S701 - Django's backend switches autoescape on
    made.filters["stars"] = stars
    return made
