"""Every kind of predictor by its name: on the command line, in artefacts, in the API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from predictors.errors import PredictorError

if TYPE_CHECKING:
    from predictors.base import Predictor

KINDS = {
    "popular": "predictors.popular.PopularPredictor",
    "neighbours": "predictors.neighbours.NeighboursPredictor",
    "linear_sequence": "predictors.linear_sequence.LinearSequencePredictor",
    "sasrec": "predictors.sasrec.SasrecPredictor",
    "ease": "predictors.ease.EasePredictor",
    "als": "predictors.als.AlsPredictor",
    "mf": "predictors.mf.MfPredictor",
    "lightgcn": "predictors.lightgcn.LightgcnPredictor",
    "ngcf": "predictors.ngcf.NgcfPredictor",
    "kprn": "predictors.kprn.KprnPredictor",
    "graph_filter": "predictors.graph_filter.GraphFilterPredictor",
    "for_you": "predictors.blend.ForYouPredictor",
}


def predictor_class(name: str) -> type[Predictor]:
    """Import the class of a kind when it is first needed. Raises PredictorError on an unknown name."""
    try:
        module, _, attribute = KINDS[name].rpartition(".")
    except KeyError:
        raise PredictorError(f"there is no model {name!r}; known: {', '.join(KINDS)}") from None
    return getattr(import_module(module), attribute)
