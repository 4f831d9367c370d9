"""Reviews for tests, as rows and as files."""

import datetime
from pathlib import Path
from typing import Any

from movie.papers.models import PaperReview

MATTER = {
    "title": '"A title"',
    "paper_title": '"A paper"',
    "authors": '["A. One", "B. Two"]',
    "venue": '"WWW"',
    "year": "2019",
    "link": '"https://example.org/paper"',
    "model": "ease",
    "tags": '["linear models"]',
    "summary": '"What it is about."',
    "published": "2026-01-31",
}
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 320"><circle cx="9" cy="9" r="4"/></svg>'


def make_review(slug: str = "ease", body: str = "Some words.", **fields: Any) -> PaperReview:
    facts = {
        "title": f"All about {slug}",
        "summary": "What it is about.",
        "paper_title": "A paper",
        "authors": ["A. One"],
        "venue": "WWW",
        "year": 2019,
        "published": datetime.date(2026, 1, 31),
    }
    return PaperReview.objects.create(slug=slug, body=body, **{**facts, **fields})


def write_review(folder: Path, slug: str, body: str = "Some words.\n", **matter: str | None) -> Path:
    """A file of a review; a key given as None is left out."""
    values = {key: value for key, value in {**MATTER, **matter}.items() if value is not None}
    path = folder / f"{slug}.md"
    lines = [f"{key}: {value}" for key, value in values.items()]
    path.write_text("\n".join(["---", *lines, "---", body]), encoding="utf-8")
    return path


def draw(folder: Path, name: str, drawing: str = DRAWING) -> Path:
    (folder / "figures").mkdir(exist_ok=True)
    path = folder / "figures" / name
    path.write_text(drawing, encoding="utf-8")
    return path
