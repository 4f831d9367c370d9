from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MovieConfig(AppConfig):
    name = "movie"
    verbose_name = _("Catalogue")

    def ready(self) -> None:
        from movie import signals  # noqa: F401 - joins a guest's history to the account at sign-in
