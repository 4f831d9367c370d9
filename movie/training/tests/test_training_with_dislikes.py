"""A model that predicts stars must learn from low ones: it alone is given what people disliked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.events.recording import new_event_id, record
from movie.training.datasets import interactions_from_site
from predictors.history import History, Interaction
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def films() -> list:
    return [make_film(f"Film {number}", 2000 + number) for number in range(5)]


def stars_by_visitor(*, dislikes: bool) -> dict[str, dict[int, float]]:
    data = interactions_from_site(dislikes=dislikes)
    found: dict[str, dict[int, float]] = {}
    for user, item, value in zip(data.users, data.items, data.values, strict=True):
        found.setdefault(str(data.user_ids[user]), {})[int(data.item_ids[item])] = float(value)
    return found


def test_low_ratings_are_there_when_wanted_and_only_then(films) -> None:
    for film, value in ((films[0], 5), (films[1], 1)):
        Rating.objects.create(visitor="ml-100k:1", movie=film, value=value, rated_at=START)
    events = (("rating", films[2], 4.0), ("rating", films[3], 0.5), ("dismiss", films[4], None))
    for minutes, (kind, film, value) in enumerate(events):
        at = START + timedelta(minutes=minutes)
        assert record(Interaction(new_event_id(), "guest:a", kind, film.pk, at, value))
    assert stars_by_visitor(dislikes=False) == {
        "ml-100k:1": {films[0].pk: 5.0},
        "guest:a": {films[2].pk: 4.0},
    }
    assert stars_by_visitor(dislikes=True) == {
        "ml-100k:1": {films[0].pk: 5.0, films[1].pk: 1.0},
        "guest:a": {films[2].pk: 4.0, films[3].pk: 0.5},
    }


def test_a_film_everyone_rates_low_is_predicted_low(films, settings, tmp_path: Path) -> None:
    settings.MODEL_DIR = tmp_path / "models"
    values = np.random.default_rng(0).choice([3.5, 4.5], (40, len(films)))
    values[:, 1] = 1.5
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{user}", movie=film, value=values[user, place], rated_at=LONG_AGO)
        for user in range(40)
        for place, film in enumerate(films)
    )
    call_command("train", "neighbours", "mf", from_site=True, activate=True, quiet=True)
    store = ModelStore(settings.MODEL_DIR)
    seen = {
        name: store.load(name, store.current(name)).meta["data"]["n_interactions"]
        for name in ("mf", "neighbours")
    }
    assert seen == {"mf": 200, "neighbours": 160}
    stars = store.load("mf", store.current("mf")).predict_stars(History.EMPTY, [film.pk for film in films])
    assert stars[films[1].pk] < 2
    assert stars[films[0].pk] > 3.5
