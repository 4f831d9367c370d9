"""What it costs to be watched: CPU-us that metrics, the request's log line and its id add, and a scrape.

    python -m benchmarks.observability [--times 20000]

Metrics are counted as in a worker of a server (files shared between workers), lines of the log are written as
JSON to a file that keeps nothing. From each request's cost that of the same view without the two middlewares
is taken. The baseline of the ratio is the site's 404 page.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._command import argument_parser, parse_options, print_ratio, run
from benchmarks._serving import use_site

LISTS, FILMS = 5, 10  # of a home page


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--times", type=int, default=20_000)
    options = parse_options(parser, times=2_000)
    with tempfile.TemporaryDirectory() as folder:
        use_site(Path(folder), LOG_FORMAT="json", LOG_LEVEL="INFO")
        measure(options.times)


def measure(times: int) -> None:
    import django
    from django.conf import settings

    from movie.telemetry.counters import count_in_files

    count_in_files(settings.METRICS_DIR)
    django.setup()
    from django.core.management import call_command
    from django.http import HttpRequest, HttpResponse
    from django.test import Client, RequestFactory
    from django.urls import resolve

    from movie.operations.health import readiness
    from movie.operations.metrics_view import site_metrics_text
    from movie.operations.probes import ProbeMiddleware
    from movie.recommendations.ranked_list import RankedList
    from movie.telemetry.counters import instruments
    from movie.telemetry.requests import RequestLogMiddleware, count_shown
    from predictors.history import Recommendation

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(open(os.devnull, "w"))  # noqa: SIM115, PTH123 - until the process ends

    def cpu_us(work: Callable[[], object], number: int = times) -> float:
        """The best of three, so that a neighbour on the machine is not measured."""
        costs = []
        for _ in range(3):
            before = time.process_time()
            for _ in range(number):
                work()
            costs.append((time.process_time() - before) / number * 1e6)
        return min(costs)

    request = RequestFactory().get("/")
    request.resolver_match = resolve("/")
    response = HttpResponse(b"")

    def view(_: HttpRequest) -> HttpResponse:
        return response

    ranking = [Recommendation(97 * n + 1, 0.0) for n in range(FILMS)]
    models = ("for_you", "neighbours", "trending", "most_rated", "popular")[:LISTS]
    lists = [RankedList(model, recommendations=ranking, k=FILMS) for model in models]

    def view_with_lists(_: HttpRequest) -> HttpResponse:
        count_shown(lists)
        return response

    def count_request() -> None:
        instruments().requests.labels("home", "GET", 200).inc()
        instruments().request_seconds.labels("home", "GET").observe(0.006)

    def count_ranking() -> None:
        instruments().ranking_seconds.labels("for_you").observe(0.003)

    bare = cpu_us(lambda: view(request))
    watched = ProbeMiddleware(RequestLogMiddleware(view))  # type: ignore[arg-type]
    page = ProbeMiddleware(RequestLogMiddleware(view_with_lists))  # type: ignore[arg-type]
    rows = [
        ("a request: id, metrics, log line", cpu_us(lambda: watched(request)) - bare),
        ("  of which its metrics", cpu_us(count_request)),
        (f"a page with {LISTS} lists of {FILMS} films", cpu_us(lambda: page(request)) - bare),
        ("  of which the lists", cpu_us(lambda: count_shown(lists))),
        (
            "a list that a model made",
            cpu_us(count_ranking),
        ),
        ("a static file", cpu_us(lambda: watched(static)) - bare)
        if (static := RequestFactory().get("/static/site.css"))
        else ("", 0.0),
        ("/health/ready, remembered", cpu_us(readiness)),
        ("a scrape of /metrics", cpu_us(site_metrics_text, 50)),
    ]
    for name, cost in rows:
        print(f"{name:<42}{cost:>10.1f} CPU-us")
    client = Client(headers={"host": "localhost"})
    missing = cpu_us(lambda: client.get("/no-such-page/"), 100)
    print_ratio("observability: all that watches a page", rows[2][1] / missing, "the 404 page", "at most 0.1")


if __name__ == "__main__":
    run(main)
