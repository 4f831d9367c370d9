"""What the home page of a guest with 20 interactions costs: CPU-ms, queries, and as a ratio to a bare view.

    python -m benchmarks.home_page [--requests 200] [--interactions 20] [--here]

Makes a site of its own with MovieLens 100K and the quick models (about 20 CPU-s), or uses this site's
database and models with --here, and asks through Django's test client in this process; the guest and what
they rated are removed again. The baseline is the 404 page of the same site: the same middleware and base
template without catalogue or model.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--interactions", type=int, default=20)
    parser.add_argument("--here", action="store_true", help="use this site's data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not options.here:
            os.environ["DATA_DIR"] = folder
            os.environ.pop("DATABASE_URL", None)
            os.environ.pop("MODEL_DIR", None)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, setup_test_environment

    from movie.catalogue.models import Movie
    from movie.events.history import get_history
    from movie.events.models import Event
    from movie.events.recording import forget, new_event_id

    if not options.here:
        call_command("demo", quick_only=True, no_serve=True)
    setup_test_environment(debug=False)
    logging.getLogger("django.request").setLevel(logging.ERROR)  # the baseline is a page that is not there
    settings.WRITE_RATE_LIMIT = 100_000
    client = Client(headers={"host": "localhost"})

    def cpu_ms(path: str) -> list[float]:
        costs = []
        for _ in range(options.requests):
            before = time.process_time()
            client.get(path)
            costs.append(1000 * (time.process_time() - before))
        return costs

    client.get("/")  # issues the guest's cookie
    films = list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[: options.interactions])
    for number, film in enumerate(films):
        client.post(f"/movies/{film}/rate/", {"event_id": new_event_id(), "value": str(3 + number % 5 / 2)})
    visitor = Event.objects.order_by("-event_id").values_list("visitor", flat=True).first()
    rated = len(get_history(visitor).ratings)
    try:
        client.get("/")  # loads the models
        with CaptureQueriesContext(connection) as captured:
            answer = client.get("/")
        n_queries = len(captured)
        home = cpu_ms("/")
        bare = cpu_ms("/no-such-page/")
    finally:
        forget(visitor)
    print(f"guest with {rated} ratings, {options.requests} requests, {len(answer.content):,} bytes")
    print(f"queries           {n_queries}")
    print(f"home page         {statistics.median(home):.2f} CPU-ms median, {max(home):.2f} worst")
    print(f"baseline (404)    {statistics.median(bare):.2f} CPU-ms median")
    print(f"ratio             {statistics.median(home) / statistics.median(bare):.2f}x")


if __name__ == "__main__":
    main()
