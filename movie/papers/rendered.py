"""The result of rendering a review: its HTML, headings, links, figures, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

WORDS_A_MINUTE = 220
SECONDS_A_FORMULA = 8
LISTED = 3  # the deepest level of headings in the contents


@dataclass(frozen=True, slots=True, order=True)
class RenderError:
    """A part of a review that cannot be shown as written. `line` counts from 1."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    anchor: str
    title: str


@dataclass(frozen=True, slots=True, order=True)
class PaperLink:
    """A link to another review, or to a part of it."""

    line: int
    slug: str
    anchor: str


@dataclass(slots=True)
class Rendered:
    html: str = ""
    headings: list[Heading] = field(default_factory=list)
    code_links: list[str] = field(default_factory=list)  # dotted names, each once
    paper_links: list[PaperLink] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)  # addresses, which change with the drawings
    words: int = 0
    formulas: int = 0
    problems: list[RenderError] = field(default_factory=list)

    @property
    def minutes(self) -> int:
        """Return the reading time in minutes, at least one."""
        return max(1, round(self.words / WORDS_A_MINUTE + self.formulas * SECONDS_A_FORMULA / 60))

    @property
    def contents(self) -> list[Heading]:
        return [heading for heading in self.headings if heading.level <= LISTED]
