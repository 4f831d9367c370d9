"""Every address of the site."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from movie.api.middleware import PREFIXES
from movie.api.problems import handle_error
from movie.pages.urls import experiment_patterns
from movie.pages.views.errors import refused_request

urlpatterns = [
    path("api/", include("movie.api.urls")),
    path("", include("movie.pages.urls")),
    path("experiments/", include(experiment_patterns)),
    path("papers/", include("movie.papers.urls")),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
handler400 = "webapp.urls.bad_request"
handler404 = "movie.pages.views.errors.page_not_found"
handler500 = "movie.pages.views.errors.server_error"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Refuse what comes to no view, such as an unknown host, in the shape that the caller reads."""
    if request.path_info.startswith(PREFIXES):
        return handle_error(request, exception)
    return refused_request(request, exception)
