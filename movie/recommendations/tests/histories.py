"""Histories of visitors for tests, models trained on the ratings of the site, and rules for influences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.catalogue.models import Movie, Rating
from movie.recommendations.explanations.explanation import Explanation
from movie.training.registry import registry
from predictors.history import History, Interaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK: dict[str, dict[str, object]] = {  # options that make training a matter of seconds
    "sasrec": {"epochs": 2, "dim": 16, "threads": 1},
    "next_item": {"sasrec": {"epochs": 2, "dim": 16, "threads": 1}},
    "lightgcn": {"epochs": 2},
    "ngcf": {"epochs": 2},
    "kprn": {"epochs": 1},
}
KINDS = (
    *(("rating", stars / 2) for stars in range(1, 11)),
    ("click", None),
    ("watchlist", None),
    ("dismiss", None),
    ("watch", None),
)


def history_of(
    events: list[tuple[int, tuple[str, float | None]]], films: list[Movie], visitor: str = "guest:1"
) -> History:
    return History(
        Interaction(f"{n:03}", visitor, kind, films[film].pk, NOW + timedelta(minutes=n), value)
        for n, (film, (kind, value)) in enumerate(events)
    )


def trained(films: list[Movie], *names: str, **options: object) -> None:
    """Train models on the likes of the site and serve them."""
    liked = Rating.objects.filter(value__gte=3).order_by("visitor", "pk")
    rows = list(liked.values_list("visitor", "movie_id"))
    visitors = {visitor: n for n, visitor in enumerate(dict.fromkeys(visitor for visitor, _film in rows))}
    place = {film.pk: n for n, film in enumerate(films)}
    data = Interactions.from_columns(
        np.array([visitors[visitor] for visitor, _film in rows]),
        np.array([place[film] for _visitor, film in rows]),
        values=np.array(liked.values_list("value", flat=True)),
        at=np.arange(len(rows)),
        user_ids=np.arange(len(visitors)),
        item_ids=np.array([film.pk for film in films]),
    )
    for name in names:
        given = QUICK.get(name, {}) | options
        train(name, data, registry().store, id_space=FROM_SITE, activate=True, options=given)


def random_history(films: list[Movie], chance: Random, longest: int, visitor: str = "guest:1") -> History:
    some = chance.sample(range(len(films)), chance.randint(1, longest))
    return history_of([(film, chance.choice(KINDS)) for film in some], films, visitor)


def check_influences(why: Explanation, history: History) -> None:
    mean = sum(history.ratings.values()) / len(history.ratings) if history.ratings else 0
    shares = [influence.share for influence in why.influences]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) + why.rest == pytest.approx(1.0)
    assert sum(influence.percent for influence in why.influences) + why.rest_percent == 100
    for influence in why.influences:
        pk = influence.movie.pk
        assert pk in history.liked and pk != why.movie.pk
        assert history.ratings.get(pk, mean) >= mean - 1e-6
        text = influence.sentence.text
        if pk in history.ratings:
            said = f"{history.ratings[pk]:g}".replace(".5", "½").removeprefix("0½")
            assert text == f"Because you rated {influence.movie.title} {said}★"
        elif pk in history.watches:
            assert text == f"Because you watched {influence.movie.title}"
        elif pk in history.watchlist:
            assert text == f"Because {influence.movie.title} is on your watchlist"
        else:
            assert text == f"Because you looked at {influence.movie.title}" and pk in history.clicked
