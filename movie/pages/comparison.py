"""Compare the lists of all active models for one history, and read histories written by hand.

A history can be written as film ids or titles, so that a comparison has an address that can be shared:
`6:4.5, 50` or one title a line.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from movie.catalogue.availability import available_now
from movie.catalogue.models import HALF_STARS, Movie, MovieTitle
from movie.catalogue.titles import parse_title, search_key
from movie.recommendations.ranked_list import RankedList, load_movies
from movie.recommendations.ranking import recommend
from movie.training.model_info import MODEL_INFO, NOT_TRAINED, model_label
from movie.training.registry import registry
from predictors.errors import PredictorError
from predictors.history import HIGHEST_RATING, History
from predictors.plugins import MODELS

LONGEST_TEXT = 2000  # characters; as an address it has to pass every proxy on the way
MOST_FILMS = 200
NOTED_LENGTH = 40  # of what was not understood, as repeated to the visitor

_FILM = re.compile(r"([0-9]{1,18})(?::(\S*))?")  # "12" or "12:4.5"; longer numbers do not fit a column
_STARS_AFTER = re.compile(r"(?P<title>.+?)\s*:\s*(?P<stars>[0-9](?:\.[0-9])?)")
_BETWEEN = re.compile(r"[\s,;]+")
_COLON = re.compile(r"\s*:\s*")


# -- a history written by hand ------------------------------------------------------------------


@dataclass(slots=True)
class WrittenHistory:
    """A history as written: `films` in the order of the text, `notes` on what was left out and why."""

    history: History = History.EMPTY
    films: list[Movie] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_history(text: str) -> WrittenHistory:
    """Read film ids, each with stars after a colon or without, or one title a line; oldest first.

    A film without stars counts as one with five. What is not understood is left out and said. Costs
    two queries at most, none for an empty text.
    """
    written = WrittenHistory()
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rpartition("\n" if "\n" in text[:LONGEST_TEXT] else ",")[0]
        written.notes.append(
            gettext("Only the first %(count)d characters were read.") % {"count": LONGEST_TEXT}
        )
    named = list(_named_films(text.replace("\x00", ""), written.notes))
    films = {
        film.pk: film
        for film in Movie.objects.visible().filter(pk__in={pk for pk, _stars in named}).defer("synopsis")
    }
    stars: dict[int, float] = {}
    for pk, value in named:
        if pk not in films:
            _note(written.notes, gettext("There is no film %(value)s."), str(pk))
        elif len(stars) < MOST_FILMS or pk in stars:
            stars[pk] = value
    if len({pk for pk, _stars in named if pk in films}) > MOST_FILMS:
        written.notes.append(
            ngettext(
                "Only the first %(n)d film was used.", "Only the first %(n)d films were used.", MOST_FILMS
            )
            % {"n": MOST_FILMS}
        )
    written.films = [films[pk] for pk in stars]
    written.history = History.from_stars(stars)
    return written


def written_form(history: History) -> str:
    """Return the ratings of a history as `read_history` reads them, the latest that fit."""
    rated = [f"{film}:{value:g}" for film, value in history.ratings.items()][-MOST_FILMS:]
    while len(", ".join(rated)) > LONGEST_TEXT:
        del rated[0]
    return ", ".join(rated)


@dataclass(slots=True)
class _Line:
    """A line that is no list of ids, and the ways in which it can be read."""

    text: str
    readings: list[list[tuple[str, str]]]  # each a list of (title, stars as written)


def _named_films(text: str, notes: list[str]) -> Iterator[tuple[int, float]]:
    """Yield (film id, stars) in order. Ids are not looked up here, titles are."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    read: list[list[tuple[str, str]] | _Line] = [_ids(line) or _as_titles(line) for line in lines]
    by_key = _titles_called(title for line in read if isinstance(line, _Line) for title in _titles_in(line))
    for line in read:
        named = _best_reading(line, by_key, notes) if isinstance(line, _Line) else line
        for film, said in named:
            value = _stars(said)
            if value is None:
                wrong = f"{film}:{said}"
                _note(notes, gettext("“%(value)s” was left out: stars go from 0.5 to 5 in halves."), wrong)
            else:
                yield int(film), value


def _ids(line: str) -> list[tuple[str, str]]:
    """Return (id, stars as written) when the line is nothing but ids, else an empty list."""
    found = [_FILM.fullmatch(word) for word in _BETWEEN.split(_COLON.sub(":", line)) if word]
    return [(word[1], word[2] or "") for word in found if word] if all(found) else []


def _as_titles(line: str) -> _Line:
    """Return the readings of a line: as one title, with or without stars, or as titles between commas."""
    readings = [[(line, "")], [_title_and_stars(line)]]
    if "," in line:
        readings.append([_title_and_stars(part.strip()) for part in line.split(",") if part.strip()])
    return _Line(line, readings)


def _title_and_stars(text: str) -> tuple[str, str]:
    found = _STARS_AFTER.fullmatch(text)
    return (found["title"], found["stars"]) if found else (text, "")


def _titles_in(line: _Line) -> Iterator[str]:
    for reading in line.readings:
        for title, _said in reading:
            yield title
            yield parse_title(title).title


def _titles_called(titles: Iterable[str]) -> dict[str, list[tuple[int, int | None]]]:
    """Return (film id, year) of visible films by search key of the title, most rated first; one query."""
    found: dict[str, list[tuple[int, int | None]]] = {}
    keys = {search_key(title)[:255] for title in titles} - {""}
    if keys:
        rows = MovieTitle.objects.filter(available_now("movie__"), search_key__in=keys)
        rows = rows.order_by("-movie__rating_count", "movie")
        for key, pk, year in rows.values_list("search_key", "movie", "movie__year"):
            found.setdefault(key, []).append((pk, year))
    return found


def _best_reading(
    line: _Line, by_key: dict[str, list[tuple[int, int | None]]], notes: list[str]
) -> list[tuple[str, str]]:
    """Return the first reading of which every title is known, else the known titles of the last one."""
    known: list[tuple[str, str]] = []
    unknown: list[str] = []
    for reading in line.readings:
        known, unknown = [], []
        for title, said in reading:
            ids = _ids(title if not said else f"{title}:{said}")
            film = _film_called(title, by_key)
            if ids:
                known += ids
            elif film is not None:
                known.append((str(film), said))
            else:
                unknown.append(title)
        if not unknown:
            return known
    for title in unknown:
        _note(notes, gettext("There is no film called “%(value)s”."), title)
    return known


def _film_called(title: str, by_key: dict[str, list[tuple[int, int | None]]]) -> int | None:
    """Return the most rated film of that title; a year in brackets has to be the film's."""
    whole = by_key.get(search_key(title)[:255])
    if whole:
        return whole[0][0]
    parsed = parse_title(title)
    films = by_key.get(search_key(parsed.title)[:255], [])
    return next((pk for pk, year in films if parsed.year in (None, year)), None)


def _stars(said: str) -> float | None:
    """Return the stars of a text: five for an empty one, None for one that is no rating."""
    if not said:
        return HIGHEST_RATING
    try:
        value = float(said)
    except ValueError:
        return None
    return value if value in HALF_STARS else None


def _note(notes: list[str], message: str, value: str) -> None:
    note = message % {"value": value[:NOTED_LENGTH]}
    if note not in notes:
        notes.append(note)


# -- the answers --------------------------------------------------------------------------------


@dataclass(slots=True)
class Pick:
    """A film in one list. `lists` is the number of lists that it is in."""

    movie: Movie
    rank: int
    score: str
    lists: int


@dataclass(slots=True)
class Answer:
    """The list of one model, or why it has none. `cpu_ms` and `elapsed_ms` are of this one list."""

    model: str
    label: str
    summary: str
    version: str = ""
    ranked: RankedList = field(default_factory=lambda: RankedList(""))
    picks: list[Pick] = field(default_factory=list)
    cpu_ms: float = 0.0
    elapsed_ms: float = 0.0
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class OverlapRow:
    """A row of the overlap table: the number of films shared with each list, None for the list itself."""

    label: str
    shared: list[int | None]


def ask_all(history: History, k: int) -> list[Answer]:
    """Ask every active model for its k best movies, as ids; `fill_picks` turns them into movies."""
    _ = history.strength, history.seen, history.ratings  # worked out once; else the first model would pay
    return [_ask(name, history, k) for name in registry().names()]


def _ask(name: str, history: History, k: int) -> Answer:
    answer = Answer(name, model_label(name), str(MODEL_INFO[name].summary) if name in MODEL_INFO else "")
    try:
        answer.version = registry().get(name).version  # loaded here: the figures are of the list alone
    except PredictorError:
        answer.why_not = gettext("The files of %(model)s cannot be read. The log of the site says more.")
        answer.why_not %= {"model": answer.label}
        return answer
    started, cpu_started = time.perf_counter(), time.process_time()
    answer.ranked = recommend(history, k=k, model=name, alone=True)
    answer.elapsed_ms = 1000 * (time.perf_counter() - started)
    answer.cpu_ms = 1000 * (time.process_time() - cpu_started)
    if answer.ranked.fallback == NOT_TRAINED:  # for want of another word: the model is there
        answer.why_not = gettext("%(model)s has no answer to this history.") % {"model": answer.label}
    else:
        answer.why_not = answer.ranked.fallback_text
    return answer


def fill_picks(answers: Sequence[Answer], more: Iterable[int] = ()) -> dict[int, Movie]:
    """Read the movies of all lists, and `more`, fill the picks and return the movies by id."""
    movies = load_movies(*(answer.ranked for answer in answers), more=more)
    lists = Counter(movie_id for answer in answers for movie_id in answer.ranked.films)
    for answer in answers:
        answer.picks = [
            Pick(entry.movie, entry.rank, score_text(entry.score), lists[entry.movie.pk])
            for entry in answer.ranked.entries
        ]
    return movies


def overlaps(answers: Sequence[Answer]) -> list[OverlapRow]:
    """Return a row for every model that answered: how many films its list shares with each other list."""
    lists = [(answer, {pick.movie.pk for pick in answer.picks}) for answer in answers if answer.picks]
    return [
        OverlapRow(
            answer.label, [None if other is answer else len(films & others) for other, others in lists]
        )
        for answer, films in lists
    ]


def not_active(answers: Sequence[Answer]) -> list[str]:
    """Return the labels of the models that are not active."""
    active = {answer.model for answer in answers}
    return [model_label(name) for name in MODELS if name not in active]


def score_text(score: float) -> str:
    """Print three significant digits in the visitor's language: 0.0412, 3.14, 1234."""
    digits = 2
    magnitude = abs(score)
    while magnitude and magnitude < 1 and digits < 6:
        magnitude *= 10
        digits += 1
    while magnitude >= 10 and digits:
        magnitude /= 10
        digits -= 1
    return number_format(score, digits)
