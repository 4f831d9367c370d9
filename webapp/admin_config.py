"""Django's admin with the site's own sign-in and first page."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class ReelgraphAdminConfig(SimpleAdminConfig):
    """Finds the `admin` modules of the apps when an address of the admin is first asked for, not at start.

    With them come import, export and their formats, which most web processes never need.
    """

    default_site = "movie.operations.admin_site.OperationsSite"

    def ready(self) -> None:
        """Register Django's checks of the admin, for which the `admin` modules have to be there."""
        register(check_admin, Tags.admin)


def check_admin(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Import the `admin` modules and report what is wrong with them (admin.E001 and following)."""
    import_module("webapp.admin_urls")
    return [*check_dependencies(), *check_admin_app(app_configs)]
