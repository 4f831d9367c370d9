"""Read the figures of reviews: SVG files beside the Markdown, shown as images."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from django.conf import settings

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.svg")
_FORBIDDEN = ("script", "foreignObject")
_ENTITIES = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class FigureError(ValueError):
    """Refuses a figure that is missing or cannot be shown."""


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    content: bytes
    width: int
    height: int
    version: str  # changes with the content, so that browsers may keep a figure for good


def read_figure(name: str) -> Figure:
    """Return the figure `name` of `settings.PAPERS_DIR` with its size, checked. Raises FigureError."""
    folder: Path = settings.PAPERS_DIR / "figures"
    if not NAME.fullmatch(name):
        raise FigureError(f"{name!r} is no name of a figure: lower case, digits and -, ending in .svg")
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError:
        raise FigureError(f"there is no figure {name}") from None
    if _ENTITIES.search(content):
        raise FigureError(f"{name} declares a document type; leave it out")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - our file, and without entities
    except ElementTree.ParseError as error:
        raise FigureError(f"{name} is not well formed: {error}") from error
    for element in root.iter():
        tag = str(element.tag).rpartition("}")[2]
        handler = next((each for each in element.attrib if each.lower().startswith("on")), None)
        if tag in _FORBIDDEN or handler:
            raise FigureError(f"{name} holds {handler or '<' + tag + '>'}, which a drawing does not need")
        for attribute, value in element.attrib.items():
            if attribute.rpartition("}")[2] == "href" and not value.startswith("#"):
                raise FigureError(f"{name} refers to {value!r}; a drawing stands alone")
    width, height = _size(root, name)
    return Figure(name, content, width, height, hashlib.sha256(content).hexdigest()[:8])


def _size(root: ElementTree.Element, name: str) -> tuple[int, int]:
    if str(root.tag).rpartition("}")[2] != "svg":
        raise FigureError(f"{name} is no SVG drawing")
    try:
        _x, _y, width, height = (float(part) for part in root.get("viewBox", "").replace(",", " ").split())
    except ValueError:
        raise FigureError(f"{name} has no viewBox of four numbers") from None
    if width <= 0 or height <= 0:
        raise FigureError(f"{name} has an empty viewBox")
    return round(width), round(height)
