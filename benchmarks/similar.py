"""Similar films: is a sequel among the ten, a film by the same director, and how popular are they?

    python -m benchmarks.similar [--data ml-100k] [--facts FACTS.tsv] [--on validation] [--write NAME]

FACTS.tsv is a table of films as `import_facts` reads it, the site's own by default, and MovieLens 100K is the
data. The baseline is the order by who met both alone; --quick tries fewer weights of For you. For you is
fitted on everybody but the people whom protocol session holds out. Its lists of similar films are asked as
they are and with `movie.recommendations.content_similarity` added: for the 300 most rated films, how often
ten hold a film of the same series and a film by the same director where enough people rated one, and how much
of the ten stands in the list of popular films; and whether they hold the film that a held-out person met
next.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks.accuracy import RESULTS
from benchmarks.clicks import FEW_TRIES
from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Cases
from datasets.splits.protocols import PARTS, latest_of_each_pair, split_interactions
from evaluation.benchmark_page import write_table
from evaluation.provenance import commit
from movie.catalogue.titles import parse_title
from movie.recommendations.content_similarity import (
    POOL,
    ContentWeights,
    MovieFacts,
    scores_with_content,
    series_key,
)
from predictors.history import Recommendation
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.popular import PopularPredictor
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData

WELL_KNOWN, DEPTH = 300, 10
ENOUGH = 20  # ratings of a sequel or of a film by the same director, to expect it
ORDERS = {
    "who met both alone": ContentWeights(0, 0),
    "and series": ContentWeights(1, 0),
    **{
        f"and series, director {weight:g}": ContentWeights(1, weight) for weight in (0.1, 0.15, 0.2, 0.3, 0.5)
    },
}
OWN_FACTS = Path(__file__).resolve().parents[1] / "movie" / "catalogue" / "data" / "film_facts.tsv"
COLUMNS = (
    "order",
    "a sequel among ten",
    "a film by the same director",
    "popular films",
    "next film, NDCG@10",
)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder of MovieLens 100K or 1M")
    parser.add_argument("--facts", type=Path, default=OWN_FACTS)
    parser.add_argument("--on", choices=PARTS, default="test", help="validation chose the weights")
    parser.add_argument("--write", metavar="NAME", help="of a file in benchmarks/results")
    options = parse_options(parser)
    options.data = data_or_default(options.data)
    config = ForYouConfig(**FEW_TRIES) if options.quick else ForYouConfig()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django

    django.setup()  # the readers of film files need it
    rows = []
    for row in measure(options.data, options.facts, options.on, config):
        rows.append(row)
        sys.stdout.write("  ".join(f"{cell:>30}" for cell in row) + "\n")
    first, chosen = rows[0], rows[2]  # who met both alone, and the order of the site
    for column in (1, 2):
        alone, ours = (float(row[column].split()[0]) for row in (first, chosen))
        print_ratio(f"similar: {COLUMNS[column]}", ours / alone, first[0], "at least 1")
    if options.write:
        command = f"python -m benchmarks.similar --data {options.data.name} --facts {options.facts.name}"
        table = {"command": command, "revision": commit(), "columns": list(COLUMNS), "rows": rows}
        write_table(RESULTS, options.write, table)


def measure(data: Path, people: Path, part: str, config: ForYouConfig) -> Iterator[list[str]]:
    """Yield a row of texts for each order."""
    interactions = latest_of_each_pair(read_dataset(data).interactions)
    split = split_interactions("session", interactions, part=part, n=["1"], seed=1)
    training = TrainingData(split.train, split.validation)
    facts = read_facts(data, people, split.train.item_ids)
    n_rows = np.bincount(split.train.items, minlength=split.train.n_items)
    popular = PopularPredictor.fit(training).score([Query.from_indices([])])[0].argsort()[::-1][:DEPTH]
    similar = SimilarLists(ForYouPredictor.fit(training, config, Run(seed=1)), facts)
    seeds = np.argsort(-n_rows, kind="stable")[:WELL_KNOWN].tolist()
    well_rated = np.flatnonzero(n_rows >= ENOUGH).tolist()
    for name, weights in ORDERS.items():
        lists = {seed: similar.of(seed, weights)[:DEPTH] for seed in seeds}
        series, n_series = _share_of_expected(lists, facts, well_rated, _same_series)
        director, n_director = _share_of_expected(lists, facts, well_rated, _same_director)
        shared = np.mean([np.isin(ten, popular).sum() / DEPTH for ten in lists.values()])
        found = _next_film(similar, split.cases[0], weights)
        yield [
            name,
            f"{series:.2f} of {n_series}",
            f"{director:.2f} of {n_director}",
            f"{shared:.3f}",
            f"{found:.4f}",
        ]


class SimilarLists:
    """Similar films of a predictor by index, with any weights of content similarity."""

    def __init__(self, predictor: ForYouPredictor, facts: Sequence[MovieFacts]) -> None:
        self.facts = facts
        self._predictor = predictor
        self._index_of = {movie_id: index for index, movie_id in enumerate(predictor.ids)}
        self._found: dict[int, list[Recommendation]] = {}

    def of(self, item: int, weights: ContentWeights) -> list[int]:
        """Return the most similar films of one film, by index."""
        if item not in self._found:
            self._found[item] = self._predictor.similar(self._predictor.ids[item], POOL)
        found = self._found[item]
        rows = [self._index_of[each.movie_id] for each in found]
        scores = [each.score for each in found]
        values = scores_with_content(self.facts[item], [self.facts[row] for row in rows], scores, weights)
        return [rows[rank] for rank in np.argsort(-np.array(values), kind="stable").tolist()]


def read_facts(data: Path, people: Path, item_ids: np.ndarray) -> list[MovieFacts]:
    """Return title and genres of each item from the data's own file, and its directors from a table."""
    from movie.catalogue.importing.formats import format_of, locate, open_file, read

    column = data.name.replace("-", "")  # ml100k, ml1m; a table without it names films by title and year
    names: dict[str, int] = {}
    directors: dict[str, set[int]] = {}
    with people.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            known = [name for name in row["directors"].split("|") if name]
            directors[row.get(column) or f"{row['title']} ({row['year']})"] = {
                names.setdefault(name, len(names)) for name in known
            }
    films = locate(data, "movies")
    known_format = format_of(films, "movies")
    facts = {}
    with open_file(films, known_format) as opened:
        for record in read(opened, known_format, "movies").records:
            if record.cells:
                movie_id, title, *year, genres = record.cells[: 4 if known_format.named_columns else 3]
                parsed = parse_title(title)
                named = f"{parsed.title} ({year[0] if year else parsed.year})"
                people_of = directors.get(movie_id) or directors.get(named, ())
                facts[movie_id] = MovieFacts(
                    parsed.title, frozenset(re.split(r"[| ]", genres)) | {*people_of}
                )
    return [facts[str(item)] for item in item_ids.tolist()]


def _share_of_expected(
    lists: Mapping[int, list[int]],
    facts: Sequence[MovieFacts],
    well_rated: Sequence[int],
    is_like: Callable[[MovieFacts, MovieFacts], bool],
) -> tuple[float, int]:
    """Return the share of films whose ten hold a film like them, of those that have one, and how many do."""
    hits = []
    for seed, ten in lists.items():
        wanted = {item for item in well_rated if item != seed and is_like(facts[seed], facts[item])}
        if wanted:
            hits.append(bool(wanted & set(ten)))
    return float(np.mean(hits)), len(hits)


def _same_series(a: MovieFacts, b: MovieFacts) -> bool:
    return series_key(a.title) == series_key(b.title)


def _same_director(a: MovieFacts, b: MovieFacts) -> bool:
    return any(isinstance(each, int) for each in a.features & b.features)


def _next_film(similar: SimilarLists, cases: Cases, weights: ContentWeights) -> float:
    """Return the NDCG@10 of the film after one click, films met before masked."""
    gains = []
    for row in range(len(cases)):
        seen = set(cases.seen[row].tolist())
        ten = [item for item in similar.of(int(cases.history[row][-1]), weights) if item not in seen][:DEPTH]
        target = int(cases.targets[row][0])
        gains.append(1 / np.log2(ten.index(target) + 2) if target in ten else 0.0)
    return float(np.mean(gains))


if __name__ == "__main__":
    run(main)
