"""Every request of the API, described once: method, address, body, and the type of the answer."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from reelgraph_client.answers import (
    Activated,
    Arm,
    Batch,
    Experiment,
    ExperimentResults,
    Genre,
    HistoryPage,
    Model,
    MovieDetail,
    MoviePage,
    MoviesWritten,
    OwnMovie,
    PeoplePage,
    Promoted,
    Recommendations,
    Recorded,
    SearchPage,
    Similar,
    UserPage,
)
from reelgraph_client.reading import read_value
from reelgraph_client.requests import (
    ExperimentMetric,
    Filters,
    History,
    HistoryEntry,
    Interaction,
    MovieRef,
    MovieUpdate,
    Rules,
    Sort,
    moment_json,
    ref_json,
    without_none,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_BATCH = 1_000  # entries of a batch of lists


@dataclass(frozen=True, slots=True)
class _Models:
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class _Experiments:
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True, slots=True)
class _Genres:
    genres: tuple[Genre, ...]


@dataclass(frozen=True, slots=True)
class _Hidden:
    movie_id: int
    visible: bool


@dataclass(frozen=True, slots=True)
class _Forgotten:
    deleted: int


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """A request. A `repeatable` one has no second effect when it is sent again."""

    method: str
    path: str
    read: Callable[[Any], T_co]
    params: Sequence[tuple[str, str]] = ()
    json: Any = None
    repeatable: bool = True


def _as(kind: type[T]) -> Callable[[Any], T]:
    def read(content: Any) -> T:
        return typing.cast(T, read_value(kind, content))

    return read


def _query(**pairs: str | int | float | bool | Sequence[str] | None) -> list[tuple[str, str]]:
    found = []
    for name, value in pairs.items():
        for each in [value] if isinstance(value, str | int | float) else value or ():
            found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return found


def _part(value: MovieRef) -> str:
    """Return a value as one segment of an address."""
    return quote(str(value), safe="")


def _history(history: History) -> list[Any]:
    return [each._json() if isinstance(each, HistoryEntry) else ref_json(each) for each in history]


def _ranking_options(
    *,
    model: str | None,
    k: int | None,
    exclude_seen: bool,
    exclude: Iterable[MovieRef],
    candidates: Iterable[MovieRef] | None,
    offset: int,
    filters: Filters | None,
    rules: Rules | None,
    diversity: float,
    familiarity: float,
) -> dict[str, Any]:
    return without_none(
        {
            "model": model,
            "k": k,
            "exclude_seen": exclude_seen,
            "exclude": [ref_json(each) for each in exclude],
            "candidates": None if candidates is None else [ref_json(each) for each in candidates],
            "offset": offset,
            "filters": None if filters is None else filters._json(),
            "rules": None if rules is None else rules._json(),
            "diversity": float(diversity),
            "familiarity": float(familiarity),
        }
    )


def recommend(
    *,
    user_id: str | None = None,
    history: History | None = None,
    model: str | None = None,
    k: int | None = None,
    exclude_seen: bool = True,
    exclude: Iterable[MovieRef] = (),
    candidates: Iterable[MovieRef] | None = None,
    offset: int = 0,
    filters: Filters | None = None,
    rules: Rules | None = None,
    diversity: float = 0.0,
    familiarity: float = 0.0,
    explain: bool = False,
    endless: bool = False,
    after: str | None = None,
    id_space: str | None = None,
) -> Call[Recommendations]:
    """Rank films for a known user, or for a history (film ids or `HistoryEntry`, oldest first).

    Give either `user_id` or `history`. Nothing is stored of what is recommended. `candidates` are ranked and
    nothing else is; without `k` there are 20 films, or all candidates. `offset` skips films. An `endless`
    list is remembered for a day, so that one `after` its recommendation_id leaves its films out. `id_space`
    adds each film's id of that source.
    """
    if (user_id is None) == (history is None):
        raise ValueError("give either user_id or history")
    asker = {"user_id": user_id} if history is None else {"history": _history(history)}
    body = {
        **asker,
        **_ranking_options(
            model=model,
            k=k,
            exclude_seen=exclude_seen,
            exclude=exclude,
            candidates=candidates,
            offset=offset,
            filters=filters,
            rules=rules,
            diversity=diversity,
            familiarity=familiarity,
        ),
        "explain": explain,
        "endless": endless,
        **without_none({"after": after}),
    }
    return Call("POST", "recommend", _as(Recommendations), _query(id_space=id_space), body)


def recommend_to(
    user_id: str,
    *,
    k: int = 20,
    model: str | None = None,
    explain: bool = False,
    offset: int = 0,
    id_space: str | None = None,
) -> Call[Recommendations]:
    """Rank films for a known user, with the defaults of `recommend`."""
    params = _query(k=k, model=model, explain=explain, offset=offset, id_space=id_space)
    return Call("GET", f"recommend/{_part(user_id)}", _as(Recommendations), params)


def recommend_batch(
    entries: Sequence[str | History],
    *,
    model: str | None = None,
    k: int | None = None,
    exclude_seen: bool = True,
    exclude: Iterable[MovieRef] = (),
    candidates: Iterable[MovieRef] | None = None,
    offset: int = 0,
    filters: Filters | None = None,
    rules: Rules | None = None,
    diversity: float = 0.0,
    familiarity: float = 0.0,
    id_space: str | None = None,
) -> Call[Batch]:
    """Rank films for many: an entry is a user id or a history. At most MAX_BATCH of them.

    An entry that cannot be answered has an `error` as its result.
    """
    askers = [{"user_id": each} if isinstance(each, str) else {"history": _history(each)} for each in entries]
    body = {
        "entries": askers,
        **_ranking_options(
            model=model,
            k=k,
            exclude_seen=exclude_seen,
            exclude=exclude,
            candidates=candidates,
            offset=offset,
            filters=filters,
            rules=rules,
            diversity=diversity,
            familiarity=familiarity,
        ),
    }
    return Call("POST", "recommend/batch", _as(Batch), _query(id_space=id_space), body)


def movies_page(
    *,
    genre: Sequence[str] = (),
    without_genre: Sequence[str] = (),
    year_from: int | None = None,
    year_to: int | None = None,
    language: str | None = None,
    country: str | None = None,
    external_id: Sequence[MovieRef] = (),
    sort: Sort = "popular",
    id_space: str | None = None,
    page: int = 1,
    page_size: int = 100,
) -> Call[MoviePage]:
    """Return one page of the films that have every `genre`, none of `without_genre`, one of `external_id`."""
    params = _query(
        genre=_as_list(genre),
        without_genre=_as_list(without_genre),
        year_from=year_from,
        year_to=year_to,
        language=language,
        country=country,
        external_id=[str(each) for each in external_id],
        sort=sort,
        id_space=id_space,
        page=page,
        page_size=page_size,
    )
    return Call("GET", "movies", _as(MoviePage), params)


def _as_list(names: Sequence[str]) -> list[str]:
    """Return names as a list; a single string is one name."""
    return [names] if isinstance(names, str) else list(names)


def movie(movie_id: MovieRef, *, id_space: str | None = None) -> Call[MovieDetail]:
    """Return everything the catalogue knows about a film."""
    return Call("GET", f"movies/{_part(movie_id)}", _as(MovieDetail), _query(id_space=id_space))


def put_some(films: Sequence[MovieUpdate]) -> Call[MoviesWritten]:
    return Call("PUT", "movies", _as(MoviesWritten), json=[each._json() for each in films])


def change_movie(film: MovieUpdate) -> Call[OwnMovie]:
    """Change what is stated of a film, a hidden one too, and return all of it."""
    stated = {name: value for name, value in film._json().items() if name != "id"}
    return Call("PATCH", f"movies/{_part(film.id)}", _as(OwnMovie), json=stated)


def hide_movie(movie_id: MovieRef) -> Call[int]:
    """Hide a film from everybody; return its number. Its ratings stay."""

    def read(content: Any) -> int:
        return _as(_Hidden)(content).movie_id

    return Call("DELETE", f"movies/{_part(movie_id)}", read)


def genres() -> Call[tuple[Genre, ...]]:
    """Return the genres of films that are shown, by name."""
    return Call("GET", "genres", lambda content: _as(_Genres)(content).genres)


def people_page(q: str | None = None, *, page: int = 1, page_size: int = 100) -> Call[PeoplePage]:
    """Return one page of people: by name, or those that `q` names, the best match first."""
    return Call("GET", "people", _as(PeoplePage), _query(q=q, page=page, page_size=page_size))


def similar(movie_id: MovieRef, *, k: int = 20, id_space: str | None = None) -> Call[Similar]:
    """Return films that the same people liked."""
    return Call("GET", f"movies/{_part(movie_id)}/similar", _as(Similar), _query(k=k, id_space=id_space))


def search(q: str, *, page: int = 1, page_size: int = 100, id_space: str | None = None) -> Call[SearchPage]:
    """Find films by title in any language, and people by name; the best match is first."""
    params = _query(q=q, page=page, page_size=page_size, id_space=id_space)
    return Call("GET", "search", _as(SearchPage), params)


def record(interaction: Interaction) -> Call[Recorded]:
    """Store one interaction. When this returns it is safe; sent again it has no second effect."""
    return Call("POST", "interactions", _as(Recorded), json=interaction._json())


def record_some(interactions: Sequence[Interaction], *, atomic: bool) -> Call[Recorded]:
    body = [each._json() for each in interactions]
    return Call("POST", "interactions", _as(Recorded), _query(atomic=atomic), body)


def history_page(
    visitor: str, *, limit: int = 200, cursor: str = "", id_space: str | None = None
) -> Call[HistoryPage]:
    """Return one page of a visitor's interactions, newest first."""
    params = _query(limit=limit, cursor=cursor or None, id_space=id_space)
    return Call("GET", f"visitors/{_part(visitor)}/history", _as(HistoryPage), params)


def forget(visitor: str, *, movie_id: MovieRef | None = None) -> Call[int]:
    """Delete the history of one of your own visitors, or its part about one film; return its size."""

    def read(content: Any) -> int:
        return _as(_Forgotten)(content).deleted

    film = None if movie_id is None else str(movie_id)
    return Call("DELETE", f"visitors/{_part(visitor)}/history", read, _query(movie_id=film))


def users_page(*, limit: int = 1_000, cursor: str = "") -> Call[UserPage]:
    """Return one page of the users of data sets and, with the scope `read`, of your own visitors."""
    return Call("GET", "users", _as(UserPage), _query(limit=limit, cursor=cursor or None))


def models() -> Call[tuple[Model, ...]]:
    """Return the models, their versions, and the metrics of the active one."""
    return Call("GET", "models", lambda content: _as(_Models)(content).models)


def activate(name: str, version: str) -> Call[Activated]:
    """Verify a version of a model and make it serve."""
    address = f"models/{_part(name)}/activate"
    return Call("POST", address, _as(Activated), json={"version": version}, repeatable=False)


def experiments() -> Call[tuple[Experiment, ...]]:
    """Return all experiments."""
    return Call("GET", "experiments", lambda content: _as(_Experiments)(content).experiments)


def create_experiment(
    name: str,
    arms: Sequence[Arm],
    *,
    question: str = "",
    metric: ExperimentMetric = "ctr",
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Call[Experiment]:
    """Store an experiment that is not started yet. The shares add up to 1, and one arm is the control."""
    body = {
        "name": name,
        "question": question,
        "metric": metric,
        "starts_at": moment_json(starts_at),
        "ends_at": moment_json(ends_at),
        "arms": [dataclasses.asdict(arm) for arm in arms],
    }
    return Call("POST", "experiments", _as(Experiment), json=body, repeatable=False)


def start_experiment(name: str) -> Call[Experiment]:
    """Start a draft. Raises Conflict where a model is not trained or another experiment runs."""
    return Call("POST", f"experiments/{_part(name)}/start", _as(Experiment))


def stop_experiment(name: str) -> Call[Experiment]:
    """End an experiment for good."""
    return Call("POST", f"experiments/{_part(name)}/stop", _as(Experiment))


def delete_experiment(name: str) -> Call[Experiment]:
    """Delete an experiment that has not begun; return what it was. Raises Conflict for one that has run."""
    return Call("DELETE", f"experiments/{_part(name)}", _as(Experiment), repeatable=False)


def promote(name: str, arm: str) -> Call[Promoted]:
    """Make the model of an arm the site's default, whatever the verdict, and end the experiment."""
    address = f"experiments/{_part(name)}/promote"
    return Call("POST", address, _as(Promoted), json={"arm": arm}, repeatable=False)


def experiment(name: str) -> Call[ExperimentResults]:
    """Return the results of an experiment so far."""
    return Call("GET", f"experiments/{_part(name)}", _as(ExperimentResults))


class PageOf(Protocol[T_co]):
    """A page of a list, with its items and the mark of the next page."""

    @property
    def _items(self) -> tuple[T_co, ...]: ...
    @property
    def next(self) -> str | None: ...


def page_after(call: Call[T], page: PageOf[Any]) -> Call[T] | None:
    """Return the call for the page after this one: by its cursor, or by its number."""
    if page.next is None:
        return None
    params = dict(call.params)  # a page has each of these once
    mark = {"page": str(int(params["page"]) + 1)} if "page" in params else {"cursor": page.next}
    others = [(name, value) for name, value in call.params if name not in mark]
    return dataclasses.replace(call, params=[*others, *mark.items()])
