"""Selection of reasons: from the paths that an explainer found to the few that are true and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.urls import reverse
from django.utils.translation import gettext

from movie.catalogue.models import Movie
from movie.recommendations.explanations.explanation import Path, PathNode, WeightedReasons, weighted_reasons
from movie.recommendations.explanations.verification import Hop, PathVerifier, parse_path
from movie.recommendations.explanations.wording import (
    Link,
    Node,
    Phrase,
    role_names,
    sentence,
    short_action,
)
from predictors.explain import SOMEONE, PathReason
from predictors.explain import Explanation as PathExplanation
from predictors.history import History

MAX_SOCIAL_QUERIES = 4  # queries for "people who liked" of one film: each compares the ratings of two films
MAX_PATHS = 3  # paths of one reason
# These kinds come before people of the same taste, decades and countries.
PREFERRED_KINDS = ("person", "genre")

WeightedPath = tuple[tuple[Hop, ...], float]


@dataclass(slots=True)
class RawReasons:
    """The paths that an explainer found for one movie, with their shares, best first; nothing verified.

    social_paths     paths over people of the same taste
    catalogue_paths  all other paths
    other_weight     weight of everything but the social paths
    """

    catalogue_paths: list[WeightedPath]
    social_paths: list[WeightedPath]
    other_weight: float
    n_paths: int

    @classmethod
    def from_explanation(cls, explanation: PathExplanation, history: History) -> RawReasons:
        paths: dict[bool, list[WeightedPath]] = {True: [], False: []}
        other_weight = 1.0
        for reason in explanation.reasons:
            over_people = any(step.entity == SOMEONE for step in reason.steps)
            other_weight -= reason.share if over_people else 0.0
            if hops := _hops_from_liked(reason, int(explanation.movie_id), history):
                paths[over_people].append((hops, reason.share))
        return cls(paths[False], paths[True], max(0.0, other_weight), explanation.n_paths)


def _hops_from_liked(reason: PathReason, movie_id: int, history: History) -> tuple[Hop, ...]:
    """Return the path if it leads from a liked movie to this one over no disliked one, else ()."""
    hops = parse_path(reason)
    if not hops or hops[-1].after != movie_id or hops[0].before not in history.strength:
        return ()
    return () if any(hop.after in history.disliked for hop in hops) else hops


@dataclass(frozen=True, slots=True)
class SelectedReasons:
    """The verified reasons that are shown; see the fields of `Explanation`."""

    weighted: WeightedReasons
    weight_share: float = 1.0
    social_reason: Phrase | None = None

    @classmethod
    def select(
        cls,
        raw: RawReasons,
        catalogue: PathVerifier,
        history: History,
        max_reasons: int,
        with_social_reason: bool,
    ) -> SelectedReasons:
        preferred = [
            path for path in raw.catalogue_paths if all(hop.kind in PREFERRED_KINDS for hop in path[0])
        ]
        first, weight = _group_paths(preferred, 0.0, catalogue, history, max_reasons)
        if first and not with_social_reason:
            return cls(first, weight)
        few, others = _within_query_budget(raw.social_paths)
        catalogue.count_people(hops for hops, _share in few)
        tastes, _weight = _group_paths(few, raw.other_weight + others, catalogue, history, max_reasons)
        if first:
            return cls(first, weight, tastes.reasons[0].phrase if tastes else None)
        if tastes:
            return cls(tastes)
        return cls(*_group_paths(raw.catalogue_paths, 0.0, catalogue, history, max_reasons))


def _group_paths(
    paths: Sequence[WeightedPath], rest: float, catalogue: PathVerifier, history: History, max_reasons: int
) -> tuple[WeightedReasons, float]:
    """Return the weightiest groups of verified paths, and the weight of all verified paths.

    Paths that lead over the same person, genre, country or decade, or over other people, from several movies
    of the history are one reason.
    """
    groups: dict[tuple[Any, ...], list[tuple[tuple[Link, ...], float]]] = {}
    for hops, share in paths:
        if links := catalogue.links(hops):
            groups.setdefault(_group_key(links), []).append((links, share))
    weighed = [(sum(share for _links, share in group), group) for group in groups.values()]
    weighed.sort(key=lambda one: -one[0])
    rest += sum(weight for weight, _group in weighed[max_reasons:])
    rows = []
    for weight, group in weighed[:max_reasons]:
        routes = [links for links, _share in group]
        drawn = tuple(_drawn_path(links, catalogue, history) for links in routes[:MAX_PATHS])
        rows.append((routes[0][-1].node.kind, sentence(routes, history), weight, drawn))
    return weighted_reasons(rows, rest), sum(weight for weight, _group in weighed)


def _within_query_budget(paths: Sequence[WeightedPath]) -> tuple[list[WeightedPath], float]:
    """Return the social paths whose counts are queried, and the weight of the others."""
    chosen, rest, looked_up = [], 0.0, 0
    for hops, share in paths:
        costs = sum(hop.kind == "people" for hop in hops)
        if looked_up + costs > MAX_SOCIAL_QUERIES:
            rest += share
        else:
            looked_up += costs
            chosen.append((hops, share))
    return chosen, rest


def _group_key(links: Sequence[Link]) -> tuple[Any, ...]:
    """Return the key that paths of one reason share; a long path is a reason of its own."""
    last = links[-1]
    if len(links) > 1:
        return tuple((link.before.pk, link.node.kind, link.node.name) for link in links)
    of_people = last.node.kind == "people"  # whoever they are
    return (last.node.kind, "" if of_people else last.node.name, last.roles_before)


def _drawn_path(links: Sequence[Link], catalogue: PathVerifier, history: History) -> Path:
    """Return the nodes to draw: You - Heat - Michael Mann - Collateral."""
    first = links[0].before
    nodes = [
        PathNode(Node("you", gettext("You"), reverse("pages:history"))),
        PathNode(first, short_action(first, history), _film_of(first, catalogue)),
    ]
    for link in links:
        nodes.append(PathNode(link.node, role_names(link.roles_before)))
        nodes.append(PathNode(link.after, role_names(link.roles_after), _film_of(link.after, catalogue)))
    return tuple(nodes)


def _film_of(node: Node, catalogue: PathVerifier) -> Movie:
    return catalogue.films[cast(int, node.pk)]
