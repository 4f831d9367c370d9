"""GET /metrics: who may read it, and the text.

With METRICS_TOKEN whoever shows it; without, whoever asks from METRICS_ALLOWED_NETWORKS, which is this
machine by default. A request that came through a proxy has the proxy's address, so only the token lets it in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from movie.operations.collectors import ProcessState, SiteState
from movie.telemetry.counters import counters_of_all_workers

# What a proxy adds. Where one is asked for metrics, its own address says nothing about who asks.
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")


def may_read(address: str, headers: Mapping[str, str]) -> bool:
    """Return whether a client may read the metrics, by its `address` and `headers` (names in any case)."""
    if settings.METRICS_TOKEN:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    if any(name in headers for name in FORWARDED):
        return False
    try:
        asks = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket
        return False
    if isinstance(asks, ipaddress.IPv6Address) and asks.ipv4_mapped:
        asks = asks.ipv4_mapped
    return any(asks in network for network in settings.METRICS_ALLOWED_NETWORKS)


def refusal() -> tuple[int, dict[str, str]]:
    """Return status and headers for a client that may not read the metrics."""
    return (401, {"WWW-Authenticate": "Bearer"}) if settings.METRICS_TOKEN else (403, {})


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer GET /metrics for all workers of this server and the site as a whole."""
    if not may_read(request.META.get("REMOTE_ADDR", ""), request.headers):
        status, headers = refusal()
        return HttpResponse(status=status, headers=headers)
    text, content_type = site_metrics_text()
    return HttpResponse(text, content_type=content_type)


def site_metrics_text() -> tuple[bytes, str]:
    """Return the metrics of a web server and their content type."""
    return _text(SiteState())


def process_metrics_text() -> tuple[bytes, str]:
    """Return the metrics of a process that serves no pages and their content type."""
    return _text(ProcessState())


def _text(state: SiteState | ProcessState) -> tuple[bytes, str]:
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    return generate_latest(counters_of_all_workers()) + generate_latest(state), CONTENT_TYPE_PLAIN_0_0_4
