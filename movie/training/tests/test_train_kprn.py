"""manage.py train kprn: the site's own knowledge graph, built when it is first needed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from predictors.models.kprn.model import KprnPredictor
from predictors.serving.registry import ModelStore
from predictors.tests.small_world import rated

pytestmark = pytest.mark.django_db
QUICK = ("--options", "steps=3", "examples=8", "evaluations=1")


@pytest.fixture(autouse=True)
def store(settings, tmp_path: Path) -> ModelStore:
    settings.MODEL_DIR = tmp_path / "models"
    settings.KNOWLEDGE_GRAPH_DIR = tmp_path / "graph"
    return ModelStore(settings.MODEL_DIR)


@pytest.fixture
def films() -> list:
    """Twelve films, each two by one director, and twenty data-set users with six ratings each."""
    films = [
        make_film(f"Film {number}", 1990 + number, genres=["Drama"], directors=[f"Director {number // 2}"])
        for number in range(12)
    ]
    rng = np.random.default_rng(0)
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{user}", movie=films[film], value=4.0, rated_at=LONG_AGO)
        for user in range(20)
        for film in rng.choice(12, 6, replace=False)
    )
    return films


def train() -> None:
    call_command("train", "kprn", "--from-site", "--activate", "--quiet", *QUICK, stdout=io.StringIO())


def test_the_graph_is_built_and_explains_with_the_names_of_the_catalogue(films, store, settings) -> None:
    train()
    assert (settings.KNOWLEDGE_GRAPH_DIR / "graph.json").exists()
    predictor = KprnPredictor.load(store.root / "kprn" / store.current("kprn"))
    assert predictor.meta["graph"]["statistics"]["types"]["person"]["entities"] == 6
    (explanation,) = predictor.explain(rated(films[0].pk), [films[1].pk], limit=20)
    over = {predictor.name_of(reason.steps[1].entity) for reason in explanation.reasons}
    assert {"Director 0", "Drama"} <= over


def test_a_graph_that_is_there_is_used_as_it_is(films, store, settings) -> None:
    call_command("build_knowledge_graph", no_progress=True, stdout=io.StringIO())
    before = (settings.KNOWLEDGE_GRAPH_DIR / "graph.json").read_bytes()
    train()
    assert (settings.KNOWLEDGE_GRAPH_DIR / "graph.json").read_bytes() == before
    assert store.current("kprn")
