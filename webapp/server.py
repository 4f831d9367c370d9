"""granian, with the site's modules imported before it forks its workers, which then share their memory.

    python -m webapp.server --interface rsgi --workers 2 ... webapp.rsgi:application

Takes granian's own arguments. Where processes are spawned and not forked (macOS, Windows), each worker
imports the modules itself, as under granian's own command.
"""

import gc
import multiprocessing
import os
import sys


def main() -> None:
    """Serve until a signal ends the server."""
    if multiprocessing.get_start_method() == "fork":
        import_site()
    from granian.cli import entrypoint

    sys.argv[0] = "granian"
    entrypoint()


def import_site() -> None:
    """Import the modules of the site. No connection, thread or open file comes with them."""
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


if __name__ == "__main__":
    main()
