"""Every model by its name: on the command line, in artifacts, in the API. Packages add theirs.

A package adds a model by an entry point of the group `reelgraph.models`: name -> `module:Class`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from predictors.errors import PredictorError

if TYPE_CHECKING:
    from predictors.base import Predictor

logger = logging.getLogger(__name__)

GROUP = "reelgraph.models"
BUILT_IN = {
    "popular": "predictors.models.popular:PopularPredictor",
    "neighbours": "predictors.models.neighbours:NeighboursPredictor",
    "transitions": "predictors.models.transitions:TransitionsPredictor",
    "linear_sequence": "predictors.models.linear_sequence:LinearSequencePredictor",
    "sasrec": "predictors.models.sasrec.model:SasrecPredictor",
    "ease": "predictors.models.ease:EasePredictor",
    "als": "predictors.models.als:AlsPredictor",
    "mf": "predictors.models.mf.model:MfPredictor",
    "mf_softmax": "predictors.models.mf_softmax:MfSoftmaxPredictor",
    "lightgcn": "predictors.models.graph.lightgcn:LightgcnPredictor",
    "ngcf": "predictors.models.graph.ngcf:NgcfPredictor",
    "kprn": "predictors.models.kprn.model:KprnPredictor",
    "graph_filter": "predictors.models.graph_filter:GraphFilterPredictor",
    "next_item": "predictors.models.next_item:NextItemPredictor",
    "ensemble": "predictors.models.ensemble:EnsemblePredictor",
    "for_you": "predictors.models.for_you.model:ForYouPredictor",
}


class Models(Mapping[str, str]):
    """Name -> `module:Class` of every model: the built-in ones, then those of installed packages.

    Entry points are read when the table is first used; a name that is built in cannot be replaced.
    """

    @cached_property
    def _paths(self) -> dict[str, str]:
        paths = dict(BUILT_IN)
        for point in entry_points(group=GROUP):
            if point.name in BUILT_IN:
                logger.warning("%s: the name %s belongs to a built-in model", point.value, point.name)
            else:
                paths[point.name] = point.value
        return paths

    def __getitem__(self, name: str) -> str:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def reload(self) -> None:
        """Read the entry points again, after a package was installed."""
        self.__dict__.pop("_paths", None)


MODELS = Models()


def predictor_class(name: str) -> type[Predictor]:
    """Import a model's class when it is first needed.

    Raises PredictorError on an unknown name, a class that cannot be imported or has another name.
    """
    if name not in MODELS:
        raise PredictorError(f"there is no model {name!r}; known: {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    try:
        kind = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PredictorError(f"the model {name} cannot be imported: {error}") from error
    if kind.name != name:
        raise PredictorError(f"{MODELS[name]} is called {kind.name!r}, its entry point {name!r}")
    return kind
