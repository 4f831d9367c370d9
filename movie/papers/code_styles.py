"""Highlight code with CSS classes, because the content security policy forbids inline styles."""

from __future__ import annotations

from functools import lru_cache

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

TOKEN_CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name)
_FORMATTER = HtmlFormatter(nowrap=True)


@lru_cache(maxsize=32)
def lexer_of(language: str) -> Lexer | None:
    """Return the lexer of a language as named after three backticks; None for an unknown one."""
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


def highlighted(text: str, language: str) -> str:
    """Return the escaped content of a `<pre>`. Raises KeyError for an unknown language."""
    lexer = lexer_of(language)
    if lexer is None:
        raise KeyError(language)
    return highlight(text, lexer, _FORMATTER)


def highlighted_lines(text: str) -> list[str]:
    """Return highlighted Python source line by line, each line well-formed HTML."""
    return highlight(text, PythonLexer(stripnl=False), _FORMATTER).rstrip("\n").split("\n")
