from django.apps import AppConfig
from django.urls import register_converter
from django.utils.translation import gettext_lazy as _


class CatalogueConfig(AppConfig):
    name = "movie.catalogue"
    verbose_name = _("Catalogue")

    def ready(self) -> None:
        from movie.catalogue import signals  # noqa: F401 - connects the receivers
        from movie.core.converters import IdConverter

        register_converter(IdConverter, "id")  # before the addresses of any app are read
