"""System checks of the configuration."""

import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from predictors.plugins import MODELS


@register(Tags.security)
def environment_is_readable(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """webapp.E001: an environment variable has a value that cannot be used."""
    return [
        Error(
            f"The environment variable {error.variable} {error.message}.",
            hint=error.hint,
            id="webapp.E001",
        )
        for error in settings.SETTING_ERRORS
    ]


@register()
def default_models_exist(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """webapp.E002: DEFAULT_MODELS names a model that does not exist."""
    return [
        Error(
            f"DEFAULT_MODELS names {name!r}, which is no model.",
            hint=f"Use names from: {', '.join(MODELS)}.",
            id="webapp.E002",
        )
        for name in settings.DEFAULT_MODELS
        if name not in MODELS
    ]


@register()
def data_folder_is_writable(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """webapp.W001: the data folder cannot be made or written to."""
    folder = settings.DATA_DIR
    if folder.is_dir() and os.access(folder, os.W_OK):
        return []
    return [
        Warning(
            f"DATA_DIR {folder} is no folder that can be written to.",
            hint="Make it, or name another one.",
            id="webapp.W001",
        )
    ]
