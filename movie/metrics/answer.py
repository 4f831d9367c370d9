"""Who may read the metrics, and the text they get.

With METRICS_TOKEN whoever shows it; without, whoever asks from METRICS_ALLOWED_NETWORKS, which is this
machine by default. A request that came through a proxy has the proxy's address, so only the token lets it in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from django.conf import settings
from django.utils.crypto import constant_time_compare

# What a proxy adds. Where one is asked for metrics, its own address says nothing about who asks.
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")


def may_read(address: str, headers: Mapping[str, str]) -> bool:
    """`address` of the other side, `headers` by their names in any case."""
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
    """Status and headers for who may not."""
    return (401, {"WWW-Authenticate": "Bearer"}) if settings.METRICS_TOKEN else (403, {})


def site_metrics() -> tuple[bytes, str]:
    """The text and its type, of all workers of this server and the site as a whole."""
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    from movie.metrics.counting import counted_by_all
    from movie.metrics.state import SiteState

    return generate_latest(counted_by_all()) + generate_latest(SiteState()), CONTENT_TYPE_PLAIN_0_0_4
