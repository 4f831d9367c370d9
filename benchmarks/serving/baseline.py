"""What one would write to serve a SASRec without this project: FastAPI, uvicorn and torch.

    python -m benchmarks.serving.baseline FOLDER --port 8001 [--workers 2]

The model is loaded once for each worker and runs in inference mode on one thread; the answer has films with
titles and scores like ours. `/recommend` encodes the history as it is, `/recommend-padded` pads it to the
model's length first, as evaluation code does and most published services with it. FOLDER is a site
made by `benchmarks.api_recommend`: its films, and the weights that it serves.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field
from safetensors.torch import load_file

from predictors.models.sasrec.model import COLUMNS
from pytorch_models.sasrec.network import Sasrec, SasrecConfig

SITE = "BENCHMARK_SITE"  # uvicorn starts its workers anew: only the environment reaches them
HEADS = 2
UNPADDED, PADDED = "/recommend", "/recommend-padded"


class Wanted(BaseModel):
    history: list[int] = Field(min_length=1, max_length=1000)
    k: int = Field(20, ge=1, le=100)


class Film(BaseModel):
    rank: int
    movie_id: int
    title: str
    score: float


class Answer(BaseModel):
    recommendations: list[Film]


class Recommender:
    """A SASRec in torch and the titles of its films."""

    def __init__(
        self, weights: dict[str, torch.Tensor], ids: Sequence[int], titles: dict[int, str], heads: int = HEADS
    ) -> None:
        n_items, dim = weights["item.weight"].shape
        blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        self.length = len(weights["position.weight"])
        self.model = Sasrec(SasrecConfig(n_items, dim, blocks, heads, self.length))
        self.model.load_state_dict(weights)
        self.model.eval()
        self.ids, self.titles = ids, titles
        self.index_of = {film: index for index, film in enumerate(ids)}

    @torch.inference_mode()
    def recommend(self, wanted: Wanted, *, padded: bool) -> Answer:
        seen = torch.tensor([self.index_of[film] for film in wanted.history if film in self.index_of])
        latest = seen[-self.length :]
        items = latest
        if padded:
            items = torch.zeros(self.length, dtype=torch.int64)
            items[: len(latest)] = latest
        taste = self.model(items[None])[0, len(latest) - 1]
        scores = self.model.item.weight @ taste
        scores[seen] = -torch.inf
        best = torch.topk(scores, wanted.k)
        films = []
        for rank, (index, score) in enumerate(
            zip(best.indices.tolist(), best.values.tolist(), strict=True), 1
        ):
            film = self.ids[index]
            films.append(Film(rank=rank, movie_id=film, title=self.titles[film], score=score))
        return Answer(recommendations=films)


def make_app(recommender: Recommender) -> FastAPI:
    app = FastAPI()

    # Not in FastAPI's pool of threads: the work is all computing, and the pool costs more than it brings.
    @app.post(UNPADDED)
    async def recommend(wanted: Wanted) -> Answer:
        return recommender.recommend(wanted, padded=False)

    @app.post(PADDED)
    async def recommend_padded(wanted: Wanted) -> Answer:
        return recommender.recommend(wanted, padded=True)

    return app


def app_of_site() -> FastAPI:
    """For each worker of uvicorn."""
    torch.set_num_threads(1)
    site = Path(os.environ[SITE])
    models = site / "models" / "sasrec"
    artifact = models / (models / "current").read_text(encoding="utf-8").strip()
    ids = load_file(artifact / "ids.safetensors")["ids"].tolist()
    with closing(sqlite3.connect(site / "reelgraph.sqlite3")) as database:
        titles = dict(database.execute("SELECT id, title FROM catalogue_movie"))
    weights = load_file(artifact / "weights.safetensors")
    weights.pop(COLUMNS, None)
    return make_app(Recommender(weights, ids, titles))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, metavar="FOLDER")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    os.environ[SITE] = str(options.site.resolve())
    uvicorn.run(
        "benchmarks.serving.baseline:app_of_site",
        factory=True,
        host="127.0.0.1",
        port=options.port,
        workers=options.workers,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
