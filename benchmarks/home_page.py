"""Measures pages of a guest with 20 ratings: home, a film and the 404 page, in CPU-ms, and an empty view.

    python -m benchmarks.home_page [--requests 200] [--interactions 20] [--data-dir FOLDER]

Asks the site in FOLDER, or one that is made with MovieLens 100K and the quick models (about 20 CPU-s), in
this process: its WSGI application, with the headers of a browser. The pages take turns; figures are medians.
The guest and what they rated are removed again. The baseline is an empty view behind the same middleware, at
an address that this command adds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import HOST, demo_site, manage

EMPTY = "empty-view/"
WARM_UP = 3  # requests of each page, after which models are loaded and lists cached
GOALS = {"home": "at most 14", "film": "at most 36", "404": "at most 5"}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of each page")
    parser.add_argument("--interactions", type=int, default=20)
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    options = parse_options(parser, requests=40)
    with demo_site(options.data_dir) as environment:
        manage(environment, "collectstatic", "--no-input", "--verbosity", "0")
        os.environ.update(environment)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.db import connection
    from django.http import HttpResponse
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import path

    from movie.catalogue.models import Movie
    from movie.events.models import Event
    from movie.events.recording import forget, new_event_id
    from webapp import urls

    urls.urlpatterns.append(path(EMPTY, lambda _request: HttpResponse()))
    guest = Client(headers={"host": HOST, "accept": "*/*"})  # sends ratings as the site's script does
    guest.get("/")  # issues the guest's cookie
    wanted = options.interactions + 1
    *rated, unseen = Movie.objects.visible().most_rated().values_list("pk", flat=True)[:wanted]
    for number, film in enumerate(rated):
        guest.post(f"/movies/{film}/rate/", {"event_id": new_event_id(), "value": str(3 + number % 5 / 2)})
    visitor = Event.objects.values_list("visitor", flat=True).latest("event_id")
    pages = {"empty": f"/{EMPTY}", "404": "/no-such-page/", "home": "/", "film": f"/movies/{unseen}/"}
    try:
        ask = browser("; ".join(f"{name}={morsel.value}" for name, morsel in guest.cookies.items()))
        for page, address in [*pages.items()] * WARM_UP:
            status, _page = ask(address)
            if status != ("404 Not Found" if page == "404" else "200 OK"):
                raise CouldNotMeasure(f"{address} answers {status}")
        with CaptureQueriesContext(connection) as captured:
            guest.get("/")
        n_queries = len(captured)
        _status, home = ask("/")
        costs: dict[str, list[float]] = {page: [] for page in pages}
        for page, address in [*pages.items()] * options.requests:
            before = time.process_time()
            ask(address)
            costs[page].append(1000 * (time.process_time() - before))
    finally:
        forget(visitor)
    print(f"guest with {len(rated)} ratings, {options.requests} requests of each page")
    print(f"home page: {n_queries} queries, {len(home):,} bytes as compressed")
    medians = {page: statistics.median(each) for page, each in costs.items()}
    for page, median in medians.items():
        print(f"{page:6} {median:6.2f} CPU-ms median, {max(costs[page]):.2f} worst")
    for page, goal in GOALS.items():
        print_ratio(f"home_page: {page}, guest with {len(rated)} ratings", medians[page] / medians["empty"],
                    "an empty view", goal)  # fmt: skip


def browser(cookies: str) -> Any:
    """Return a function that asks the WSGI application for an address, and sends a body if there is one.

    It returns status and body of the answer.
    """
    from webapp.wsgi import application

    def ask(address: str, sent: bytes = b"", **headers: str) -> tuple[str, bytes]:
        statuses: list[str] = []
        path, _mark, query = address.partition("?")
        environ = {
            "REQUEST_METHOD": "POST" if sent else "GET", "PATH_INFO": path, "SCRIPT_NAME": "",
            "QUERY_STRING": query, "CONTENT_TYPE": "application/x-www-form-urlencoded" if sent else "",
            "CONTENT_LENGTH": str(len(sent)), "wsgi.input": BytesIO(sent),
            "SERVER_NAME": HOST, "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": HOST,
            "HTTP_HOST": HOST, "HTTP_COOKIE": cookies, "HTTP_ACCEPT": "text/html",
            "HTTP_ACCEPT_ENCODING": "gzip, deflate, br", "HTTP_ACCEPT_LANGUAGE": "en", **headers,
            "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
        }  # fmt: skip
        answer: Iterable[bytes] = application(environ, lambda status, _headers: statuses.append(status))
        body = b"".join(answer)
        answer.close()  # type: ignore[attr-defined] # a response of Django
        return statuses[0], body

    return ask


if __name__ == "__main__":
    run(main)
