"""Every model of the table passes the contract."""

from __future__ import annotations

from typing import Any

import pytest

from predictors.base import Predictor
from predictors.plugins import BUILT_IN, predictor_class
from predictors.testing import ModelContract

# Options that make a fit on the small data set a matter of seconds.
QUICK = {
    "linear_sequence": {"ridge": (5.0, 5.0, 5.0)},
    "next_item": {
        "sasrec": {"epochs": 4, "dim": 16, "max_length": 16, "threads": 1},
        "linear_sequence.ridge": (5.0, 5.0, 5.0),
    },
    "mf_softmax": {"epochs": 3, "dim": 16, "batch_size": 256},
    "sasrec": {"epochs": 4, "dim": 16, "max_length": 16, "threads": 1},
    "ensemble": {"als": {"factors": 8, "epochs": 2}, "graph_filter.factors": 8},
}


class TestEveryModel(ModelContract):
    @pytest.fixture(scope="class", params=BUILT_IN)
    @classmethod
    def kind(cls, request: pytest.FixtureRequest) -> type[Predictor]:
        return predictor_class(request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls, kind: type[Predictor]) -> dict[str, Any]:
        return QUICK.get(kind.name, {})
