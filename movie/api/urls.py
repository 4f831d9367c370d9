"""Addresses of the API, below /api/."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from ninja.openapi.docs import Swagger

from movie.api.compat.api import api as compat_api
from movie.api.v1 import api

# Without the badge that Swagger UI else fetches from a validator on the internet.
SWAGGER = Swagger({"validatorUrl": None})


@require_safe
@cache_control(private=True, no_cache=True)
def reference(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document with the Swagger UI that ninja brings along, under the site's own policy."""
    return SWAGGER.render_page(request, api)


urlpatterns = [
    path("v1/", api.urls),
    path("compat/", compat_api.urls),
    path("docs/", reference, name="api_docs"),
]
