"""Guards of views that record what visitors do."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.http import HttpResponse

from movie.core.http import error_response
from movie.events.recording import InvalidInteraction
from movie.visitors.throttling import limited_post
from movie.visitors.visitor import VisitorRequest

View = Callable[..., HttpResponse]


def recording_view(view: View) -> View:
    """Limit how often a view records (POST only). InvalidInteraction becomes a 422 that names the field."""

    @limited_post
    @wraps(view)
    def guarded(request: VisitorRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except InvalidInteraction as refused:
            return error_response(request, f"{refused.field}: {refused}", status=422)

    return guarded


def clean_or_refuse(form: forms.Form) -> dict[str, Any]:
    """Return the form's values. Raises InvalidInteraction with the first field that is wrong."""
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        raise InvalidInteraction(field, " ".join(str(error) for error in errors))
    return form.cleaned_data
