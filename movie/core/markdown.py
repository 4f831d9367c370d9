"""Renders plain Markdown as HTML. Reviews of papers, with formulas and figures, have a renderer of their
own.
"""

from __future__ import annotations

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt


def render_markdown(text: str) -> SafeString:
    """Return the HTML of a Markdown text with tables; HTML within the text is shown as text."""
    return mark_safe(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))  # noqa: S308
