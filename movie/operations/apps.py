import contextlib
import os
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import reset_queries
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    name = "movie.operations"
    verbose_name = _("Operations")

    def ready(self) -> None:
        from movie.operations import checks  # noqa: F401 - registers the system checks

        # SQLite creates its file but not the folder; webapp.W001 reports one that cannot be made.
        with contextlib.suppress(OSError):
            settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private_database_file()
        disconnect_idle_receivers()


def disconnect_idle_receivers() -> None:
    """Take from every request what Django does around it without an effect on this site."""
    request_finished.disconnect(close_caches)  # neither Redis's nor that in memory has anything to close
    request_finished.disconnect(reset_urlconf)  # every request sets it, and none to another one
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # which are kept with DEBUG alone


def make_private_database_file() -> None:
    """Create the file of an SQLite database so that its owner alone may read it; its journals follow it."""
    database = settings.DATABASES["default"]
    if "sqlite3" not in database["ENGINE"] or ":" in Path(database["NAME"]).name:
        return
    with contextlib.suppress(OSError):  # a file that is there stays as it is; webapp.W002 looks at it
        os.close(os.open(database["NAME"], os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
