"""Django's admin with the site's own sign-in and first page."""

from django.contrib.admin.apps import SimpleAdminConfig


class ReelgraphAdminConfig(SimpleAdminConfig):
    """Finds the `admin` modules of the apps when an address of the admin is first asked for, not at start.

    With them come import, export and their formats, which most web processes never need.
    """

    default_site = "movie.operations.admin_site.OperationsSite"
