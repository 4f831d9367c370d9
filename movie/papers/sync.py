"""Synchronize the database with the files of `settings.PAPERS_DIR`, never the other way.

A review belongs to its file until somebody edits it in the admin; from then on it belongs to the site, and
the file is left aside until `overwrite` gives it back. A review whose file is gone becomes a draft: comments
and counts are kept, visitors no longer see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import transaction

from movie.papers.front_matter import ReviewFile, read_review
from movie.papers.models import PaperReview
from movie.papers.rendered import Rendered, RenderError
from movie.papers.rendering import HEADING_PREFIX, RENDERER, render
from movie.training.model_info import MODEL_INFO, MOST_RATED


@dataclass(slots=True)
class Checked:
    """A file with its rendered page and its problems."""

    path: Path
    file: ReviewFile | None
    rendered: Rendered | None
    problems: list[RenderError]

    @property
    def fingerprint(self) -> str:
        """Return a hash that changes with the file and with each figure it shows."""
        parts = [self.file.sha256 if self.file else "", *(self.rendered.figures if self.rendered else [])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(slots=True)
class Report:
    """The slugs of reviews by outcome."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # edited or written on the site
    withdrawn: list[str] = field(default_factory=list)
    refused: list[Checked] = field(default_factory=list)


def known_models() -> list[str]:
    """Return the models that a review can explain."""
    return [name for name in MODEL_INFO if name != MOST_RATED]


def check_files(paths: Sequence[Path] = ()) -> list[Checked]:
    """Render and check every file of `settings.PAPERS_DIR`, or those of `paths`."""
    neighbours = sorted(settings.PAPERS_DIR.glob("*.md"))
    slugs = {path.stem for path in neighbours} | {path.stem for path in paths}
    models = known_models()
    checked = [_check(path, slugs, models) for path in paths or neighbours]
    anchors = {
        each.path.stem: {heading.anchor for heading in each.rendered.headings}
        for each in checked
        if each.rendered is not None
    }
    for each in checked:
        if each.file is None or each.rendered is None:
            continue
        for link in each.rendered.paper_links:
            there = anchors.get(link.slug)
            if link.anchor and there is not None and HEADING_PREFIX + link.anchor not in there:
                message = f"paper:{link.slug}#{link.anchor}: that review has no such heading"
                each.problems.append(RenderError(each.file.body_line + link.line - 1, message))
        each.problems.sort()
    return checked


def sync(*, overwrite: bool = False) -> Report:
    """Store the files in the database, in one transaction; a second run changes nothing.

    A file with problems is refused, and its review stays as it was.
    """
    report = Report()
    checked = check_files()  # renders every file: before the transaction
    with transaction.atomic():
        stored = {review.slug: review for review in PaperReview.objects.select_for_update()}
        for each in checked:
            if each.file is None or each.problems:
                report.refused.append(each)
            else:
                _store(each.file, each.fingerprint, stored.get(each.path.stem), report, overwrite=overwrite)
        present = {each.path.stem for each in checked}
        for slug, review in stored.items():
            if slug not in present:
                _withdraw(review, report)
    return report


def _check(path: Path, slugs: Collection[str], models: Collection[str]) -> Checked:
    file, problems = read_review(path, models)
    if file is None:
        return Checked(path, None, None, problems)
    rendered = render(file.body, known_reviews=slugs)
    offset = file.body_line - 1
    problems += [RenderError(each.line + offset, each.message) for each in rendered.problems]
    return Checked(path, file, rendered, sorted(problems))


def _store(
    file: ReviewFile, fingerprint: str, review: PaperReview | None, report: Report, *, overwrite: bool
) -> None:
    is_new = review is None
    review = review or PaperReview(slug=file.slug)
    if not is_new and _belongs_to_site(review) and not overwrite:
        _refresh(review)
        report.kept.append(file.slug)
        return
    is_draft = file.meta.get("draft", False)
    before = (review.file_sha256, review.renderer, review.is_draft, review.edited_at)
    if before == (fingerprint, RENDERER, is_draft, None):
        report.unchanged.append(file.slug)
        return
    for name in ("title", "summary", "paper_title", "authors", "venue", "year", "tags", "published"):
        setattr(review, name, file.meta[name])
    review.link = file.meta.get("link", "")
    review.model = file.meta["model"] or ""
    review.is_draft = is_draft
    review.body = file.body.strip()
    review.file_sha256 = fingerprint
    review.edited_at = None
    review.save()
    (report.added if is_new else report.changed).append(file.slug)


def _belongs_to_site(review: PaperReview) -> bool:
    """Return whether a review was written on the site, or edited there since its file was read."""
    return review.edited_at is not None or not review.file_sha256


def _refresh(review: PaperReview) -> None:
    if review.renderer != RENDERER:
        review.save()


def _withdraw(review: PaperReview, report: Report) -> None:
    if _belongs_to_site(review):
        _refresh(review)
        report.kept.append(review.slug)
    elif not review.is_draft:
        review.is_draft = True
        review.save()
        report.withdrawn.append(review.slug)
