import contextlib

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
            settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
