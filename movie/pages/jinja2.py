"""Jinja2 for what is rendered most often: cards of films, the rating form, suggestions at every key.

All other templates are Django's. Jinja2 renders thirty cards in a seventh of the time of Django's template
nodes. Each language has an environment of its own: `_("...")` is translated once, when a template is
compiled. `makemessages` finds it as in other templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from movie.catalogue.formatting import stars

FOLDER = "jinja2"  # in each folder of templates


class TranslateOnCompile(Extension):
    """Puts the translation in place of `_("...")`, in the language that is active."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.test("name:_") and stream.current.type == "lparen":
                next(stream)
                message = stream.expect("string")
                stream.expect("rparen")
                yield Token(token.lineno, "string", gettext(message.value))
            else:
                yield token


@cache
def card_environment(language: str | None) -> Environment:
    """Return the environment of the active language. A misspelt name in a template is an error."""
    environment = Environment(
        loader=FileSystemLoader([Path(str(folder)) / FOLDER for folder in settings.TEMPLATES[0]["DIRS"]]),
        autoescape=True,
        auto_reload=settings.DEBUG,
        extensions=[TranslateOnCompile],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["stars"] = stars
    return environment
