"""models compare: the question which model should be the default, asked of the site's own log."""

import json
from io import StringIO

import numpy as np
import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.urls import reverse

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import LONG_AGO
from movie.training import default_comparison
from movie.training.default_comparison import Answers, Questions, decide, questions_at
from movie.training.models import DefaultComparison, DefaultModel
from movie.training.runs import Interrupted
from movie.training.temporal_split import TemporalSplit
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db
FILMS, PEOPLE, TASTES = 100, 300, 5


# -- the questions ---------------------------------------------------------------------------------


def rows_of(histories: list[list[tuple[int, int]]]) -> Interactions:
    """Rows from (item, time) lists by user."""
    users = [user for user, history in enumerate(histories) for _ in history]
    items, at = zip(*[pair for history in histories for pair in history], strict=True)
    n = len(users)
    return Interactions.from_columns(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.full(n, np.nan, np.float32),
        np.array(at, np.int64),
        user_ids=np.arange(len(histories)),
        item_ids=np.arange(20),
    )


def test_visitors_are_asked_for_what_came_after_the_moment_given_what_came_before():
    before_and_after = [(1, 10), (2, 20), (3, 30), (4, 110), (5, 120)]
    only_after = [(6, 105), (7, 115), (8, 125), (9, 135)]
    only_before = [(1, 10), (2, 20)]
    rows = rows_of([before_and_after, only_after, only_before])
    split = TemporalSplit(100, rows.select(rows.at <= 100), rows, np.empty(0, np.int64))
    one = questions_at(split, 1)
    assert one.users.tolist() == [0, 1]
    assert [one.next.history[row].tolist() for row in (0, 1)] == [[3], [6]]
    assert [one.next.targets[row].tolist() for row in (0, 1)] == [[4], [7]]
    assert [one.later.targets[row].tolist() for row in (0, 1)] == [[4, 5], [7, 8, 9]]
    assert [one.next.seen[row].tolist() for row in (0, 1)] == [[1, 2, 3], [6]]
    three = questions_at(split, 3)
    assert [three.next.history[row].tolist() for row in (0, 1)] == [[1, 2, 3], [6, 7, 8]]
    four = questions_at(split, 4)  # one of them has nothing left to ask for
    assert four.users.tolist() == [0]
    assert four.next.history[0].tolist() == [1, 2, 3, 4]


def asked(n: int, users: int) -> Questions:
    return Questions(n, np.arange(users), None, None)  # type: ignore[arg-type]


def test_the_best_balance_is_proposed_if_it_is_clearly_better_and_personal():
    rng = np.random.default_rng(0)
    both = [asked(1, 80), asked(5, 60)]

    def answers(following: float, later: float, shared: float) -> list[Answers]:
        return [
            Answers(
                following + rng.random(len(each.users)) / 10, later + rng.random(len(each.users)) / 10, shared
            )
            for each in both
        ]

    popular, personal, alike = answers(0.0, 0.5, 1.0), answers(0.3, 0.3, 0.05), answers(0.6, 0.6, 0.9)
    decision = decide(both, {"popular": popular, "ease": personal, "same": alike}, "popular")
    assert (decision.proposed, decision.is_clear) == ("ease", True)
    assert [row["model"] for row in decision.tables["models"]] == ["same", "ease", "popular"]
    value, low, high = decision.tables["models"][1]["difference"]
    assert 0 < low < value < high
    lengths = decision.tables["lengths"]
    assert [(length["n"], length["visitors"]) for length in lengths] == [(1, 80), (5, 60)]
    ease = lengths[0]["rows"][1]
    assert ease["next"] == pytest.approx(personal[0].next.mean(), abs=1e-5)
    difference = (personal[0].later - popular[0].later).mean()
    assert ease["differences"]["later"][0] == pytest.approx(difference, abs=1e-5)
    assert decide(both, {"popular": popular, "ease": personal}, "ease").proposed == "ease"
    nearly = [
        Answers(each.next + 1e-4 * (-1) ** np.arange(len(each.next)), each.later, 0.05) for each in personal
    ]
    assert decide(both, {"ease": personal, "als": nearly}, "ease").proposed == "ease"


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def site(settings, tmp_path) -> ModelStore:
    """People of five tastes who come one after the other, and popular as the default."""
    settings.MODEL_DIR = tmp_path / "models"
    settings.DEFAULT_MODELS = ("popular",)
    cache.clear()
    films = Movie.objects.bulk_create(Movie(title=f"Film {n}") for n in range(FILMS))
    rng = np.random.default_rng(1)
    Rating.objects.bulk_create(
        Rating(
            visitor=f"ml-100k:{person}",
            movie=films[film],
            value=4.0,
            rated_at=LONG_AGO.replace(microsecond=0) + np.timedelta64(3600 * person + 60 * turn, "s").item(),
        )
        for person in range(PEOPLE)
        for turn, film in enumerate(rng.permutation(np.arange(person % TASTES, FILMS, TASTES))[:8].tolist())
    )
    Movie.objects.refresh_aggregates()
    store = ModelStore(settings.MODEL_DIR)
    rows = rows_of([[(0, 1), (1, 2)], [(1, 1), (2, 2)]])
    for kind in (PopularPredictor, NeighboursPredictor):
        store.publish(kind.fit(rows), data={"id_space": FROM_SITE}, activate=True)
    return store


def compare(**options) -> str:
    written = StringIO()
    call_command("models", "compare", quiet=True, stdout=written, **options)
    return written.getvalue()


def test_the_result_is_printed_stored_and_shown_and_nothing_is_switched(site, client, admin_client):
    versions = {name: site.current(name) for name in site.names()}
    said = compare()
    (stored,) = DefaultComparison.objects.all()
    assert (stored.default, stored.proposed, stored.is_clear) == ("popular", "neighbours", True)
    assert stored.revision
    assert "Proposed: neighbours in the place of popular." in said
    assert "After 5 films" in said
    assert {name: site.current(name) for name in site.names()} == versions
    assert not DefaultModel.objects.exists()
    assert not (site.root / default_comparison.FOLDER).exists()
    page = client.get(reverse("pages:compare_runs")).content.decode()
    address = reverse("admin:training_defaultcomparison_change", args=[stored.pk])
    in_admin = admin_client.get(address).content.decode()
    for markup in (page, in_admin):
        assert "The figures speak for Item neighbours in the place of Popular." in markup
        assert "After 5 films" in markup
        assert stored.revision[:12] in markup
    assert json.loads(compare(json=True))["models"][0]["model"] == "neighbours"


def test_an_interrupted_comparison_goes_on_from_where_it_was(site, monkeypatch):
    trained = []
    train = default_comparison.train

    def counted(name, *args, **options):
        if trained == ["popular"]:
            trained.append("interrupted")
            raise Interrupted
        trained.append(name)
        return train(name, *args, **options)

    monkeypatch.setattr(default_comparison, "train", counted)
    with pytest.raises(CommandError, match="goes on from there") as refused:
        compare()
    assert refused.value.returncode == 130
    assert not DefaultComparison.objects.exists()
    compare()
    assert trained == ["popular", "interrupted", "neighbours"]
    whole = DefaultComparison.objects.latest().tables
    monkeypatch.setattr(default_comparison, "train", train)
    compare()
    assert DefaultComparison.objects.latest().tables == whole


def test_too_few_visitors_and_unknown_models_are_refused(site):
    with pytest.raises(CommandError, match="too few to compare by"):
        compare(min_visitors=10_000)
    with pytest.raises(CommandError, match="no model unheard"):
        compare(models="unheard")
