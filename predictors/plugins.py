"""Every kind of predictor by its name: on the command line, in artefacts, in the API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from predictors.errors import PredictorError

if TYPE_CHECKING:
    from predictors.base import Predictor

KINDS = {
    "popular": "predictors.models.popular.PopularPredictor",
    "neighbours": "predictors.models.neighbours.NeighboursPredictor",
    "linear_sequence": "predictors.models.linear_sequence.LinearSequencePredictor",
    "sasrec": "predictors.models.sasrec.model.SasrecPredictor",
    "ease": "predictors.models.ease.EasePredictor",
    "als": "predictors.models.als.AlsPredictor",
    "mf": "predictors.models.mf.model.MfPredictor",
    "lightgcn": "predictors.models.graph.lightgcn.LightgcnPredictor",
    "ngcf": "predictors.models.graph.ngcf.NgcfPredictor",
    "kprn": "predictors.models.kprn.model.KprnPredictor",
    "graph_filter": "predictors.models.graph_filter.GraphFilterPredictor",
    "for_you": "predictors.models.for_you.model.ForYouPredictor",
}


def predictor_class(name: str) -> type[Predictor]:
    """Import the class of a kind when it is first needed. Raises PredictorError on an unknown name."""
    try:
        module, _, attribute = KINDS[name].rpartition(".")
    except KeyError:
        raise PredictorError(f"there is no model {name!r}; known: {', '.join(KINDS)}") from None
    return getattr(import_module(module), attribute)
