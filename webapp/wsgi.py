"""The WSGI application. Refuses to start with a wrong configuration, as every command does."""

import os

from django.core.checks import Error, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from movie.metrics.shared import share_between_workers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
application = get_wsgi_application()
_errors = [message for message in run_checks() if isinstance(message, Error)]
if _errors:
    raise ImproperlyConfigured("\n".join(str(error) for error in _errors))
share_between_workers()
