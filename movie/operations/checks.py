"""System checks of the configuration."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from predictors.plugins import MODELS

CONFIGURATION = "configuration"  # tag of checks of values that stand in the environment


@register(Tags.security)
def environment_is_readable(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report environment variables whose values cannot be used (webapp.E001)."""
    return [
        Error(
            f"The environment variable {error.variable} {error.message}.",
            hint=error.hint,
            id="webapp.E001",
        )
        for error in settings.SETTING_ERRORS
    ]


@register(CONFIGURATION)
def default_models_exist(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report models of DEFAULT_MODELS that do not exist (webapp.E002)."""
    return [
        Error(
            f"DEFAULT_MODELS names {name!r}, which is no model.",
            hint=f"Use names from: {', '.join(MODELS)}.",
            id="webapp.E002",
        )
        for name in settings.DEFAULT_MODELS
        if name not in MODELS
    ]


@register(CONFIGURATION)
def data_folder_is_writable(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a data folder that cannot be written to (webapp.W001)."""
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


@register(Tags.security, deploy=True)
def staff_second_factor_is_decided(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Ask whether staff need a second factor, until STAFF_SECOND_FACTOR answers (webapp.W010)."""
    if settings.STAFF_SECOND_FACTOR:
        return []
    return [
        Warning(
            "STAFF_SECOND_FACTOR is not set: a password alone opens the administration.",
            hint="Set it to required, or to optional where a password is enough.",
            id="webapp.W010",
        )
    ]


@register(Tags.security, deploy=True)
def data_is_private(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of histories and accounts that other users of this machine may read (webapp.W002)."""
    database = settings.DATABASES["default"]
    paths = [settings.DATA_DIR]
    if "sqlite3" in database["ENGINE"]:
        paths.append(Path(database["NAME"]))
    return [
        Warning(
            f"{path} can be read by every user of this machine.",
            hint=f"chmod o-rwx {path}",
            id="webapp.W002",
        )
        for path in paths
        if path.exists() and path.stat().st_mode & stat.S_IROTH
    ]


@register(Tags.security, deploy=True)
def mail_is_sent(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of mails, such as password resets, that are only written to the log (webapp.W003)."""
    if not settings.EMAIL_BACKEND.endswith((".console.EmailBackend", ".dummy.EmailBackend")):
        return []
    return [
        Warning(
            "Mails are written to the log and sent to nobody, so nobody can reset a password.",
            hint="Set EMAIL_URL, such as smtp+tls://user:password@host:587.",
            id="webapp.W003",
        )
    ]
