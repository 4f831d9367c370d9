"""What can be joined in For you: models whose scores are sums over the films of a history, by name.

A variant is a model with other options than its own defaults, so that one model can be a member twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predictors.base import Predictor
from predictors.config import Config
from predictors.errors import ConfigError, PredictorError
from predictors.plugins import predictor_class

PRIOR = "popular"  # what everybody watches: the answer for visitors without a history

TRANSITIONS = "predictors.models.transitions"
# name -> model, its options here
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ease": ("ease", {"popularity_exponent": 0.1}),
    # Dropout this high leaves what is particular to a film; the intercept takes its popularity away.
    # Too large a catalogue for all pairs has one EASE of nearest items, not three.
    "ease_90": ("ease", {"intercept": True, "ridge": 100.0, "dropout": 0.9, "neighbours": 0}),
    "ease_98": ("ease", {"intercept": True, "ridge": 100.0, "dropout": 0.98, "neighbours": 0}),
    "cosine": ("neighbours", {"shrinkage": 20.0, "popularity_weight": 0.0}),
    # Without shrinkage: how many met both, over the popularity of the other film to a power.
    "counts_30": ("neighbours", {"exponent": 0.3, "shrinkage": 0.0, "popularity_weight": 0.0}),
    "counts_60": ("neighbours", {"exponent": 0.6, "shrinkage": 0.0, "popularity_weight": 0.0}),
    # Shrinkage keeps films out that few people met, where hardly any popularity is left.
    "counts_90": ("neighbours", {"exponent": 0.9, "shrinkage": 20.0, "popularity_weight": 0.0}),
    "transitions": ("transitions", {"popularity_exponent": 0.0}),
    "transitions_30": ("transitions", {"popularity_exponent": 0.3}),
    "graph_filter": ("graph_filter", {"factors": 128}),
}
DEFAULT_MEMBERS = (PRIOR, *VARIANTS)


def member_class(name: str) -> type[Predictor]:
    """Return the model behind a member. Raises ConfigError where it cannot be one."""
    model = VARIANTS[name][0] if name in VARIANTS else name
    try:
        kind = predictor_class(model)
    except PredictorError as error:
        raise ConfigError(f"members: {error}") from error
    if name != PRIOR and not hasattr(kind, "item_weights"):
        raise ConfigError(f"members: the scores of {name} are no sum over the films of a history")
    return kind


def member_config(name: str, given: Mapping[str, Any] | None = None) -> Config:
    """Return a member's configuration: the variant's options, then those given. Raises ConfigError."""
    options = dict(VARIANTS[name][1]) if name in VARIANTS else {}
    return member_class(name).config_class.read({**options, **(given or {})})


def follows_order(name: str) -> bool:
    """Return whether a member knows what comes after what, instead of what goes together."""
    return VARIANTS.get(name, (name,))[0] == "transitions"
