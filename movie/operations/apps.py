import contextlib
import os
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
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


def make_private_database_file() -> None:
    """Create the file of an SQLite database so that its owner alone may read it; its journals follow it."""
    database = settings.DATABASES["default"]
    if "sqlite3" not in database["ENGINE"] or ":" in Path(database["NAME"]).name:
        return
    with contextlib.suppress(OSError):  # a file that is there stays as it is; webapp.W002 looks at it
        os.close(os.open(database["NAME"], os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
