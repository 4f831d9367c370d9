"""The errors that cross the seam between predictors and their callers."""


class PredictorError(Exception):
    """Base class of all errors that predictors raise."""


class CannotAnswer(PredictorError):
    """Raised when a predictor cannot rank for a history; a fallback should answer.

    `reason` is a stable word that callers turn into a sentence: `history_too_short`,
    `no_known_films`, `unknown_film` or `not_supported`.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class ArtifactError(PredictorError):
    """Raised for an artifact that is missing, damaged or of an unknown format."""


class TrainingError(PredictorError):
    """Raised for data or options that cannot be trained on; the message names what was expected."""


class PackageMissing(TrainingError):
    """A package that this training needs is not installed; the message names the command."""


class ConfigError(TrainingError):
    """Raised for an option that is unknown, of the wrong type or refused; the message names it."""


class InvalidScores(PredictorError):
    """Raised when a model scores an item with NaN, so that nothing can be ranked."""
