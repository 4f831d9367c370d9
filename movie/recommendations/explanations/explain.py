"""Why this film: up to three true sentences with the share of each, and what the score came from.

Reasons are paths through the knowledge graph, weighed by KPRN. Those over people who made the films and
over genres come first, with their shares among themselves: where ratings are many, paths over people of the
same taste hold nearly all the weight and all say the same. What these say stands beside the others, and
takes their place where there are none; where KPRN has no path at all, item neighbours say it. Last comes
what moved the score of the model that answered: the films without which it would fall. Nothing is said that
the catalogue does not hold at this moment (`verification`), and the shares of what is left sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from movie.catalogue.models import Movie
from movie.recommendations.explanations.verification import CatalogueNow, Hop, hops_of
from movie.recommendations.explanations.wording import (
    Link,
    Node,
    Phrase,
    film_of_yours,
    role_names,
    sentence,
    what_you_did,
)
from movie.recommendations.ranked_list import mean_sentence
from movie.training.model_info import MODEL_INFO, MOST_RATED
from movie.training.registry import registry
from predictors.base import Predictor
from predictors.errors import PredictorError
from predictors.explain import (
    LIKED,
    SOMEONE,
    Explainer,
    Explanation,
    PathReason,
    PathStep,
    influence,
)
from predictors.history import History, MovieId

MOST = 3
CANDIDATES = 24  # paths of either family asked for; what is shown is chosen from those that are true
MOST_LOOKED_UP = 4  # times "people who liked" of one film: the ratings of two films are compared for each
MOST_DRAWN = 3  # paths of one reason
TELLING = ("person", "genre")  # what is told before people of the same taste, decades and countries
THE_SAME_FOR_ALL = ("popular", MOST_RATED)  # models that do not look at the history
KPRN, NEIGHBOURS = "kprn", "neighbours"


@dataclass(frozen=True, slots=True)
class Stop:
    """A place of a drawn path and what leads to it from the one before; `movie` where it is a film."""

    node: Node
    edge: str = ""
    movie: Movie | None = None

    def as_dict(self) -> dict[str, Any]:
        node = self.node
        return {"kind": node.kind, "id": node.pk, "name": node.name, "url": node.url, "edge": self.edge}


Chain = tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class ShownReason:
    """A sentence, and the paths it tells of: one, or the weightiest of several.

    share in (0, 1]; percent is whole, and those of a list (with the rest) sum to 100."""

    kind: str  # person, genre, country, decade, people, or film for an influence
    phrase: Phrase
    share: float
    percent: int
    chains: tuple[Chain, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "sentence": self.phrase.text,
            "share": round(self.share, 4),
            "paths": [[stop.as_dict() for stop in chain] for chain in self.chains],
        }


@dataclass(frozen=True, slots=True)
class Shares:
    """Reasons, best first, and what is not shown: the shares and `rest` sum to 1 where there are any."""

    reasons: tuple[ShownReason, ...] = ()
    rest: float = 0.0
    rest_percent: int = 0

    def __bool__(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Why:
    """Everything that is said about why one film is in a list.

    model       the model whose list it is; empty when it is not known
    source      what weighed the reasons: kprn, neighbours, or empty where there are none
    n_paths     how many paths (kprn) or films of the history (neighbours) were weighed
    of_all      what the paths that the shares are of hold of the weight of all
    also        what people who liked a film of the history liked, where no reason says it already
    influences  films of the history by how much of the model's score hangs on them
    instead     for a film without a reason: what its score came from
    """

    movie: Movie
    model: str
    source: str = ""
    n_paths: int = 0
    shares: Shares = Shares()
    of_all: float = 1.0
    also: Phrase | None = None
    influences: Shares = Shares()
    instead: str = ""

    @property
    def reasons(self) -> tuple[ShownReason, ...]:
        return self.shares.reasons

    @property
    def rest(self) -> float:
        return self.shares.rest

    @property
    def model_label(self) -> str:
        return str(MODEL_INFO[self.model].label) if self.model in MODEL_INFO else ""

    @property
    def model_summary(self) -> str:
        return str(MODEL_INFO[self.model].summary) if self.model in MODEL_INFO else ""

    @property
    def weighed(self) -> str:
        """Who weighed the reasons, and out of how many."""
        count = {"count": number_format(self.n_paths, force_grouping=True)}
        if self.source == KPRN:
            return (
                ngettext(
                    "KPRN weighed %(count)s path from your films to this one.",
                    "KPRN weighed %(count)s paths from your films to this one.",
                    self.n_paths,
                )
                % count
            ) + self._of_all()
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

    def _of_all(self) -> str:
        percent = int(100 * self.of_all + 0.5)
        if percent == 100:
            return ""
        hold = f"{percent} %" if percent else gettext("under 1 %")
        return " " + gettext(
            "Those of the kinds shown hold %(hold)s of the weight; the others lead over people of your "
            "taste, decades or countries."
        ) % {"hold": hold}

    def as_dict(self) -> dict[str, Any]:
        """For the API: plain text and numbers."""
        return {
            "movie_id": self.movie.pk,
            "model": self.model,
            "source": self.source,
            "paths_weighed": self.n_paths,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "rest": round(self.rest, 4),
            "of_all": round(self.of_all, 6),
            "also": self.also.text if self.also else "",
            "influences": [
                {"sentence": film.phrase.text, "share": round(film.share, 4)}
                for film in self.influences.reasons
            ],
            "influences_rest": round(self.influences.rest, 4),
            "instead": self.instead,
        }


def explain(
    movie_ids: Iterable[int],
    history: History,
    *,
    model: str = "",
    most: int = MOST,
    detailed: bool = False,
) -> dict[int, Why]:
    """Why each of these films is in the list of `model` for this history; hidden films are left out.

    `detailed` adds `also` and `influences`, which cost queries and a batch through the model for each film.
    """
    ids = list(dict.fromkeys(movie_ids))
    sources: dict[str, Explainer | None] = {
        KPRN: _kprn(),
        NEIGHBOURS: NeighbourPaths.active(),
    }
    found: dict[int, Why] = {}
    missing = ids
    for source, weigher in sources.items():
        if weigher is None or not missing or not history.liked:
            continue
        explained = _weighed(weigher, missing, history, most)
        catalogue = CatalogueNow(
            path for told in explained.values() for path, _share in (*told.facts, *told.tastes)
        )
        for pk, told in explained.items():
            shown = _Shown.of(told, catalogue, history, most, with_also=detailed)
            if shown.shares:
                found[pk] = Why(
                    catalogue.films[pk],
                    model,
                    source,
                    told.n_paths,
                    shown.shares,
                    shown.of_all,
                    shown.also,
                )
        missing = [pk for pk in missing if pk not in found]
    if missing:
        films = Movie.objects.visible().defer("synopsis").in_bulk(missing)
        for pk, film in films.items():
            found[pk] = Why(film, model, instead=_instead(film, model, history))
    if detailed:
        for pk, why in found.items():
            found[pk] = _in_detail(why, own_history(history, pk), most)
    return {pk: found[pk] for pk in ids if pk in found}


def own_history(history: History, movie_id: MovieId) -> History:
    """The history without the film itself: the click that led to its page is no reason for it."""
    if movie_id not in history.strength:
        return history
    return History(event for event in history if event.movie_id != movie_id)


def only(history: History, movie_id: MovieId) -> History:
    """What the history says of one film; the rest of it forgotten."""
    return History(event for event in history if event.movie_id == movie_id)


class NeighbourPaths:
    """Item neighbours as an explainer: how much of the score each film of the history added."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @classmethod
    def active(cls) -> NeighbourPaths | None:
        try:
            return cls(registry().get(NEIGHBOURS))
        except PredictorError:
            return None

    def explain(self, history: History, movie_ids: Sequence[MovieId], most: int = MOST) -> list[Explanation]:
        return [self._one(history, movie_id, most) for movie_id in movie_ids]

    def _one(self, history: History, movie_id: MovieId, most: int) -> Explanation:
        added = influence(self.predictor, history, movie_id)
        reasons = tuple(
            PathReason(
                (
                    PathStep(LIKED, f"movie:{film.movie_id}"),
                    PathStep("rated_by", SOMEONE),
                    PathStep("rated_by^-1", f"movie:{movie_id}"),
                ),
                film.share,
            )
            for film in added[:most]
        )
        rest = sum(film.share for film in added[most:])
        return Explanation(movie_id, reasons, rest, len(added))


# -- from what an explainer found to what is shown -------------------------------------------------------


WeighedPath = tuple[tuple[Hop, ...], float]


@dataclass(slots=True)
class _Told:
    """What an explainer says of one film, as hops between films with their shares, best first.

    facts, tastes  paths over no other people, and paths over people of the same taste
    besides        what all paths but the `tastes` told hold
    """

    facts: list[WeighedPath]
    tastes: list[WeighedPath]
    besides: float
    n_paths: int

    @classmethod
    def of(cls, explanation: Explanation, history: History) -> _Told:
        paths: dict[bool, list[WeighedPath]] = {True: [], False: []}
        besides = 1.0
        for reason in explanation.reasons:
            over_people = any(step.entity == SOMEONE for step in reason.steps)
            besides -= reason.share if over_people else 0.0
            if hops := _told_hops(reason, int(explanation.movie_id), history):
                paths[over_people].append((hops, reason.share))
        return cls(paths[False], paths[True], max(0.0, besides), explanation.n_paths)


def _kprn() -> Explainer | None:
    try:
        predictor = registry().get(KPRN)
    except PredictorError:
        return None
    return predictor if isinstance(predictor, Explainer) else None


def _weighed(weigher: Explainer, ids: Sequence[int], history: History, most: int) -> dict[int, _Told]:
    """Ask for all films at once, for those of the history one by one."""
    told: dict[int, _Told] = {}
    fresh = [pk for pk in ids if pk not in history.strength]
    groups = [(fresh, history)] if fresh else []
    groups += [([pk], own_history(history, pk)) for pk in ids if pk in history.strength]
    for some, known in groups:
        if not known.liked:
            continue
        for explanation in weigher.explain(known, some, max(most, CANDIDATES)):
            told[int(explanation.movie_id)] = _Told.of(explanation, known)
    return told


def _told_hops(reason: PathReason, movie_id: int, history: History) -> tuple[Hop, ...]:
    """The path, if it leads from a film that was liked to this one, past none that was disliked."""
    hops = hops_of(reason)
    if not hops or hops[-1].after != movie_id or hops[0].before not in history.strength:
        return ()
    return () if any(hop.after in history.disliked for hop in hops) else hops


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown of what was told: see the fields of `Why`."""

    shares: Shares = Shares()
    of_all: float = 1.0
    also: Phrase | None = None

    @classmethod
    def of(cls, told: _Told, catalogue: CatalogueNow, history: History, most: int, with_also: bool) -> _Shown:
        telling = [path for path in told.facts if all(hop.kind in TELLING for hop in path[0])]
        first, weight = _grouped(telling, 0.0, catalogue, history, most)
        if first and not with_also:
            return cls(first, weight)
        few, others = _affordable(told.tastes)
        catalogue.count_people(hops for hops, _share in few)
        tastes, _weight = _grouped(few, told.besides + others, catalogue, history, most)
        if first:
            return cls(first, weight, tastes.reasons[0].phrase if tastes else None)
        return cls(tastes) if tastes else cls(*_grouped(told.facts, 0.0, catalogue, history, most))


def _grouped(
    paths: Sequence[WeighedPath], rest: float, catalogue: CatalogueNow, history: History, most: int
) -> tuple[Shares, float]:
    """The weightiest groups of paths that are true, with the weight of all that is not shown apart.

    Paths that lead over the same person, genre, country or decade, or over other people, from several films
    of the history are one reason. Also returns what the true paths weigh.
    """
    groups: dict[tuple[Any, ...], list[tuple[tuple[Link, ...], float]]] = {}
    for hops, share in paths:
        if links := catalogue.links(hops):
            groups.setdefault(_says(links), []).append((links, share))
    weighed = [(sum(share for _links, share in group), group) for group in groups.values()]
    weighed.sort(key=lambda one: -one[0])
    rest += sum(weight for weight, _group in weighed[most:])
    rows = []
    for weight, group in weighed[:most]:
        routes = [links for links, _share in group]
        chains = tuple(_chain(links, catalogue, history) for links in routes[:MOST_DRAWN])
        rows.append((routes[0][-1].node.kind, sentence(routes, history), weight, chains))
    return _as_shares(rows, rest), sum(weight for weight, _group in weighed)


def _affordable(paths: Sequence[WeighedPath]) -> tuple[list[WeighedPath], float]:
    """The paths over people that are looked up, and the weight of the others."""
    chosen, rest, looked_up = [], 0.0, 0
    for hops, share in paths:
        costs = sum(hop.kind == "people" for hop in hops)
        if looked_up + costs > MOST_LOOKED_UP:
            rest += share
        else:
            looked_up += costs
            chosen.append((hops, share))
    return chosen, rest


def _says(links: Sequence[Link]) -> tuple[Any, ...]:
    """What two paths have in common that are one reason; long ones have each a reason of their own."""
    last = links[-1]
    if len(links) > 1:
        return tuple((link.before.pk, link.node.kind, link.node.name) for link in links)
    of_people = last.node.kind == "people"  # whoever they are
    return (last.node.kind, "" if of_people else last.node.name, last.roles_before)


def _as_shares(rows: Sequence[tuple[str, Phrase, float, tuple[Chain, ...]]], rest: float) -> Shares:
    """Weights as shares of their sum."""
    total = sum(row[2] for row in rows) + rest
    if not rows or total <= 0:
        return Shares()
    shares = [row[2] / total for row in rows]
    percents = whole_percents([*shares, rest / total])
    reasons = tuple(
        ShownReason(kind, phrase, share, percent, chains)
        for (kind, phrase, _weight, chains), share, percent in zip(rows, shares, percents, strict=False)
    )
    return Shares(reasons, rest / total, percents[-1])


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Shares of 1 as whole percents that sum to 100: what is left over goes to the largest remainders."""
    floors = [int(100 * share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda place: floors[place] - 100 * shares[place])
    for place in by_remainder[: 100 - sum(floors)]:
        floors[place] += 1
    return floors


def _chain(links: Sequence[Link], catalogue: CatalogueNow, history: History) -> Chain:
    """You - Heat - Michael Mann - Collateral."""
    first = links[0].before
    stops = [
        Stop(Node("you", gettext("You"), reverse("pages:history"))),
        Stop(first, what_you_did(first, history), _film_of(first, catalogue)),
    ]
    for link in links:
        stops.append(Stop(link.node, role_names(link.roles_before)))
        stops.append(Stop(link.after, role_names(link.roles_after), _film_of(link.after, catalogue)))
    return tuple(stops)


def _film_of(node: Node, catalogue: CatalogueNow) -> Movie:
    return catalogue.films[cast(int, node.pk)]


# -- what the score came from ------------------------------------------------------------------------------


def _in_detail(why: Why, history: History, most: int) -> Why:
    is_told = why.model in (KPRN, why.source) or why.model in THE_SAME_FOR_ALL
    return why if is_told else replace(why, influences=_influences(why, history, most))


def _influences(why: Why, history: History, most: int) -> Shares:
    """What moved the score of the model that answered."""
    if why.model not in MODEL_INFO or why.model == MOST_RATED or len(history.liked) < 2:
        return Shares()
    try:
        moved = influence(registry().get(why.model), history, why.movie.pk)
    except PredictorError:
        return Shares()
    catalogue = CatalogueNow((), besides=[int(film.movie_id) for film in moved])
    seen_here = [film for film in moved if film.movie_id in catalogue.films]
    rows = [
        ("film", film_of_yours(catalogue.node_of(int(film.movie_id)), history), film.share, ())
        for film in seen_here[:most]
    ]
    return _as_shares(rows, sum(film.share for film in seen_here[most:]))


def _instead(film: Movie, model: str, history: History) -> str:
    """What the score of a film came from that nothing connects to the history."""
    facts: Mapping[str, object] = {
        "model": MODEL_INFO[model].label if model in MODEL_INFO else "",
        "summary": MODEL_INFO[model].summary if model in MODEL_INFO else "",
    }
    if model in THE_SAME_FOR_ALL:
        said = gettext("%(model)s is the same for everyone. %(summary)s") % facts
        ratings = mean_sentence(film)
        return f"{said} {ratings}." if ratings else said
    if not history.liked:
        return gettext("You have not liked a film yet, so nothing here is about your taste.")
    if model in MODEL_INFO:
        return (
            gettext(
                "Nothing in the catalogue connects it to a film you liked. "
                "Its score came from %(model)s. %(summary)s"
            )
            % facts
        )
    return gettext("Nothing in the catalogue connects it to a film you liked.")
