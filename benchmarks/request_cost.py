"""What one list of For you costs beside one of the linear sequence model, by the length of the history.

    python -m benchmarks.request_cost [--data ml-1m] [--lengths 5,20,50,200] [--requests 200] [--write NAME]

Makes a site of its own with the items of a data set and both models trained on it, For you with few tries of
its weights, which change what is recommended, not how long it takes. Histories are those of real users. Each
request goes through the whole stack of `POST /api/v1/recommend` without a socket, from 16 threads at once;
the models take turns. CPU-ms of the process by request. The baseline is the linear sequence model. --data is
MovieLens 100K by default; --quick asks with histories of 20 films alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks._serving import use_site
from benchmarks.accuracy import RESULTS
from benchmarks.api_recommend import ask, cpu_ms
from datasets.interactions import Interactions
from datasets.readers.dataset import read_dataset
from datasets.splits.protocols import latest_of_each_pair
from evaluation.benchmark_page import write_table
from evaluation.provenance import commit

MODELS = ("linear_sequence", "for_you")
FEW_TRIES = {"tries": 100, "visitors": 100}
THREADS, ROUNDS, BODIES = 16, 4, 50
COLUMNS = ("films of the history", *(f"{name}: CPU-ms" for name in MODELS), "ratio")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lengths", default="5,20,50,200")
    parser.add_argument("--requests", type=int, default=200, help="of each model and length, in four rounds")
    parser.add_argument("--write", metavar="NAME", help="of a file in benchmarks/results")
    options = parse_options(parser, lengths="20", requests=40)
    options.data = data_or_default(options.data)
    interactions = latest_of_each_pair(read_dataset(options.data).interactions)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        use_site(Path(folder))
        make_site(interactions)
        for length in map(int, options.lengths.split(",")):
            costs = cost_of_models(histories(interactions, length), options.requests)
            rows.append([str(length), *(f"{cost:.2f}" for cost in costs), f"{costs[1] / costs[0]:.2f}"])
            sys.stdout.write("  ".join(f"{cell:>10}" for cell in rows[-1]) + "\n")
            print_ratio(f"request_cost: for_you after {length} films", costs[1] / costs[0], "linear_sequence")
    if options.write:
        command = f"python -m benchmarks.request_cost --data {options.data.name} --lengths {options.lengths}"
        table = {"command": command, "revision": commit(), "columns": list(COLUMNS), "rows": rows}
        write_table(RESULTS, options.write, table)


def make_site(interactions: Interactions) -> None:
    """Make movies 1..n_items, and train and activate both models on the interactions."""
    import django

    django.setup()
    from django.core.management import call_command

    from movie.catalogue.models import Movie
    from movie.training.registry import registry
    from predictors.plugins import predictor_class
    from predictors.training_data import TrainingData

    call_command("migrate", verbosity=0)
    movie_ids = np.arange(1, interactions.n_items + 1)
    Movie.objects.bulk_create(
        (Movie(pk=pk, title=f"Film {pk}", sort_title=f"film {pk}", year=2000) for pk in movie_ids.tolist()),
        batch_size=2000,
    )
    data = TrainingData(
        Interactions.from_columns(
            interactions.users,
            interactions.items,
            interactions.values,
            interactions.at,
            user_ids=interactions.user_ids,
            item_ids=movie_ids,
        )
    )
    for name in MODELS:
        kind = predictor_class(name)
        config = kind.config_class.read(FEW_TRIES if name == "for_you" else {})
        registry().store.publish(kind.fit(data, config), activate=True)


def histories(interactions: Interactions, length: int) -> list[list[int]]:
    """Return the latest movies of users who have so many, BODIES users at most."""
    users = np.flatnonzero(np.diff(interactions.indptr) >= length)
    chosen = np.random.default_rng(1).permutation(users)[:BODIES].tolist()
    return [(interactions.items_of(user)[-length:] + 1).tolist() for user in chosen]


def cost_of_models(shown: Sequence[list[int]], n_requests: int) -> list[float]:
    """Return the CPU-ms of a request for each of MODELS."""
    from threadpoolctl import threadpool_limits

    from webapp.wsgi import application

    spent = dict.fromkeys(MODELS, 0.0)
    bodies = {
        name: [json.dumps({"history": each, "k": 10, "model": name}).encode() for each in shown]
        for name in MODELS
    }
    per_round = n_requests // ROUNDS
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as threads:

        def answer_all(turns: Sequence[bytes]) -> None:
            for made in threads.map(partial(ask, application), turns):
                assert made["recommendations"], made

        for name in MODELS:  # loads the model, and says so if another one answers
            made = ask(application, bodies[name][0])
            assert made["model"] == name and len(made["recommendations"]) == 10, made
        for _ in range(ROUNDS):
            for name in MODELS:
                turns = list(islice(cycle(bodies[name]), per_round))
                spent[name] += cpu_ms(partial(answer_all, turns))
    return [spent[name] / (per_round * ROUNDS) for name in MODELS]


if __name__ == "__main__":
    run(main)
