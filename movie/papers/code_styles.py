"""Highlighted code with classes, which our style sheet colours; a strict page takes no inline styles."""

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
    """The lexer for a language as it is named after three backticks; None when there is none."""
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


def highlighted(text: str, language: str) -> str:
    """The inside of a `<pre>`, escaped. Raises KeyError on a language that is not known."""
    lexer = lexer_of(language)
    if lexer is None:
        raise KeyError(language)
    return highlight(text, lexer, _FORMATTER)


def highlighted_lines(text: str) -> list[str]:
    """Python source line by line, each line well formed in itself."""
    return highlight(text, PythonLexer(stripnl=False), _FORMATTER).rstrip("\n").split("\n")
