"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("movie.api.urls")),
    path("", include("movie.urls")),
    path("papers/", include("movie.paper_reviews.urls")),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
handler404 = "movie.views.errors.page_not_found"
handler500 = "movie.views.errors.server_error"
