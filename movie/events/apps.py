from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    name = "movie.events"
    verbose_name = _("Events")

    def ready(self) -> None:
        from movie.events import signals  # noqa: F401 - connects its receivers
        from predictors.history import History

        History.counting = settings.COUNTING
