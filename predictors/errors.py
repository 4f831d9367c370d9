"""The errors that cross the seam between predictors and their callers."""


class PredictorError(Exception):
    """Base of everything a predictor raises on purpose."""


class CannotAnswer(PredictorError):
    """This predictor has nothing to say about this history; a fallback should answer.

    `reason` is a stable word that callers turn into a sentence: `history_too_short`,
    `no_known_films`, `unknown_film` or `not_supported`.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class ArtifactError(PredictorError):
    """A trained artifact is missing, damaged or of an unknown format."""


class TrainingError(PredictorError):
    """The data or the options cannot be trained on; the message says what was expected."""


class PackageMissing(TrainingError):
    """A package that this training needs is not installed; the message names the command."""


class ConfigError(TrainingError):
    """An option is unknown, of the wrong type or refused; the message names it."""


class InvalidScores(PredictorError):
    """A model scored items with NaN, so nothing can be ranked by it."""
