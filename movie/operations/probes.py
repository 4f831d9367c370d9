"""Answers probes and Prometheus.

    GET /health/live    the process answers; nothing is checked
    GET /health/ready   movie/operations/health.py; 503 when the site cannot serve
    GET /metrics        movie/operations/metrics_view.py

They are answered before everything else in settings.MIDDLEWARE: without session, cookie and language,
over plain http, and whatever the Host header says, as probes come by address.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from movie.operations.health import readiness
from movie.operations.metrics_view import metrics

PROBES = ("/health/live", "/health/ready", "/metrics")


class ProbeMiddleware:
    """Answers probes and Prometheus itself, before all other middleware, and passes other requests on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.answers = dict(zip(PROBES, (live, ready, metrics), strict=True))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.answers.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response = answer(request)
        response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        response._has_been_logged = True  # type: ignore[attr-defined] # a change is, and not every probe
        return response


def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"status": "live"}\n', content_type="application/json")


def ready(request: HttpRequest) -> HttpResponse:
    found = readiness()
    status = 503 if found.status == "unavailable" else 200
    return HttpResponse(json.dumps(found.as_json()) + "\n", status=status, content_type="application/json")
