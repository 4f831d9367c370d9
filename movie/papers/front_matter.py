"""Read the file of a review: front matter between two lines of dashes, and the Markdown after it."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from movie.papers.rendered import RenderError

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
TAKEN_SLUGS = ("feed", "code", "figures", "comments")  # addresses below /papers/
LONGEST_SLUG, LONGEST_LINE, LONGEST_SUMMARY, LONGEST_LINK = 64, 255, 300, 500
EARLIEST_YEAR, LATEST_YEAR = 1900, 2100

REQUIRED = (
    "title",
    "paper_title",
    "authors",
    "venue",
    "year",
    "model",
    "tags",
    "summary",
    "published",
)
OPTIONAL = ("link", "draft")  # a review of our own work has no paper to link to
_FENCE = re.compile(r"---[ \t]*\r?\n(?P<matter>.*?\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """The checked front matter of a file and its Markdown; `body` begins at line `body_line` of the file."""

    slug: str
    meta: dict[str, Any]
    body: str
    body_line: int
    sha256: str


def read_review(path: Path, known_models: Collection[str]) -> tuple[ReviewFile | None, list[RenderError]]:
    """Return the file of a review and its problems; None for the file when it has no front matter."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [RenderError(content.count(b"\n", 0, error.start) + 1, "the file is not UTF-8")]
    found = _FENCE.match(text)
    if found is None:
        return None, [RenderError(1, "the file does not begin with front matter between two lines of ---")]
    matter = found["matter"]
    try:
        meta = yaml.safe_load(matter)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "cannot be read"
        return None, [RenderError(mark.line + 2 if mark else 1, f"the front matter is not YAML: {what}")]
    if not isinstance(meta, dict):
        return None, [RenderError(1, "the front matter is no list of `key: value`")]
    problems = _check_slug(path.stem) + [
        RenderError(_line_of(key, matter), message) for key, message in _check(meta, known_models)
    ]
    body_line = text.count("\n", 0, found.end()) + 1
    sha256 = hashlib.sha256(content).hexdigest()
    return ReviewFile(path.stem, meta, text[found.end() :], body_line, sha256), problems


def _check_slug(slug: str) -> list[RenderError]:
    if not SLUG.fullmatch(slug) or len(slug) > LONGEST_SLUG or slug in TAKEN_SLUGS:
        return [
            RenderError(1, f"the file's name {slug!r} cannot be an address: lower case, digits and - only")
        ]
    return []


def _check(meta: dict[Any, Any], known_models: Collection[str]) -> list[tuple[str, str]]:
    """Return the keys that have errors, each with its error."""
    wrong = [(key, f"{key} is missing") for key in REQUIRED if key not in meta]
    wrong += [
        (str(key), f"{key} is no key; known: {', '.join(REQUIRED + OPTIONAL)}")
        for key in meta
        if key not in REQUIRED + OPTIONAL
    ]
    for key, longest in (
        ("title", LONGEST_LINE),
        ("paper_title", LONGEST_LINE),
        ("venue", LONGEST_LINE),
        ("summary", LONGEST_SUMMARY),
        ("link", LONGEST_LINK),
    ):
        value = meta.get(key, "-")
        if not isinstance(value, str) or not value.strip():
            wrong.append((key, f"{key} is no text"))
        elif len(value) > longest:
            wrong.append((key, f"{key} is longer than {longest} characters"))
    for key in ("authors", "tags"):
        values = meta.get(key, ["-"])
        texts = isinstance(values, list) and all(isinstance(each, str) and each.strip() for each in values)
        if not texts or not values:
            wrong.append((key, f'{key} is no list of texts such as ["one", "two"]'))
    year = meta.get("year", EARLIEST_YEAR)
    if type(year) is not int or not EARLIEST_YEAR <= year <= LATEST_YEAR:
        wrong.append(("year", f"year is no whole number from {EARLIEST_YEAR} to {LATEST_YEAR}"))
    link = meta.get("link", "https://-")
    if isinstance(link, str) and urlsplit(link).scheme not in ("http", "https"):
        wrong.append(("link", "link is no https:// address"))
    model = meta.get("model", "")
    if model not in ("", None) and model not in known_models:
        wrong.append(("model", f"there is no model {model!r}; known: {', '.join(known_models)}"))
    published = meta.get("published", datetime.date.min)
    if not isinstance(published, datetime.date) or isinstance(published, datetime.datetime):
        wrong.append(("published", "published is no date such as 2026-01-31"))
    if not isinstance(meta.get("draft", False), bool):
        wrong.append(("draft", "draft is neither true nor false"))
    return wrong


def _line_of(key: str, matter: str) -> int:
    """Return the line number of a key of the front matter; 1 for a missing key."""
    found = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*:", matter, re.MULTILINE)
    return matter.count("\n", 0, found.start()) + 2 if found else 1
