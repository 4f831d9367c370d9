"""What filters, pins and boosts add to one list of the API: CPU-ms by kind, and the ratio to a list without.

    python -m benchmarks.rules [--films 4000] [--requests 60] [--write NAME] [--quick]

Makes a site of its own with made-up films, which have genres, people, countries, tags and attributes, and the
model of item neighbours, trained on made-up plays. Each request goes through the whole stack of
`POST /api/v1/recommend` without a socket, with a random history of its own; the kinds take turns, and the
figure of a kind is the median of its rounds. The baseline is a list without any of them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run
from benchmarks._serving import use_site
from benchmarks.accuracy import RESULTS
from benchmarks.api_recommend import ask, cpu_ms
from evaluation.benchmark_page import write_table
from evaluation.provenance import commit

MODEL, SOURCE, K, LENGTH = "neighbours", "made", 20, 20
N_USERS, PLAYS_OF_USER, SEED = 3_000, 40, 5
ROUNDS = 15
GENRES = [f"Genre {n}" for n in range(18)]
COUNTRIES, TAGS = [f"Country {n}" for n in range(30)], [f"tag {n}" for n in range(40)]
PEOPLE, CAST = 2_000, 6
COLUMNS = ("kind", "CPU-ms", "ratio to none")

Kind = dict[str, Any]
COMEDIES = {"genres_in": [GENRES[0]]}
FILTERS: dict[str, Kind] = {
    "genres_in": COMEDIES,
    "genres_out": {"genres_out": GENRES[1:4]},
    "tags_in": {"tags_in": TAGS[:1]},
    "people_out": {"people_out": ["Person 1", "Person 2", "Person 3"]},
    "countries": {"countries": COUNTRIES[:5]},
    "years and minutes": {"year_from": 1960, "year_to": 1999, "runtime_from": 80, "runtime_to": 140},
    "available_through": {"available_through": "2035-01-01T00:00:00Z"},
    "attributes, a value": {"attributes": {"format": "4k"}},
    "attributes, two bounds": {"attributes": {"price": {"from": 1, "to": 5}}},
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--films", type=int, default=4_000)
    parser.add_argument("--requests", type=int, default=60, help=f"of each kind, in {ROUNDS} rounds")
    parser.add_argument("--write", metavar="NAME", help="of a file in benchmarks/results")
    options = parse_options(parser, films=1_000, requests=ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        use_site(Path(folder))
        make_site(options.films)
        costs = cost_of_kinds(kinds(options.films), options.films, max(1, options.requests // ROUNDS))
    rows = [[kind, f"{cost:.2f}", f"{cost / costs['none']:.2f}"] for kind, cost in costs.items()]
    for row in rows:
        print(f"{row[0]:34}{row[1]:>10}{row[2]:>8}")
    everything = list(costs)[-1]
    print_ratio(f"a list with {everything}", costs[everything] / costs["none"], "a list without")
    if options.write:
        command = f"python -m benchmarks.rules --films {options.films} --requests {options.requests}"
        table = {"command": command, "revision": commit(), "columns": list(COLUMNS), "rows": rows}
        write_table(RESULTS, options.write, table)


def make_site(n_films: int) -> None:
    """Make films with everything that can be filtered by, and train and activate the model."""
    import django

    django.setup()
    from django.core.management import call_command

    from datasets.interactions import Interactions
    from movie.catalogue.models import Movie
    from movie.catalogue.upsert import MovieStatement, Written, write_movies
    from movie.training.registry import registry
    from predictors.plugins import predictor_class
    from predictors.training_data import TrainingData

    call_command("migrate", verbosity=0)
    draw = np.random.default_rng(SEED)

    def some(names: list[str], n: int) -> list[str]:
        return [names[position] for position in draw.choice(len(names), n, replace=False)]

    people = [f"Person {n}" for n in range(PEOPLE)]
    statements = [
        MovieStatement(
            (SOURCE, f"f{number}"),
            (),
            {
                "title": f"Film {number}",
                "year": 1920 + number % 100,
                "runtime": int(draw.integers(60, 200)),
                "genres": some(GENRES, 2),
                "countries": some(COUNTRIES, 1),
                "tags": some(TAGS, 2),
                "cast": some(people, CAST),
                "attributes": {"format": str(draw.choice(["4k", "dvd"])), "price": int(draw.integers(1, 10))},
            },
        )
        for number in range(n_films)
    ]
    for start in range(0, n_films, 500):
        for outcome in write_movies(statements[start : start + 500]):
            assert isinstance(outcome, Written), outcome
    movie_ids = np.array(Movie.objects.order_by("pk").values_list("pk", flat=True))
    users = np.repeat(np.arange(N_USERS), PLAYS_OF_USER)
    items = np.minimum(draw.zipf(1.2, size=len(users)), n_films) - 1
    rows = Interactions.from_columns(users, items, user_ids=np.arange(N_USERS), item_ids=movie_ids)
    kind = predictor_class(MODEL)
    registry().store.publish(kind.fit(TrainingData(rows), kind.config_class()), activate=True)


def kinds(n_films: int) -> dict[str, Kind]:
    """Return what each kind of rule adds to the body of a request."""
    films = list(range(n_films // 2, n_films // 2 + 200))
    pins = [{"movie_id": film, "rank": rank} for rank, film in enumerate(films[:20], 1)]
    boosts = [{"filters": {"genres_in": [genre]}, "places": 5} for genre in GENRES] * 2
    everything = {
        "filters": {"genres_out": GENRES[1:3], "year_from": 1950, "attributes": {"format": ["4k", "dvd"]}},
        "rules": {"pins": pins[:3], "boosts": boosts[:3]},
    }
    return {
        "none": {},
        **{f"filter: {name}": {"filters": each} for name, each in FILTERS.items()},
        "1 pin": {"rules": {"pins": pins[:1]}},
        "20 pins": {"rules": {"pins": pins}},
        "1 boost of 200 films": {"rules": {"boosts": [{"movies": films, "places": 10}]}},
        "1 boost by a filter": {"rules": {"boosts": boosts[:1]}},
        "20 boosts by filters": {"rules": {"boosts": boosts[:20]}},
        "3 filters, 3 pins, 3 boosts": everything,
    }


def cost_of_kinds(wanted: dict[str, Kind], n_films: int, per_round: int) -> dict[str, float]:
    """Return the CPU-ms of a request by kind, the median of the rounds."""
    from threadpoolctl import threadpool_limits

    from webapp.wsgi import application

    draw = np.random.default_rng(SEED)

    def body(kind: Kind) -> bytes:
        history = (draw.choice(n_films, LENGTH, replace=False) + 1).tolist()
        return json.dumps({"history": history, "k": K, "model": MODEL, **kind}).encode()

    def answer_all(bodies: list[bytes]) -> None:
        for each in bodies:
            answer = ask(application, each)
            assert answer.get("recommendations"), answer

    spent: dict[str, list[float]] = {name: [] for name in wanted}
    with threadpool_limits(1):
        for kind in wanted.values():
            answer_all([body(kind)])
        for _ in range(ROUNDS):
            for name, kind in wanted.items():
                bodies = [body(kind) for _ in range(per_round)]
                spent[name].append(cpu_ms(partial(answer_all, bodies)) / per_round)
    return {name: statistics.median(rounds) for name, rounds in spent.items()}


if __name__ == "__main__":
    run(main)
