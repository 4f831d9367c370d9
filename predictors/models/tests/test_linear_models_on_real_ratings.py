"""Published quality on MovieLens 100K: what a change to a formula would break."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Split
from evaluation.conditions import evaluate
from evaluation.runner import Benchmark
from predictors.plugins import predictor_class
from predictors.testing import fit_model

ML_100K = Path(__file__).resolve().parents[4] / "shared" / "data" / "ml-100k" / "u.data"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not ML_100K.exists(), reason="MovieLens 100K is not beside the checkout"),
]


@cache
def random_split() -> Split:
    return Benchmark("random-split", ML_100K, ("ease",)).split(read_dataset(ML_100K), seed=1)[0]


@pytest.mark.parametrize(
    ("kind", "options", "recall", "ndcg"),
    [
        # RecBole 1.2.1 on its own split of this file: EASE .2805 / .3295, implicit ALS .2796 / .3224.
        ("ease", {}, 0.275, 0.32),
        ("als", {"epochs": 6}, 0.26, 0.305),
        ("graph_filter", {}, 0.26, 0.30),
    ],
)
def test_as_good_as_published(kind: str, options: dict, recall: float, ndcg: float) -> None:
    split = random_split()
    predictor = fit_model(predictor_class(kind), split.train, split.validation, options=options)
    means = evaluate(predictor, split)[0].means()
    assert means["Recall@10"] > recall
    assert means["NDCG@10"] > ndcg
