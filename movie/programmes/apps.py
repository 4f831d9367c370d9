from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProgrammesConfig(AppConfig):
    name = "movie.programmes"
    verbose_name = _("Programmes")

    def ready(self) -> None:
        from movie.programmes import signals  # noqa: F401 - connects its receivers
