from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ExperimentsConfig(AppConfig):
    name = "movie.experiments"
    verbose_name = _("Experiments")

    def ready(self) -> None:
        from movie.experiments import signals  # noqa: F401 - connects its receivers
