"""Explanation: everything that a page or the API says about why one movie is in a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from movie.catalogue.models import Movie
from movie.recommendations.explanations.wording import Node, Phrase
from movie.training.model_info import MODEL_INFO

KPRN, NEIGHBOURS = "kprn", "neighbours"  # the sources of reasons


@dataclass(frozen=True, slots=True)
class PathNode:
    """A node of a drawn path, with the edge that leads to it; `movie` where the node is a movie."""

    node: Node
    edge: str = ""
    movie: Movie | None = None

    def as_dict(self) -> dict[str, Any]:
        node = self.node
        return {"kind": node.kind, "id": node.pk, "name": node.name, "url": node.url, "edge": self.edge}


Path = tuple[PathNode, ...]


@dataclass(frozen=True, slots=True)
class ShownReason:
    """A sentence with its paths: one, or the weightiest of several.

    share in (0, 1]; percent is whole, and those of a list (with the rest) sum to 100."""

    kind: str  # person, genre, country, decade, people, or film for an influence
    phrase: Phrase
    share: float
    percent: int
    paths: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "sentence": self.phrase.text,
            "share": round(self.share, 4),
            "paths": [[node.as_dict() for node in path] for path in self.paths],
        }


@dataclass(frozen=True, slots=True)
class WeightedReasons:
    """Reasons, best first, and the weight of those not shown: shares and `rest` sum to 1."""

    reasons: tuple[ShownReason, ...] = ()
    rest: float = 0.0
    rest_percent: int = 0

    def __bool__(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one movie is in a list.

    model          the model that made the list; empty when it is not known
    source         the model that weighed the reasons: kprn, neighbours, or empty where there are none
    n_paths        number of paths (kprn) or movies of the history (neighbours) that were weighed
    weight_share   share of the total path weight that the shown kinds of paths carry, 0 to 1
    social_reason  people who liked a movie of the history liked this; empty where a reason says so already
    influences     movies of the history by how much of the model's score depends on them
    fallback_text  where the score comes from, for a movie without a reason
    """

    movie: Movie
    model: str
    source: str = ""
    n_paths: int = 0
    weighted: WeightedReasons = WeightedReasons()
    weight_share: float = 1.0
    social_reason: Phrase | None = None
    influences: WeightedReasons = WeightedReasons()
    fallback_text: str = ""

    @property
    def reasons(self) -> tuple[ShownReason, ...]:
        return self.weighted.reasons

    @property
    def rest(self) -> float:
        return self.weighted.rest

    @property
    def model_label(self) -> str:
        return str(MODEL_INFO[self.model].label) if self.model in MODEL_INFO else ""

    @property
    def model_summary(self) -> str:
        return str(MODEL_INFO[self.model].summary) if self.model in MODEL_INFO else ""

    @property
    def source_text(self) -> str:
        """Say which model weighed the reasons, and how many paths it weighed."""
        count = {"count": number_format(self.n_paths, force_grouping=True)}
        if self.source == KPRN:
            return (
                ngettext(
                    "KPRN weighed %(count)s path from your films to this one.",
                    "KPRN weighed %(count)s paths from your films to this one.",
                    self.n_paths,
                )
                % count
            ) + self._weight_share_text()
        if self.source == NEIGHBOURS:
            return (
                ngettext(
                    "Item neighbours weighed %(count)s film of your history.",
                    "Item neighbours weighed %(count)s films of your history.",
                    self.n_paths,
                )
                % count
            )
        return ""

    def _weight_share_text(self) -> str:
        percent = int(100 * self.weight_share + 0.5)
        if percent == 100:
            return ""
        hold = f"{percent} %" if percent else gettext("under 1 %")
        return " " + gettext(
            "Those of the kinds shown hold %(hold)s of the weight; the others lead over people of your "
            "taste, decades or countries."
        ) % {"hold": hold}

    def as_dict(self) -> dict[str, Any]:
        """Return plain text and numbers, for the API."""
        return {
            "movie_id": self.movie.pk,
            "model": self.model,
            "source": self.source,
            "paths_weighed": self.n_paths,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "rest": round(self.rest, 4),
            "of_all": round(self.weight_share, 6),
            "also": self.social_reason.text if self.social_reason else "",
            "influences": [
                {"sentence": film.phrase.text, "share": round(film.share, 4)}
                for film in self.influences.reasons
            ],
            "influences_rest": round(self.influences.rest, 4),
            "instead": self.fallback_text,
        }


def weighted_reasons(
    rows: Sequence[tuple[str, Phrase, float, tuple[Path, ...]]], rest: float
) -> WeightedReasons:
    """Return the rows (kind, phrase, weight, paths) with their weights as shares of the sum with `rest`."""
    total = sum(row[2] for row in rows) + rest
    if not rows or total <= 0:
        return WeightedReasons()
    shares = [row[2] / total for row in rows]
    percents = whole_percents([*shares, rest / total])
    reasons = tuple(
        ShownReason(kind, phrase, share, percent, paths)
        for (kind, phrase, _weight, paths), share, percent in zip(rows, shares, percents, strict=False)
    )
    return WeightedReasons(reasons, rest / total, percents[-1])


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Round shares of 1 to percents that sum to 100, by largest remainders."""
    floors = [int(100 * share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda row: floors[row] - 100 * shares[row])
    for row in by_remainder[: 100 - sum(floors)]:
        floors[row] += 1
    return floors
