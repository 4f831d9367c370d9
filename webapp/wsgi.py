"""The WSGI application. Refuses to start with a wrong configuration, as every command does."""

import gc
import os
import sys

from django.conf import settings
from django.core.checks import Error, Tags, run_checks
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from movie.core.migrations import require_migrations
from movie.core.request_limits import with_readable_charset
from movie.telemetry.counters import count_in_files


def require_tables() -> bool:
    """End the process when the database has no tables for this code yet; return whether it answered."""
    try:
        return require_migrations()
    except CommandError as error:
        sys.exit(f"reelgraph web: {error}")


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
count_in_files(settings.METRICS_DIR)  # before anything imports prometheus_client
application = with_readable_charset(get_wsgi_application())
# What the environment can break. Addresses and admin are code, and checking them would import the admin.
_tags = sorted(registry.tags_available() - {Tags.admin, Tags.urls})
_errors = [message for message in run_checks(tags=_tags) if isinstance(message, Error)]
if _errors:
    raise ImproperlyConfigured("\n".join(str(error) for error in _errors))
database_answered = require_tables()
get_resolver().url_patterns  # noqa: B018 - imports the pages and the API before the first request
# What is loaded by now stays. Without this every full collection walks all of it: some 200 ms of CPU in every
# third call that stores 500 interactions (median 216 ms, longest 338; 120 and 163 with it).
gc.collect()
gc.freeze()
