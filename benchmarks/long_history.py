"""What pages cost a visitor with 10,000 rated films: CPU-ms of a request with cold caches, and its queries.

    DATA_DIR=FOLDER python -m benchmarks.long_history

The site in DATA_DIR is one that `manage.py demo --no-serve` made; films and a guest with the long history are
added to it. CPU is of the whole request, in this process, without a socket: the median of 5.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import uuid
from datetime import timedelta

N_FILMS, TIMES = 10_000, 5
VISITOR = f"guest:{uuid.UUID(int=10_000)}"


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django

    django.setup()
    from django.core.cache import cache
    from django.core.signing import get_cookie_signer
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from movie.visitors.visitor import GUEST_COOKIE, SALT

    unseen = _make_history()
    client = Client(headers={"host": "localhost"})
    client.cookies[GUEST_COOKIE] = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(VISITOR)
    pages = {
        "home": "/",
        "recommend": "/recommend/",
        "why": f"/movies/{unseen}/why/?model=for_you",
        "compare": "/compare/",
        "movie": f"/movies/{unseen}/",
        "history": "/history/",
    }
    for name, address in pages.items():
        client.get(address)  # loads the models
        spent = []
        for _ in range(TIMES):
            cache.clear()
            with CaptureQueriesContext(connection) as asked:
                before = time.process_time()
                status = client.get(address).status_code
                spent.append(1000 * (time.process_time() - before))
        sys.stdout.write(f"{name:12}{status:>5}{statistics.median(spent):>9.0f} ms{len(asked):>5} queries\n")
    return 0


def _make_history() -> int:
    """Give the guest their history, unless they have it, and return a film that is not in it."""
    from django.utils import timezone

    from movie.catalogue.models import Movie
    from movie.core.ids import new_event_id
    from movie.events.models import Event

    films = list(Movie.objects.order_by("-rating_count", "pk").values_list("pk", flat=True)[: N_FILMS + 1])
    if Event.objects.filter(visitor=VISITOR).exists():
        return films[0]
    top = max(films)
    missing = range(top + 1, top + 2 + N_FILMS - len(films))
    Movie.objects.bulk_create(
        [Movie(pk=pk, title=f"Made up {pk}", sort_title=f"made up {pk}") for pk in missing]
    )
    began = timezone.now() - timedelta(days=2)
    Event.objects.bulk_create(
        [
            Event(
                event_id=new_event_id(),
                visitor=VISITOR,
                kind="rating",
                movie_id=film,
                at=began + timedelta(seconds=n),
                value=(1 + film * 7919 % 10) / 2,
                surface="home",
            )
            for n, film in enumerate([*missing, *films[:0:-1]])
        ]
    )
    return films[0]


if __name__ == "__main__":
    sys.exit(main())
