"""New films in the lists: those that came after a model was trained are ranked by their content.

`with_new_films` is the one door. It reads the content of the films that a version knows once, and that of the
new ones whenever the catalogue has changed, so that a film is in the lists of the process that took it in at
once, and in those of others within `movie_index.CHECK_SECONDS`. A version that takes over from another has
what it needs before it serves (`prepare`), so that no visitor waits for it. The next training makes a film
like the others; one that came while a training ran is new to the version that it made.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from scipy import sparse

from movie.catalogue.models import Credit, Movie, MovieTag
from movie.core.replicas import reading_primary
from movie.core.shared_arrays import share
from movie.recommendations.movie_index import MovieIndex, movie_index
from movie.recommendations.ranked_list import trained_at
from movie.training.model_info import IMPERSONAL_MODELS
from predictors.base import Predictor
from predictors.content import Content, ContentEncoder, decade_of, hash_contents, words_of
from predictors.id_map import IdMap
from predictors.new_items import ContentBridge, WithNewItems

MOST_NEW = 200  # films, the latest ones: more are a catalogue that models should be trained on
AT_ONCE = 2_000  # films whose content is read by one query
LEADS = 5  # of the cast, in billing order
MOST_TAGS = 10  # of a film


@dataclass(slots=True)
class _Known:
    """Holds what is kept of one version of a model: `extended` is None where no film is new to it."""

    ids: IdMap
    encoder: ContentEncoder | None = None
    features: sparse.csr_matrix | None = None
    index: MovieIndex | None = None
    bridge: ContentBridge | None = None
    extended: IdMap | None = None
    served: WithNewItems | None = None


class _NewFilms:
    """Keeps the content of films by model, in this process."""

    def __init__(self) -> None:
        self.by_name: dict[str, _Known] = {}
        self.prepared: dict[str, _Known] = {}  # of versions that are about to serve
        self.lock = threading.Lock()

    def prepare(self, predictor: Predictor) -> None:
        """Read what a version needs before it serves, while the one before it goes on.

        Closes the database connection that it opened, so that a thread that loads a version leaves none.
        """
        since = find_cutoff(predictor)
        if since is None or predictor.name in IMPERSONAL_MODELS:
            return
        served = self.by_name.get(predictor.name)
        was_used = served is not None and served.features is not None
        was_open = connection.connection is not None
        try:
            known = _Known(predictor.ids)
            known = _read_films(known, predictor, movie_index(), since, with_content=was_used)
        finally:
            if not was_open:
                connection.close()
        self.prepared[predictor.name] = known

    def join(self, predictor: Predictor) -> Predictor:
        """Return a predictor that ranks the new films too, or the same one where there are none.

        A model that is the same for everybody says what others met, so new films have no part in it.
        """
        since = find_cutoff(predictor)
        if since is None or predictor.name in IMPERSONAL_MODELS:
            return predictor
        index = movie_index()
        known = self.by_name.get(predictor.name)
        if known is None or known.ids is not predictor.ids or known.index is not index:
            with self.lock:
                known = self._renew(predictor, index, since)
        if known.bridge is None or known.extended is None:
            return predictor
        served = known.served
        if served is None or served.inner is not predictor:
            served = known.served = WithNewItems(predictor, known.bridge, known.extended)
        return served

    def _renew(self, predictor: Predictor, index: MovieIndex, since: datetime) -> _Known:
        known = self.by_name.get(predictor.name)
        if known is None or known.ids is not predictor.ids:
            known = self.prepared.pop(predictor.name, None)
            if known is None or known.ids is not predictor.ids:
                known = _Known(predictor.ids)
        if known.index is not index:  # else somebody else was faster
            known = _read_films(known, predictor, index, since)
        self.by_name[predictor.name] = known
        return known


@reading_primary()
def _read_films(
    known: _Known, predictor: Predictor, index: MovieIndex, since: datetime, *, with_content: bool = False
) -> _Known:
    """Return what is kept of a version, of the movies of this index; `with_content` even if none is new."""
    made = _Known(known.ids, known.encoder, known.features, index)
    ids = [pk for pk in index.added_since(since) if predictor.ids.index_of(pk) is None]
    new = sorted(ids[:MOST_NEW])
    if (new or with_content) and made.features is None:
        contents = hash_contents(contents_of([int(pk) for pk in predictor.ids]))
        made.encoder = ContentEncoder.fit(contents)
        made.features = _shared_matrix(made.encoder.encode(contents))
    if new and made.encoder is not None and made.features is not None:
        of_new = made.encoder.encode(hash_contents(contents_of(new)))
        made.bridge = known.bridge.with_new(of_new) if known.bridge else ContentBridge(made.features, of_new)
        made.extended = _shared_ids(IdMap([*predictor.ids, *new]))
    return made


def _shared_matrix(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return an equal matrix whose arrays the processes of this machine share."""
    matrix.sum_duplicates()  # which sorts in place, too
    arrays = share("content", {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr})
    return sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), matrix.shape)


def _shared_ids(ids: IdMap) -> IdMap:
    arrays = ids.arrays()
    return ids if arrays is None else IdMap.from_arrays(share("ids", arrays))


_new_films = _NewFilms()
with_new_films, prepare = _new_films.join, _new_films.prepare


def find_cutoff(predictor: Predictor) -> datetime | None:
    """Return when the rows of a version were read, or else when it was made: later films are new to it.

    None for a version whose name has no time.
    """
    made = trained_at(predictor.version)
    if made is None:
        return None
    try:
        return datetime.fromisoformat(predictor.meta["data"]["read_at"])
    except (KeyError, TypeError, ValueError):  # an older version has none
        return made


def contents_of(movie_ids: Sequence[int]) -> Iterator[Content]:
    """Yield what is known of each movie, in this order: genres, decade, languages, people, tags, words."""
    for start in range(0, len(movie_ids), AT_ONCE):
        ids = movie_ids[start : start + AT_ONCE]
        found = _contents(ids)
        yield from (found.get(pk, {}) for pk in ids)


def _contents(movie_ids: Sequence[int]) -> dict[int, dict[str, list[str]]]:
    contents: dict[int, dict[str, list[str]]] = {}
    films = Movie.objects.filter(pk__in=movie_ids).order_by()
    for pk, title, year, synopsis in films.values_list("pk", "title", "year", "synopsis"):
        contents[pk] = defaultdict(list, decade=decade_of(year), word=words_of(f"{title} {synopsis}"))
    named = (
        ("genre", Movie.genres.through.objects.values_list("movie_id", "genre__name")),
        ("language", Movie.languages.through.objects.values_list("movie_id", "language__name")),
    )
    for field, pairs in named:
        for pk, name in pairs.filter(movie__in=movie_ids).order_by():
            contents[pk][field].append(name)
    credits = Credit.objects.filter(movie__in=movie_ids).order_by("order", "pk")
    for pk, role, person in credits.values_list("movie_id", "role", "person_id"):
        if role != Credit.Role.CAST or len(contents[pk][role]) < LEADS:
            contents[pk][role].append(str(person))
    tags = MovieTag.objects.filter(movie__in=movie_ids).order_by("-count", "name")
    for pk, name in tags.values_list("movie_id", "name"):
        if len(contents[pk]["tag"]) < MOST_TAGS:
            contents[pk]["tag"].append(name)
    return contents
