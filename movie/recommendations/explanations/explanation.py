"""Explanation: everything that a page or the API says about why one movie is in a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from movie.catalogue.models import Movie
from movie.recommendations.explanations.wording import Node, Phrase
from movie.training.model_info import MODEL_INFO


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
class Influence:
    """A movie of the history, with its share of all that supports a score.

    phrase    the movie with what the visitor did: "Heat, which you rated 4½"
    sentence  the same as a reason: "Because you rated Heat 4½"
    share in (0, 1]; percent is whole, and those of a list (with the rest) sum to 100."""

    movie: Movie
    phrase: Phrase
    sentence: Phrase
    share: float
    percent: int

    def as_dict(self) -> dict[str, Any]:
        return {"movie_id": self.movie.pk, "sentence": self.sentence.text, "share": round(self.share, 4)}


@dataclass(frozen=True, slots=True)
class Connection:
    """A path of the knowledge graph from a movie of the history, in words and drawn.

    percent  its share of the paths that KPRN scored the movie by; 0 where that is little or another
             model made the list
    """

    phrase: Phrase
    path: Path
    percent: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"sentence": self.phrase.text, "path": [node.as_dict() for node in self.path]}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one movie is in a list.

    model          the model that made the list; empty when it is not known
    influences     the movies of the history that support the score most, strongest first
    rest           share of all others; shares and `rest` sum to 1, or everything is empty
    connections    what else leads from the history to the movie
    fallback_text  where the score comes from, for a movie without influences
    """

    movie: Movie
    model: str
    influences: tuple[Influence, ...] = ()
    rest: float = 0.0
    rest_percent: int = 0
    connections: tuple[Connection, ...] = ()
    fallback_text: str = ""

    @property
    def headline(self) -> Phrase | None:
        """Return the sentence that stands on the movie's card, too."""
        return self.influences[0].sentence if self.influences else None

    @property
    def model_label(self) -> str:
        return str(MODEL_INFO[self.model].label) if self.model in MODEL_INFO else ""

    @property
    def model_summary(self) -> str:
        return str(MODEL_INFO[self.model].summary) if self.model in MODEL_INFO else ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain text and numbers, for the API."""
        return {
            "reasons": [influence.as_dict() for influence in self.influences],
            "rest": round(self.rest, 4),
            "connections": [connection.as_dict() for connection in self.connections],
            "instead": self.fallback_text,
        }


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Round shares of 1 to percents that sum to 100, by largest remainders."""
    floors = [int(100 * share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda row: floors[row] - 100 * shares[row])
    for row in by_remainder[: 100 - sum(floors)]:
        floors[row] += 1
    return floors
