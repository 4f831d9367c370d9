"""Django's admin with the site's own sign-in."""

from django.contrib.admin.apps import AdminConfig


class ReelgraphAdminConfig(AdminConfig):
    default_site = "movie.visitors.admin_site.AdminSite"
