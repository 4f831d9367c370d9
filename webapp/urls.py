"""Every address of the site."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, include, path
from django.urls.resolvers import RoutePattern

from movie.api.middleware import PREFIXES
from movie.api.problems import handle_error
from movie.core.http import ADMIN
from movie.pages.urls import experiment_patterns
from movie.pages.views.errors import refused_request


class LazyURLResolver(URLResolver):
    """A namespace whose module is imported when one of its addresses is asked for or reversed."""

    def _populate(self) -> None:
        """Do nothing: reversing in a namespace makes a resolver of its own, from `url_patterns`."""


urlpatterns = [
    path("api/", include("movie.api.urls")),
    path("", include("movie.pages.urls")),
    path("experiments/", include(experiment_patterns)),
    path("papers/", include("movie.papers.urls")),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    LazyURLResolver(RoutePattern(ADMIN), "webapp.admin_urls", app_name="admin", namespace="admin"),
]
handler400 = "webapp.urls.bad_request"
handler404 = "movie.pages.views.errors.page_not_found"
handler500 = "movie.pages.views.errors.server_error"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Refuse what comes to no view, such as an unknown host, in the shape that the caller reads."""
    if request.path_info.startswith(PREFIXES):
        return handle_error(request, exception)
    return refused_request(request, exception)
