"""Django's admin with the site's own sign-in and first page."""

from django.contrib.admin.apps import AdminConfig


class ReelgraphAdminConfig(AdminConfig):
    default_site = "movie.operations.admin_site.OperationsSite"
