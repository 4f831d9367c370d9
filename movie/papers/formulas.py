"""Convert LaTeX formulas to MathML Core, which browsers draw without a script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import zip_longest
from xml.etree import ElementTree

MATHML = "http://www.w3.org/1998/Math/MathML"
THIN_SPACE = "0.1667em"

# What authors write and the converter does not know, in words that it does.
_SPELLINGS = (
    (re.compile(r"\\(begin|end)\{aligned\}"), r"\\\1{align*}"),
    (re.compile(r"\\arg(?![A-Za-z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\(argmax|argmin)(?![A-Za-z])"), r"\\operatorname{\1}"),
)
# MathML Core knows no other variant than "normal": letters of other styles are characters of their own.
_STYLES = {
    "bold": "BOLD",
    "italic": "ITALIC",
    "bold-italic": "BOLD ITALIC",
    "double-struck": "DOUBLE-STRUCK",
}
# Signs that would stretch or keep their distance as operators do, though they enclose what is between them.
_ENCLOSING = ("|", "‖", "⟨", "⟩")
_REFUSED_ATTRIBUTES = ("href", "style", "mathcolor", "mathbackground", "class", "id")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w+;)")


class FormulaError(ValueError):
    """Refuses a formula that cannot be shown as its author meant it."""


@lru_cache(maxsize=512)
def mathml(latex: str, *, block: bool = False) -> str:
    """Return the `<math>` element of a formula. Raises FormulaError for unknown LaTeX."""
    from latex2mathml.converter import convert

    source = latex.strip()
    if not source:
        raise FormulaError("the formula is empty")
    if "\\\\[" in source:
        raise FormulaError("a line break with a distance (\\\\[...]) is not known")
    for pattern, known in _SPELLINGS:
        source = pattern.sub(known, source)
    try:
        text = convert(source, display="block" if block else "inline")
    except Exception as error:  # the converter has no base class for its errors
        raise FormulaError(_in_words(error)) from error
    if _BARE_AMPERSAND.search(text):
        raise FormulaError("an & stands outside of a matrix, cases or aligned")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - made by the converter a line above
    except ElementTree.ParseError as error:
        raise FormulaError(f"the formula is not well formed ({error})") from error
    _refuse_leftovers(root)
    for element in root.iter():
        _use_core(element)
        _space_names(element)
    root.set("alttext", latex.strip())
    ElementTree.register_namespace("", MATHML)
    return ElementTree.tostring(root, encoding="unicode")


def _in_words(error: Exception) -> str:
    """Return an error in words: MissingSuperScriptOrSubscriptError -> missing super script or subscript."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    return f"{words} {error}".strip()


def _refuse_leftovers(root: ElementTree.Element) -> None:
    """Refuse LaTeX that the converter left in its output. Raises FormulaError."""
    for element in root.iter():
        text = element.text or ""
        if "\\" in text:
            raise FormulaError(f"{text.strip()} is not known")
        if _local(element) in ("mfrac", "msub", "msup", "mover", "munder") and len(element) != 2:
            raise FormulaError(f"a part is missing in a {_local(element)}")
        for name in _REFUSED_ATTRIBUTES:
            if element.get(name) is not None:
                raise FormulaError(f"links, colours and styles ({name}) have no place in a formula")
        if element.get("linebreak") == "newline":
            raise FormulaError("a line break (\\\\) stands outside of a matrix, cases or aligned")


def _use_core(element: ElementTree.Element) -> None:
    style = _STYLES.get(element.get("mathvariant", ""))
    if style and element.text:
        element.text = "".join(_styled(letter, style) for letter in element.text)
        del element.attrib["mathvariant"]
    if element.text == "―":  # what \overline makes does not stretch; this does
        element.text = "¯"
    if element.text in _ENCLOSING and element.get("form") is None:
        element.tag = f"{{{MATHML}}}mo"
        element.attrib.update(stretchy="false", lspace="0", rspace="0")
    side = element.attrib.pop("columnalign", None)  # no attribute of MathML Core: a class, for our styles
    if side:
        element.set("class", f"align-{side.split()[0]}")


def _space_names(row: ElementTree.Element) -> None:
    """Put a thin space around a name such as "softmax", and none before the bracket that follows it."""
    for name, following in zip_longest(row, row[1:]):
        if _local(name) == "mo" and len(name.text or "") > 1 and (name.text or "").isalpha():
            bracket = following is not None and (following.text or "")[:1] in ("(", "[", "{")
            name.attrib.update(lspace=THIN_SPACE, rspace="0" if bracket else THIN_SPACE)


def _styled(letter: str, style: str) -> str:
    """Return a letter in a mathematical style: "x", "BOLD" -> "𝐱". A letter without that style stays."""
    match unicodedata.name(letter, "").split():
        case ["LATIN" | "GREEK", size, "LETTER", *name]:
            wanted = f"MATHEMATICAL {style} {size} {' '.join(name)}"
        case ["DIGIT", name]:
            wanted = f"MATHEMATICAL {style.removesuffix(' ITALIC')} DIGIT {name}"
        case _:
            return letter
    try:
        return unicodedata.lookup(wanted)
    except KeyError:
        return letter


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
