"""The one module that calls predictors: from a visitor's history to films on a page.

A list names the model that answered. When the model that was asked for cannot answer, the next one
of `DEFAULT_MODELS` does and `RankedList.fallback` says why; with no trained model at all the films
with most ratings are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from movie.cached_lists import cached_ranking
from movie.experiments import Assigned, default_models
from movie.interactions import history_of, new_event_id
from movie.metrics import ListOfFilms, count_fallback
from movie.models import Movie, TrainingRun
from movie.request_log import handed_out
from movie.templatetags.reelgraph import stars
from predictors.base import Predictor
from predictors.capabilities import ExplainsScores, FindsSimilar, PredictsStars
from predictors.errors import ArtifactError, CannotAnswer, PredictorError
from predictors.history import History, MovieId, Reason, Recommendation
from predictors.plugins import MODELS, predictor_class
from predictors.serving.registry import ModelStore, Registry

MOST_RATED = "most_rated"  # the answer of last resort, straight from the database
TRENDING = "trending"
COUNTED = (MOST_RATED, TRENDING)  # by the site itself: nothing to train or to choose
STAR_PREDICTOR = "mf"
RATINGS_TO_EXPECT_FROM = 2  # with fewer the expected stars are hardly more than the film's mean
HIDDEN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class About:
    label: Promise | str
    summary: Promise | str


class _ModelInfo(Mapping[str, About]):
    """Label and summary of every model: built-in ones in the site's languages, then those of packages."""

    def __init__(self, translated: dict[str, About]) -> None:
        self._translated = translated

    def __getitem__(self, name: str) -> About:
        if name in self._translated:
            return self._translated[name]
        if name not in MODELS:
            raise KeyError(name)
        try:
            kind = predictor_class(name)
        except PredictorError:
            return About(name, "")
        return About(kind.label or name, kind.summary)

    def __iter__(self) -> Iterator[str]:
        yield from self._translated
        yield from (name for name in MODELS if name not in self._translated)

    def __len__(self) -> int:
        return sum(1 for _name in self)


_TRANSLATED = {
    "for_you": About(
        _("For you"),
        _("Several models as one, each counting as much as the length of your history warrants."),
    ),
    "popular": About(_("Popular"), _("What everyone rates highly, recent votes counting more.")),
    "neighbours": About(_("Item neighbours"), _("Films that the same people liked as the ones you liked.")),
    "linear_sequence": About(
        _("Linear sequence"), _("A linear model of what people watch next, recent films counting more.")
    ),
    "sasrec": About(_("SASRec"), _("A self-attentive network that reads your history as a sequence.")),
    "ease": About(
        _("EASE"), _("Weighs every pair of films at once, so that each explains what the others cannot.")
    ),
    "als": About(_("Implicit ALS"), _("Taste as a vector, found from what you liked by one linear solve.")),
    "mf": About(_("Star predictor"), _("Learns from all ratings, low ones too, and predicts your stars.")),
    "graph_filter": About(
        _("Graph filter"), _("Smooths your likes over the graph of people and films; good from few films.")
    ),
    "lightgcn": About(
        _("LightGCN"), _("Averages tastes along the graph of people and films; you join it as a new node.")
    ),
    "ngcf": About(
        _("NGCF"), _("A neural network over the graph of people and films; you join it as a new node.")
    ),
    "kprn": About(
        _("KPRN"),
        _("Weighs the paths of people, genres and shared tastes that lead from your films to others."),
    ),
    MOST_RATED: About(_("Most rated"), _("The films with most ratings on this site.")),
    TRENDING: About(_("Trending"), _("Counts what people open, rate and save on this site.")),
}
ABOUT = _ModelInfo(_TRANSLATED)

WHY_NOT = {
    "history_too_short": _("%(model)s needs a film you liked first."),
    "no_known_films": _("%(model)s does not know the films of your history yet."),
    "not_trained": _("%(model)s is not trained yet."),
}


@dataclass(slots=True)
class RankedMovie:
    movie: Movie
    rank: int
    score: float
    reason: str = ""


@dataclass(slots=True)
class RankedList:
    """A ranking on a page. `entries` are there after `hydrate`."""

    recommendation_id: str
    model: str
    version: str
    requested: str
    fallback: str = ""
    ranking: Sequence[Recommendation] = ()
    history: History = field(default_factory=History)
    entries: list[RankedMovie] = field(default_factory=list)
    like: MovieId | None = None  # the film that a row of similar films is about
    in_experiment: bool = False

    @property
    def why(self) -> str:
        """What a link to "Why?" says of this list; empty where nobody's taste is behind it."""
        if not self.history.liked or self.model == MOST_RATED:
            return ""
        return urlencode({"model": self.model} | ({} if self.like is None else {"like": self.like}))

    @property
    def model_label(self) -> str:
        return str(ABOUT[self.model].label)

    @property
    def summary(self) -> str:
        return str(ABOUT[self.model].summary)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    name: str
    label: str
    summary: str
    version: str
    available: bool
    training: TrainingRun | None = None


@lru_cache(maxsize=8)
def _registry_at(folder: Path, device: str) -> Registry:
    return Registry(ModelStore(folder), device=device)


def registry() -> Registry:
    """The live predictors of this process."""
    return _registry_at(settings.MODEL_DIR, settings.DEVICE)


def rank_for(
    visitor_key: str,
    *,
    k: int = 20,
    model: str | None = None,
    exclude: Iterable[int] = (),
    history: History | None = None,
    assigned: Assigned | None = None,
) -> RankedList:
    """The k films for this visitor as ids; `hydrate` turns them into films.

    Give `history` when it was read already. An unknown `model` counts as none asked for. `assigned` is
    the arm of an experiment; it answers a visitor who asked for no model, and the list's id tells of it.
    """
    history = history_of(visitor_key) if history is None else history
    hidden = {*exclude, *hidden_ids()}
    assigned = None if model else assigned
    requested = fallback = ""
    for name in _chain(assigned.predictor if assigned else model):
        requested = requested or name
        try:
            predictor = registry().get(name)
            ranking = _ranking(predictor, name, history, k, hidden)
        except CannotAnswer as cannot:
            why = cannot.reason
        except ArtifactError:
            why = "not_trained"
        else:
            return RankedList(
                recommendation_id=_list_id(assigned, name),
                model=name,
                version=predictor.version,
                requested=requested,
                fallback=fallback if model else "",
                ranking=ranking,
                history=history,
                in_experiment=assigned is not None,
            )
        if name == requested:
            count_fallback(name, why)
            fallback = WHY_NOT.get(why, WHY_NOT["not_trained"]) % {"model": ABOUT[name].label}
    seen = {*hidden, *history.seen}
    ids = list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[: k + len(seen)])
    best = [Recommendation(pk, 0.0) for pk in ids if pk not in seen][:k]
    return RankedList(
        recommendation_id=_list_id(assigned, MOST_RATED),
        model=MOST_RATED,
        version="",
        requested=requested or MOST_RATED,
        fallback=fallback,
        ranking=best,
        history=history,
        in_experiment=assigned is not None,
    )


def recommend_for(
    visitor_key: str,
    *,
    k: int = 20,
    model: str | None = None,
    exclude: Iterable[int] = (),
    history: History | None = None,
) -> RankedList:
    """`rank_for`, with the films read from the database in one query."""
    ranked = rank_for(visitor_key, k=k, model=model, exclude=exclude, history=history)
    hydrate(ranked)
    return ranked


def rank_similar(movie: Movie, history: History = History.EMPTY, k: int = 12) -> RankedList:
    """Films like this one without those the visitor has seen, as ids."""
    taken = {movie.pk, *history.seen, *hidden_ids()}
    requested = "neighbours"
    try:
        predictor = registry().get(requested)
        if not isinstance(predictor, FindsSimilar):
            raise CannotAnswer("not_supported", f"{requested} does not rank similar films")
        similar = predictor.similar(movie.pk, k + len(taken))
    except PredictorError as error:
        count_fallback(requested, error.reason if isinstance(error, CannotAnswer) else "not_trained")
        genres = movie.genres.all()
        alike = (
            Movie.objects.visible()
            .filter(genres__in=genres)
            .annotate(shared=Count("pk"))
            .order_by("-shared", "-rating_count", "pk")
            .values_list("pk", flat=True)
        )
        ranking = [Recommendation(pk, 0.0) for pk in alike[: k + len(taken)] if pk not in taken][:k]
        fallback = gettext("Chosen by genre: no trained model knows this film yet.")
        return RankedList(new_event_id(), MOST_RATED, "", requested, fallback, ranking, history)
    ranking = [found for found in similar if found.movie_id not in taken][:k]
    return RankedList(new_event_id(), "neighbours", predictor.version, requested, "", ranking, history)


def similar_to(movie: Movie, history: History = History.EMPTY, k: int = 12) -> RankedList:
    """`rank_similar`, with the films read."""
    ranked = rank_similar(movie, history, k)
    hydrate(ranked)
    return ranked


def rank_one(movie_id: int, history: History = History.EMPTY) -> RankedList:
    """This film alone, with the reason it would have in the visitor's list; for the film's own page."""
    if movie_id in history.strength:  # the click that led to its page is no reason for it
        history = History(event for event in history if event.movie_id != movie_id)
    ranking = _with_reasons(None, history, [Recommendation(movie_id, 0.0)])
    return RankedList(new_event_id(), "neighbours", "", "neighbours", "", ranking, history)


def expected_stars(history: History, movie_id: MovieId) -> float | None:
    """The stars, in halves, that the star predictor expects this visitor to give a film.

    None with fewer than two ratings to go by, for a film they rated, and where no predictor is active
    or it does not know the film.
    """
    if len(history.ratings) < RATINGS_TO_EXPECT_FROM or movie_id in history.ratings:
        return None
    try:
        predictor = registry().get(STAR_PREDICTOR)
    except PredictorError:
        return None
    if not isinstance(predictor, PredictsStars):
        return None
    stars_expected = predictor.predict_stars(history, [movie_id]).get(movie_id)
    return None if stars_expected is None else round(stars_expected * 2) / 2


def hydrate(*lists: RankedList) -> None:
    """Read the films of all these lists at once (one query in all) and fill their entries."""
    handed_out(
        ListOfFilms(ranked.recommendation_id, ranked.model, [int(found.movie_id) for found in ranked.ranking])
        for ranked in lists
        if ranked.version or ranked.model in COUNTED  # not what `rank_one` made
    )
    wanted: dict[MovieId, None] = {}
    for ranked in lists:
        for found in ranked.ranking:
            wanted[found.movie_id] = None
            wanted.update({reason.movie_id: None for reason in found.reasons if reason.movie_id is not None})
    films: dict[MovieId, Movie] = {
        film.pk: film for film in Movie.objects.visible().filter(pk__in=wanted).defer("synopsis")
    }
    for ranked in lists:
        shown = [found for found in ranked.ranking if found.movie_id in films]
        ranked.entries = [
            RankedMovie(films[found.movie_id], rank, found.score, _sentence(found, ranked, films))
            for rank, found in enumerate(shown, start=1)
        ]


def model_choices() -> list[ModelChoice]:
    """Every kind of model with what it is, and whether it can be chosen now."""
    store = registry().store
    running = {run.model: run for run in TrainingRun.objects.alive()}
    return [
        ModelChoice(
            name=name,
            label=str(about.label),
            summary=str(about.summary),
            version=store.current(name),
            available=bool(store.current(name)),
            training=running.get(name),
        )
        for name, about in ABOUT.items()
        if name not in COUNTED
    ]


def forget_hidden_films() -> None:
    """Call when a film was hidden or shown."""
    cache.delete("hidden-films")


def hidden_ids() -> list[int]:
    """Films no visitor may see, at most 30 s old. `hydrate` filters again, so a stale answer only
    shortens a list."""
    hidden = cache.get("hidden-films")
    if hidden is None:
        hidden = list(Movie.objects.filter(is_visible=False).values_list("pk", flat=True))
        cache.set("hidden-films", hidden, HIDDEN_SECONDS)
    return hidden


def _chain(first: str | None) -> Iterator[str]:
    """Who is asked, one after another. The defaults are looked up only when it comes to them."""
    if first in ABOUT:
        yield str(first)
    yield from (name for name in default_models() if name in ABOUT and name != first)


def _list_id(assigned: Assigned | None, model: str) -> str:
    return assigned.list_id(fallback=model != assigned.predictor) if assigned else new_event_id()


def _ranking(
    predictor: Predictor, name: str, history: History, k: int, hidden: set[int]
) -> Sequence[Recommendation]:
    """The list with its reasons, from the cache when nothing changed since. Raises CannotAnswer."""
    try:
        reasoner = registry().get("neighbours").version
    except PredictorError:
        reasoner = ""
    versions = (name, predictor.version, reasoner)
    return cached_ranking(
        versions,
        history,
        k,
        hidden,
        lambda: _with_reasons(predictor, history, predictor.recommend(history, k, hidden)),
    )


def _with_reasons(
    predictor: Predictor | None, history: History, ranking: list[Recommendation]
) -> Sequence[Recommendation]:
    """Where the model cannot say why, point to the liked film that item neighbours find closest."""
    if not history.liked or any(found.reasons for found in ranking):
        return ranking
    try:
        neighbours = registry().get("neighbours")
    except PredictorError:
        return ranking
    if not isinstance(neighbours, ExplainsScores):
        return ranking
    query = neighbours.encode(history)
    indices = [neighbours.ids.index_of(found.movie_id) for found in ranking]
    known = [index for index in indices if index is not None]
    reasons = dict(zip(known, neighbours.reasons(query, known), strict=True))
    return [
        Recommendation(
            found.movie_id,
            found.score,
            tuple(_as_neighbours(reasons.get(index, ()) if index is not None else ())),
        )
        for found, index in zip(ranking, indices, strict=True)
    ]


def _as_neighbours(reasons: Iterable[Reason]) -> Iterable[Reason]:
    return (Reason("liked_together", reason.movie_id, reason.weight) for reason in reasons)


def _sentence(found: Recommendation, ranked: RankedList, films: dict[MovieId, Movie]) -> str:
    """One true line about why this film is here."""
    for reason in found.reasons:
        source = None if reason.movie_id is None else films.get(reason.movie_id)
        if source is None:
            continue
        if reason.kind == "liked_together":
            return gettext("People who liked %(title)s liked this too") % {"title": source.title}
        rating = ranked.history.ratings.get(source.pk)
        if rating is not None:
            return gettext("Because you rated %(title)s %(stars)s") % {
                "title": source.title,
                "stars": stars(rating),
            }
        if source.pk in ranked.history.watchlist:
            return gettext("Because %(title)s is on your watchlist") % {"title": source.title}
        return gettext("Because you looked at %(title)s") % {"title": source.title}
    return mean_sentence(films[found.movie_id])


def mean_sentence(movie: Movie) -> str:
    """ "4.1 from 512 ratings", or nothing for a film nobody rated."""
    if not movie.rating_count:
        return ""
    return ngettext(
        "%(mean)s from %(count)s rating", "%(mean)s from %(count)s ratings", movie.rating_count
    ) % {
        "mean": number_format(round(movie.rating_average or 0.0, 1), 1),
        "count": number_format(movie.rating_count, force_grouping=True),
    }
