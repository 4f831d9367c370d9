"""Error pages."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader

from movie.core.database import is_away
from movie.events.archive.base import ArchiveUnavailable

RETRY_SECONDS = 5


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page of a failure, without context processors, which may need the database.

    While the database or the archive is away the answer is 503 and says when to try again.
    """
    error = sys.exc_info()[1]
    if is_away(error) or isinstance(error, ArchiveUnavailable):
        page = loader.get_template("503.html").render()
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    return HttpResponse(loader.get_template("500.html").render(), status=500)
