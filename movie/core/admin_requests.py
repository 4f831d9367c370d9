"""Refuse requests to the admin whose parameters no page of it sends, where Django itself breaks on them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.http import HttpRequest, HttpResponse
from django.views import defaults

log = logging.getLogger(__name__)

# What fields, lookups and widgets raise about a value or a name that they cannot use.
UNUSABLE = (
    ValueError,
    OverflowError,
    FieldError,
    FieldDoesNotExist,
    ValidationError,
    IncorrectLookupParameters,
)
LIBRARIES = ("django.", "import_export.")


class AdminParametersMiddleware:
    """Answers 400 where a package of the admin, not this site's own code, cannot use a parameter.

    An action on the row "x", a lookup by a field that is not there: Django's admin and django-import-export
    trust their own pages to send neither. The exception is logged, so that a real fault is seen.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        match = request.resolver_match
        is_admin = match is not None and getattr(match.func, "model_admin", None) is not None
        if not is_admin or not isinstance(exception, UNUSABLE) or not _is_of_libraries(exception):
            return None
        log.warning("The admin refuses a parameter: %s", type(exception).__name__, exc_info=exception)
        return defaults.bad_request(request, exception)


def _is_of_libraries(exception: Exception) -> bool:
    """Return whether the frame that raised it is code of a package."""
    trace = exception.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(LIBRARIES)
