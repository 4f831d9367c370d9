"""`python -m benchmarks.serving` compares like with like: both servers recommend the same films."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from django.core.cache import cache

FILMS, PLACES = 300, 50


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    from benchmarks.api_recommend import random_weights

    rng = np.random.default_rng(1)
    made = random_weights(FILMS, places=PLACES)
    # Larger than at the start, so that nobody agrees by accident.
    return {
        name: array + 0.2 * rng.standard_normal(array.shape).astype(np.float32)
        for name, array in made.items()
    }


@pytest.fixture
def ours(client, db, settings, tmp_path, weights, monkeypatch):  # noqa: PLR0917
    """Recommendations by this site's API."""
    from movie.catalogue.models import Movie
    from movie.recommendations.movie_index import index_holder
    from movie.training.registry import registry
    from predictors.id_map import IdMap
    from predictors.models.sasrec.model import SasrecPredictor
    from predictors.models.sasrec.onnx_graph import encoder_graph

    settings.MODEL_DIR = tmp_path
    settings.DEFAULT_MODELS = ("sasrec",)
    settings.API_ANONYMOUS_RATE_LIMIT = 1_000_000
    cache.clear()
    index_holder.cache_clear()
    Movie.objects.bulk_create(Movie(pk=pk, title=f"Film {pk}") for pk in range(1, FILMS + 1))
    predictor = SasrecPredictor(weights, encoder_graph(weights, heads=2), IdMap(range(1, FILMS + 1)))
    registry().store.publish(predictor, activate=True)
    yield lambda body: client.post("/api/v1/recommend", body, content_type="application/json").json()
    index_holder.cache_clear()


@pytest.fixture
def theirs(weights):
    """Recommendations by the FastAPI service that ours is measured against, by path."""
    pytest.importorskip("fastapi", reason="only for the benchmark: pip install -r requirements-bench.txt")
    pytest.importorskip("uvicorn", reason="only for the benchmark: pip install -r requirements-bench.txt")
    import httpx
    import torch

    from benchmarks.serving.baseline import Recommender, make_app

    ids = range(1, FILMS + 1)
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    app = make_app(Recommender(tensors, ids, {pk: f"Film {pk}" for pk in ids}))

    async def ask(path, body):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://there") as client:
            return await client.post(path, content=body, headers={"content-type": "application/json"})

    return lambda path, body: asyncio.run(ask(path, body)).json()


@pytest.mark.parametrize("path", ["/recommend", "/recommend-padded"])
@pytest.mark.parametrize("length", [1, 20, PLACES, PLACES + 30])
def test_both_servers_recommend_the_same_films(ours, theirs, path, length):
    history = (np.random.default_rng(length).permutation(FILMS)[:length] + 1).tolist()
    body = json.dumps({"history": history, "k": 10})
    expected = ours(body)["recommendations"]
    found = theirs(path, body)["recommendations"]
    assert [(film["movie_id"], film["title"]) for film in found] == [
        (film["movie_id"], film["title"]) for film in expected
    ]
    assert [film["score"] for film in found] == pytest.approx([film["score"] for film in expected], abs=1e-4)
    assert not {film["movie_id"] for film in found} & set(history)
