"""granian, with the site's application made before it forks its workers, which then share its memory.

    python -m webapp.server --interface rsgi --workers 2 ... webapp.rsgi:application

Takes granian's own arguments. Where processes are spawned and not forked (macOS, Windows), each worker
makes the application itself, as under granian's own command.
"""

import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event
from typing import Any, cast


def main() -> None:
    """Serve until a signal ends the server."""
    import_site()
    _serve(sys.argv[1:])


def serve_in_child(arguments: Sequence[str], is_ready: Event) -> None:
    """Import the site, and serve it once it is ready, in a child of a command.

    The terminal of the command gets no line of each request, unless LOG_LEVEL asks for it.
    """
    # One BLAS thread per request: requests run side by side already.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    if "LOG_LEVEL" not in os.environ:
        os.environ["LOG_LEVEL"] = "WARNING"  # workers that are spawned read it
        logging.disable(logging.INFO)  # forked ones do not: the command has read its settings
    import_site()
    from predictors.threads import one_blas_thread

    is_ready.wait()
    with one_blas_thread():  # libraries that were loaded before the fork do not read the environment again
        _serve(arguments)


def _serve(arguments: Sequence[str]) -> None:
    from granian.cli import cli

    start = cast("Callable[..., None]", cli.callback)

    def make_application_and_start(**options: Any) -> None:
        make_application()
        start(**options)

    cli.callback = make_application_and_start  # called once the arguments are found right
    cli.main(arguments, "granian", auto_envvar_prefix="GRANIAN")


def import_site() -> None:
    """Import the modules of the site where workers are forked, without a connection, thread or open file."""
    if multiprocessing.get_start_method() != "fork":
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django
    from django.conf import settings
    from django.urls import get_resolver
    from django.utils.module_loading import import_string

    django.setup()
    for middleware in settings.MIDDLEWARE:
        import_string(middleware)
    get_resolver().url_patterns  # noqa: B018 - imports every view
    import movie.operations.gateway  # noqa: F401

    # A collection that walks the objects of the modules would write to their pages, and so copy them.
    gc.collect()
    gc.freeze()


def make_application() -> None:
    """Check the site and make its application where workers are forked, with all that the models import.

    The pages of what is done here are shared; done by a worker, they would be its own. Ends the process, as
    `webapp.wsgi` does, on a wrong configuration and without the tables of the database. Of a database that
    gives no answer, `webapp.rsgi` asks again in each worker.
    """
    if multiprocessing.get_start_method() != "fork":
        return
    from django.conf import settings
    from django.db import connections

    from movie.telemetry.counters import count_in_files_of_forks
    from movie.training.registry import registry

    registry().import_models()
    count_in_files_of_forks(settings.METRICS_DIR)
    import webapp.wsgi  # noqa: F401

    connections.close_all()  # no two processes may use one


if __name__ == "__main__":
    main()
