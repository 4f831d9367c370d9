"""What the home page of a guest with 20 interactions costs: CPU-ms, queries, and as a ratio to a bare view.

    python -m benchmarks.home_page [--requests 200] [--interactions 20] [--data-dir FOLDER]

Asks the site in FOLDER, or one that is made with MovieLens 100K and the quick models (about 20 CPU-s),
through Django's test client in this process; the guest and what they rated are removed again. The baseline is
the 404 page of the same site: the same middleware and base template without catalogue or model.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import demo_site


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--interactions", type=int, default=20)
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    options = parse_options(parser, requests=40)
    with demo_site(options.data_dir) as environment:
        os.environ.update(environment)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, setup_test_environment

    from movie.catalogue.models import Movie
    from movie.events.history import get_history
    from movie.events.models import Event
    from movie.events.recording import forget, new_event_id

    setup_test_environment(debug=False)
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
        if answer.status_code != 200:
            raise CouldNotMeasure(f"the home page answers {answer.status_code}")
        n_queries = len(captured)
        home = cpu_ms("/")
        bare = cpu_ms("/no-such-page/")
    finally:
        forget(visitor)
    print(f"guest with {rated} ratings, {options.requests} requests, {len(answer.content):,} bytes")
    print(f"queries           {n_queries}")
    print(f"home page         {statistics.median(home):.2f} CPU-ms median, {max(home):.2f} worst")
    print(f"baseline (404)    {statistics.median(bare):.2f} CPU-ms median")
    ratio = statistics.median(home) / statistics.median(bare)
    print_ratio(f"home_page: guest with {rated} ratings", ratio, "the 404 page", "at most 6")


if __name__ == "__main__":
    run(main)
