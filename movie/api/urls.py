"""Addresses of the API, below /api/."""

from django.urls import path

from movie.api import compatibility
from movie.api.reference import reference
from movie.api.v1 import api

urlpatterns = [
    path("v1/", api.urls),
    path("compat/", compatibility.api.urls),
    path("docs/", reference, name="api_docs"),
]
