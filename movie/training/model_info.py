"""Labels and descriptions of models, and reasons why one could not answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from predictors.errors import PredictorError
from predictors.plugins import MODELS, predictor_class

MOST_RATED = "most_rated"  # the answer of last resort, straight from the database
TRENDING = "trending"
UNTRAINED = (MOST_RATED, TRENDING)  # counted by the site itself: nothing to train or to choose
IMPERSONAL_MODELS = ("popular", MOST_RATED, TRENDING)  # models that do not look at the history
NOT_TRAINED = "not_trained"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    label: Promise | str
    summary: Promise | str


# Built-in models in the site's languages, and the lists that the site counts itself.
TRANSLATED = {
    "for_you": ModelInfo(
        _("For you"),
        _("What goes with your films, the latest counting most, personal from the first click."),
    ),
    "next_item": ModelInfo(
        _("Watch next"),
        _("What comes next, from the order of your history: a network and a linear model as one."),
    ),
    "ensemble": ModelInfo(
        _("Whole taste"),
        _("Three models of taste as one: every film of your history counts alike, old or new."),
    ),
    "popular": ModelInfo(_("Popular"), _("What everyone rates highly, recent votes counting more.")),
    "neighbours": ModelInfo(
        _("Item neighbours"), _("Films that the same people liked as the ones you liked.")
    ),
    "linear_sequence": ModelInfo(
        _("Linear sequence"), _("A linear model of what people watch next, recent films counting more.")
    ),
    "transitions": ModelInfo(
        _("Transitions"), _("Films that people watched within the next few after a film of yours.")
    ),
    "sasrec": ModelInfo(_("SASRec"), _("A self-attentive network that reads your history as a sequence.")),
    "ease": ModelInfo(
        _("EASE"), _("Weighs every pair of films at once, so that each explains what the others cannot.")
    ),
    "als": ModelInfo(
        _("Implicit ALS"), _("Taste as a vector, found from what you liked by one linear solve.")
    ),
    "mf": ModelInfo(
        _("Star predictor"), _("Learns from all ratings, low ones too, and predicts your stars.")
    ),
    "mf_softmax": ModelInfo(
        _("Softmax factorisation"),
        _("Taste as a vector, learned from films drawn at random: for catalogues of any size."),
    ),
    "graph_filter": ModelInfo(
        _("Graph filter"), _("Smooths your likes over the graph of people and films; good from few films.")
    ),
    "lightgcn": ModelInfo(
        _("LightGCN"), _("Averages tastes along the graph of people and films; you join it as a new node.")
    ),
    "ngcf": ModelInfo(
        _("NGCF"), _("A neural network over the graph of people and films; you join it as a new node.")
    ),
    "kprn": ModelInfo(
        _("KPRN"),
        _("Weighs the paths of people, genres and shared tastes that lead from your films to others."),
    ),
    MOST_RATED: ModelInfo(_("Most rated"), _("The films with most ratings on this site.")),
    TRENDING: ModelInfo(_("Trending"), _("Counts what people open, rate and save on this site.")),
}

FALLBACK_REASONS = {
    "history_too_short": _("%(model)s needs a film you liked first."),
    "no_known_films": _("%(model)s does not know the films of your history yet."),
    "no_known_candidates": _("%(model)s knows none of the films to choose from."),
    NOT_TRAINED: _("%(model)s is not trained yet."),
    "unknown_film": _("Chosen by genre: no trained model knows this film yet."),
}


class _ModelInfos(Mapping[str, ModelInfo]):
    """Describes every model by name: built-in ones in the site's languages, then those of packages."""

    def __getitem__(self, name: str) -> ModelInfo:
        if name in TRANSLATED:
            return TRANSLATED[name]
        if name not in MODELS:
            raise KeyError(name)
        try:
            kind = predictor_class(name)
        except PredictorError:  # its package cannot be imported
            return ModelInfo(name, "")
        return ModelInfo(kind.label or name, kind.summary)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*TRANSLATED, *MODELS)))

    def __len__(self) -> int:
        return len({*TRANSLATED, *MODELS})


MODEL_INFO = _ModelInfos()


def model_label(name: str) -> str:
    """Return what a model is called on pages: "sasrec" -> "SASRec"."""
    return str(MODEL_INFO[name].label) if name in MODEL_INFO else name


def fallback_text(model: str, reason: str) -> str:
    """Say in the visitor's language why a model did not answer; nothing for no reason."""
    return str(FALLBACK_REASONS[reason]) % {"model": model_label(model)} if reason else ""
