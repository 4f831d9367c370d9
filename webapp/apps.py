import contextlib

from django.apps import AppConfig
from django.conf import settings


class WebappConfig(AppConfig):
    name = "webapp"

    def ready(self) -> None:
        from webapp import checks  # noqa: F401 - registers the system checks

        # SQLite makes its file but not the folder; what goes wrong here is said by webapp.W001.
        with contextlib.suppress(OSError):
            settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
