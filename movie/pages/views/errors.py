"""Error pages."""

import sys
from collections.abc import Iterator

from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.utils.translation import gettext as _
from django.views import defaults

from movie.core.database import is_away
from movie.core.http import is_script
from movie.core.request_limits import UnsupportedCharset
from movie.events.archive.base import ArchiveUnavailable

RETRY_SECONDS = 5


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def refused_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Refuse what comes to no view: a body that is too large, an encoding that is not read, a wrong host.

    A session that could not be stored because the database is away is no fault of the request: 503.
    """
    if isinstance(exception, SessionInterrupted) and any(map(is_away, _chain(exception))):
        return _unavailable()
    if isinstance(exception, RequestDataTooBig):
        status, reason = 413, _("That is more than this address takes.")
    elif isinstance(exception, UnsupportedCharset):
        status, reason = 415, _("This site reads UTF-8 alone.")
    else:
        return defaults.bad_request(request, exception)
    if is_script(request):
        return HttpResponse(reason, content_type="text/plain; charset=utf-8", status=status)
    return render(request, "refused.html", {"reason": reason, "back": ""}, status=status)


def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page of a failure, without context processors, which may need the database.

    While the database or the archive is away the answer is 503 and says when to try again.
    """
    error = sys.exc_info()[1]
    if is_away(error) or isinstance(error, ArchiveUnavailable):
        return _unavailable()
    return HttpResponse(loader.get_template("500.html").render(), status=500)


def _unavailable() -> HttpResponse:
    page = loader.get_template("503.html").render()
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_SECONDS)})


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from or in the handling of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
