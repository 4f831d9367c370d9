"""Pages that compare models on one history, list trained versions and show model cards."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from evaluation.model_card import model_card as card_of
from movie.catalogue.models import Movie
from movie.core.markdown import render_markdown
from movie.core.paths import without_folders
from movie.pages.comparison import (
    LONGEST_TEXT,
    NOTED_LENGTH,
    ask_all,
    fill_picks,
    not_active,
    overlaps,
    read_history,
    written_form,
)
from movie.recommendations.ranking import visitor_history
from movie.training.models import DefaultComparison
from movie.training.registry import registry
from movie.training.tuning_searches import tuning_searches
from movie.training.versions import find_damage, trained_versions
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest
from predictors.errors import PredictorError
from predictors.history import EVENT_KINDS, History
from predictors.plugins import MODELS, predictor_class

LENGTHS, DEFAULT_LENGTH = (5, 10, 20), 10
EXAMPLE_FILMS = 5
HISTORY_SHOWN = 12  # latest films of the history that are named


class Counted(NamedTuple):
    """A film of the history with its stars, None where there are none."""

    movie: Movie
    stars: float | None


@require_safe
@limited_page
def compare(request: VisitorRequest) -> HttpResponse:
    """Show every active model's list for one history: the visitor's own, or the one in the address."""
    text = request.GET.get("history", "").strip()
    notes: list[str] = []
    k = _length(request.GET.get("k", ""), notes)
    if text:
        written = read_history(text)
        history = written.history
        notes += written.notes
    else:
        history = visitor_history(request.visitor)
    counted = _counted(history)
    latest = counted[-HISTORY_SHOWN:]
    answers = ask_all(history, k)
    films = fill_picks(answers, latest)
    context = {
        "text": text,
        "longest_text": LONGEST_TEXT,
        "notes": notes,
        "k": k,
        "lengths": LENGTHS,
        "n_counted": len(counted),
        "counted": [Counted(films[pk], history.ratings.get(pk)) for pk in latest if pk in films],
        "n_more": max(len(counted) - len(latest), 0),
        "answers": answers,
        "n_answered": sum(bool(answer.picks) for answer in answers),
        "overlaps": overlaps(answers),
        "not_active": not_active(answers),
        "own_address": "" if text else _address(written_form(history), k),
        "example_address": "" if counted else _example_address(k),
    }
    return render(request, "pages/compare.html", context)


@require_safe
def compare_runs(request: HttpRequest) -> HttpResponse:
    """Show every trained version on the disk with its data, its cost and its figures."""
    runs, tables = trained_versions(registry().store)
    searches = tuning_searches(Path(settings.TUNING_DIR))
    context = {
        "runs": runs,
        "tables": tables,
        "searches": searches,
        "comparison": DefaultComparison.objects.first(),
    }
    return render(request, "pages/compare_runs.html", context)


@require_safe
def model_card(request: HttpRequest, name: str, version: str) -> HttpResponse:
    """Show the model card of a trained version; ?as=md answers with its Markdown."""
    store = registry().store
    if name not in MODELS or version not in store.versions(name):
        raise Http404
    try:
        card = card_of(predictor_class(name), without_folders(store.meta(name, version)))
    except PredictorError as error:
        raise Http404 from error
    if request.GET.get("as") == "md":
        return HttpResponse(card, content_type="text/markdown; charset=utf-8")
    _title, _, text = card.partition("\n")
    damage = find_damage(store, name, version)
    markup = render_markdown(text)
    context = {"name": name, "version": version, "card": markup, "damage": damage}
    return render(request, "pages/model_card.html", context)


def _counted(history: History) -> list[int]:
    """Return the liked and disliked films, the latest last."""
    touched = dict.fromkeys(map(int, reversed(history.movies_of(EVENT_KINDS))))
    counted = history.strength.keys() | history.disliked
    return [film for film in reversed(touched) if film in counted]


def _length(asked: str, notes: list[str]) -> int:
    if not asked:
        return DEFAULT_LENGTH
    if asked in map(str, LENGTHS):
        return int(asked)
    notes.append(
        gettext("“%(value)s” is no length offered here; the lists have %(length)d films.")
        % {"value": asked[:NOTED_LENGTH], "length": DEFAULT_LENGTH}
    )
    return DEFAULT_LENGTH


def _example_address(k: int) -> str:
    """Return the address of a comparison for somebody who liked a few well-known films."""
    ids = Movie.objects.visible().most_rated().values_list("pk", flat=True)[:EXAMPLE_FILMS]
    return _address(", ".join(map(str, ids)), k)


def _address(text: str, k: int) -> str:
    """Return the address of a comparison; empty for an empty history."""
    return f"{reverse('pages:compare')}?{urlencode({'history': text, 'k': k})}" if text else ""
