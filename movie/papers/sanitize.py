"""The HTML that a rendered review may consist of; every review passes here before a page shows it."""

from __future__ import annotations

import re

import nh3

from movie.papers.code_styles import TOKEN_CLASSES

_MATH = {
    "math", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
    "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable",
    "mtd", "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
_MATH_ATTRIBUTES = {
    "accent", "accentunder", "alttext", "columnspan", "depth", "display", "displaystyle", "fence", "form",
    "height", "largeop", "linethickness", "lspace", "mathsize", "mathvariant", "maxsize", "minsize",
    "movablelimits", "rowspan", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset",
    "width",
}  # fmt: skip
_TAGS = _MATH | {
    "a", "blockquote", "br", "code", "del", "div", "em", "figcaption", "figure", "h2", "h3", "h4", "hr",
    "img", "li", "ol", "p", "pre", "s", "section", "span", "strong", "sup", "table", "tbody", "td", "th",
    "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"class"},
    "a": {"href", "title", "id", "aria-label"},
    "h2": {"id"},
    "h3": {"id"},
    "h4": {"id"},
    "img": {"src", "alt", "width", "height", "loading", "decoding"},
    "li": {"id"},
    "ol": {"start"},
    "section": {"aria-label"},
    "th": {"scope"},
} | dict.fromkeys(_MATH, _MATH_ATTRIBUTES)

OUR_CLASSES = frozenset({
    "align-left", "align-center", "align-right", "code-link", "figure", "footnote-backref", "footnote-item",
    "footnote-ref", "footnotes", "footnotes-list", "footnotes-sep", "formula", "highlight", "table-scroll",
})  # fmt: skip
_OUR_ID = re.compile(r"(?:s-[\w-]{1,100}|fn(?:ref)?[\w:-]{1,40})")
_FIGURE_ADDRESS = re.compile(r"[\w/.-]*/figures/[a-z0-9-]+\.svg\?v=[0-9a-f]{8}")


def sanitize(markup: str) -> str:
    """`markup` with everything taken out that a review does not need: scripts, styles, forms, foreign
    images, ids that could meet those of the page, classes that are not ours."""
    return nh3.clean(
        markup,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
        strip_comments=True,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The value to keep, or None to drop the attribute."""
    if name == "class":
        known = TOKEN_CLASSES if tag == "span" else OUR_CLASSES
        return " ".join(each for each in value.split() if each in known or each in OUR_CLASSES) or None
    if name == "id":
        return value if _OUR_ID.fullmatch(value) else None
    if name == "src":
        return value if _FIGURE_ADDRESS.fullmatch(value) else None
    return value
