"""The protocol runner: known answers, no leaks, rows that say how they came about."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.interactions import Interactions
from datasets.readers.dataset import read_dataset
from datasets.splits.protocols import split_interactions
from evaluation import conditions, plots, report
from evaluation.conditions import evaluate
from evaluation.protocols import star_query, training_split
from evaluation.report import ReportError
from evaluation.runner import Benchmark, run_benchmark
from predictors.base import Predictor
from predictors.errors import PredictorError
from predictors.id_map import IdMap
from predictors.models.mf.model import MfConfig, MfPredictor
from predictors.models.popular import PopularPredictor
from predictors.query import Query
from predictors.testing import fit_model
from ranking_metrics.ranking import per_user

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
N_ITEMS = 40


class Scripted(Predictor):
    """Scores that depend on the last liked item, so that a wrong history is noticed."""

    name = "scripted"

    def __init__(self, table: np.ndarray) -> None:
        super().__init__(IdMap(range(table.shape[1])))
        self.table = table
        self.asked: list[Query] = []

    @classmethod
    def _fit(cls, data, config, run):
        raise NotImplementedError

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        self.asked += queries
        return self.table[[query.liked[-1] for query in queries]].astype(np.float32)

    def tensors(self):
        return {"table": self.table}

    @classmethod
    def from_artifact(cls, saved):
        return cls(saved.tensors["table"])


def synthetic(n_users: int = 300, seed: int = 0) -> Interactions:
    """Users who like items near their own taste, so that models can learn something."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, N_ITEMS, n_users)
    rows = [
        (user, item)
        for user in range(n_users)
        for item in dict.fromkeys(((taste[user] + rng.geometric(0.15, 16)) % N_ITEMS).tolist())
    ]
    users, items = np.array(rows).T
    return Interactions.from_columns(
        users,
        items,
        rng.integers(1, 6, len(rows)),
        1_000_000_000 + rng.permutation(len(rows)),
        user_ids=np.arange(n_users),
        item_ids=np.arange(N_ITEMS),
    )


@pytest.fixture(scope="module")
def ratings_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    data = synthetic()
    rows = zip(data.users, data.items, data.values, data.at, strict=True)
    path.write_text(
        "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},{v},{t}\n" for u, i, v, t in rows),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def leave_one_out():
    return split_interactions("leave-one-out", synthetic())


def slow_ranking(scores: np.ndarray, masked: set[int]) -> list[int]:
    return sorted((item for item in range(len(scores)) if item not in masked), key=lambda i: (-scores[i], i))


def test_figures_equal_a_ranking_done_by_hand(leave_one_out):
    table = np.random.default_rng(1).integers(0, 12, (N_ITEMS, N_ITEMS))  # few values: many ties
    outcomes = {outcome.label: outcome for outcome in evaluate(Scripted(table), leave_one_out)}
    (cases,) = leave_one_out.cases
    for label, outcome in outcomes.items():
        for row in range(len(cases)):
            history, target = cases.history[row], cases.targets[row][0]
            ranking = slow_ranking(table[history[-1]], set() if label else set(history.tolist()))
            rank = ranking.index(target) + 1
            expected = [
                rank <= 10,
                1 / np.log2(rank + 1) if rank <= 10 else 0,
                1 / rank if rank <= 10 else 0,
                1 / rank,
            ]
            np.testing.assert_allclose(outcome.values[row, :4], expected)
    assert list(outcomes) == ["", "unmasked"]
    assert outcomes[""].names[:4] == ("HR@10", "NDCG@10", "MRR@10", "MRR")


def test_histories_are_handed_over_in_time_order(leave_one_out):
    model = Scripted(np.ones((N_ITEMS, N_ITEMS)))
    evaluate(model, leave_one_out)
    (cases,) = leave_one_out.cases
    assert len(model.asked) == len(cases)
    for query, history in zip(model.asked, cases.history, strict=True):
        np.testing.assert_array_equal(query.liked, history)
        assert set(query.seen) == set(history)
        assert (query.weights == 1).all()


def test_an_oracle_reaches_one_and_its_opposite_nothing():
    split = split_interactions("guest", synthetic(), n=("3", "80%"), held_out=40)
    for cases in split.cases:
        one = type(split)(**{**split.__dict__, "cases": (cases,)})
        oracle = Scripted(np.zeros((1, N_ITEMS)))
        rows = iter(range(len(cases)))
        oracle._score = lambda queries, cases=cases, rows=rows: np.stack(
            [np.isin(np.arange(N_ITEMS), cases.targets[next(rows)]) for _ in queries]
        ).astype(np.float32)
        means = evaluate(oracle, one)[0].means()
        assert means["NDCG@10"] == means["Recall@20"] == means["NDCG@100"] == 1.0


def test_sampled_candidates_are_the_same_for_every_model(leave_one_out):
    rng = np.random.default_rng(3)
    table = rng.random((N_ITEMS, N_ITEMS))
    found = []
    for batch in (256, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(conditions, "BATCH", batch)
            found.append(evaluate(Scripted(table), leave_one_out, candidates=5, seed=9)[-1])
    assert found[0].label == "candidates=5"
    assert "5 uniformly drawn" in found[0].ranking
    np.testing.assert_array_equal(found[0].values, found[1].values)
    # one target among five strangers: with random scores each of six ranks is as likely
    assert found[0].means()["MRR"] == pytest.approx(np.mean(1 / np.arange(1, 7)), abs=0.05)
    assert found[0].means()["HR@10"] == 1.0
    assert not found[0].totals


def test_negatives_are_never_known_items():
    rng = np.random.default_rng(0)
    known = rng.random((50, 30)) < 0.5
    negatives = conditions.uniform_negatives(known, 6, rng)
    assert not (negatives & known).any()
    assert (negatives.sum(axis=1) == 6).all()
    assert conditions.uniform_negatives(np.ones((2, 3), bool), 2, rng).sum() == 0


def test_popularity_recommends_popular_and_covers_little(leave_one_out):
    popular = PopularPredictor.fit(leave_one_out.train)
    rare = Scripted(-np.tile(popular.scores, (N_ITEMS, 1)))
    loved, unloved = (evaluate(model, leave_one_out)[1].means() for model in (popular, rare))
    assert loved["coverage@10"] == unloved["coverage@10"] == 10 / N_ITEMS
    assert loved["popularity_bias@10"] > 0.8
    assert unloved["popularity_bias@10"] < 0.2
    assert loved["novelty@10"] < unloved["novelty@10"]


@pytest.fixture(scope="module")
def measured(ratings_file):
    benchmark = Benchmark(
        "leave-one-out",
        ratings_file,
        ("popular", "neighbours"),
        seeds=(1, 2),
        candidates=20,
        budget=500.0,
        options={"neighbours": {"neighbours": "30"}},
    )
    steps = []
    return benchmark, list(run_benchmark(benchmark, watch=steps.append)), steps


def test_a_row_says_how_it_came_about(measured, ratings_file):
    _, rows, steps = measured
    assert [row["model"] for row in rows] == ["popular", "neighbours"]
    for row in rows:
        assert row["protocol"] == "leave-one-out"
        assert row["data_sha256"] == read_dataset(ratings_file).sha256
        assert (row["seed"], row["seeds"]) == (1, [1, 2])
        assert row["filter"] == "none"
        assert row["sort"] == "timestamp, ties in file order"
        assert row["ranking"] == "full catalogue, seen items masked"
        assert row["versions"]["numpy"] == np.__version__
        assert row["peak_rss_mb"] >= row["fit_peak_rss_mb"] > 20
        assert row["cpu_seconds"] > 0
        assert row["score_cpu_seconds"] > 0
        assert row["budget_exceeded"] is False
        assert [c["label"] for c in row["conditions"]] == ["masked", "unmasked", "candidates=20"]
        assert row["metrics"]["NDCG@10"] == row["conditions"][0]["metrics"]["NDCG@10"]
        assert row["metrics"]["NDCG@10 [unmasked]"] != row["metrics"]["NDCG@10"]
        low, high = row["intervals"]["NDCG@10"]
        assert low < row["metrics"]["NDCG@10"] < high
        assert len(row["per_seed"]) == 2
    assert rows[1]["options"]["neighbours"] == "30"
    assert {step.model for step in steps} == {"popular", "neighbours"}
    json.dumps(rows, allow_nan=False)


def test_the_child_measures_what_this_process_would(measured, ratings_file):
    benchmark, rows, _ = measured
    split, _ = benchmark.split(read_dataset(ratings_file), 1)
    here = evaluate(fit_model(PopularPredictor, split.train, split.validation), split)[0].means()
    for name, value in here.items():
        assert rows[0]["metrics"][name] == pytest.approx(value, abs=1e-12)


def test_finished_rows_are_kept_and_others_measured_anew(measured):
    benchmark, rows, _ = measured
    started = []
    again = list(run_benchmark(benchmark, finished=rows, watch=started.append))
    assert again == rows
    assert not started
    other = Benchmark(**{**benchmark.__dict__, "models": ("popular",), "seeds": (1,)})
    (fresh,) = run_benchmark(other, finished=rows, watch=started.append)
    assert started
    assert fresh["seeds"] == [1]


def test_a_model_that_fails_does_not_stop_the_others(ratings_file):
    benchmark = Benchmark(
        "guest", ratings_file, ("popular", "neighbours"), options={"popular": {"prior": "-1"}}, n=("1", "3")
    )
    failed, row = run_benchmark(benchmark)
    assert "prior" in failed["error"]
    assert set(row["metrics"]) >= {"NDCG@10 [n=1]", "NDCG@10 [n=3]"}
    assert "NDCG@10" not in row["metrics"]  # no figure without its n


def test_minimum_rating_and_repeats_are_reported(tmp_path):
    path = tmp_path / "log.csv"
    rows = "".join(f"{u},{i},{1 + i % 5},{i}\n" for u in range(30) for i in range(12))
    path.write_text("user,item,rating,timestamp\n" + rows + "0,1,5,99\n0,1,5,100\n", encoding="utf-8")
    split, kept = Benchmark("leave-one-out", path, ("popular",), min_rating=2).split(read_dataset(path), 1)
    assert kept == "rating >= 2; latest row of each user and item (2 repeated rows dropped)"
    assert (split.train.values >= 2).all()
    assert split.cases[0].targets[0].tolist() == [1]


def test_rows_of_other_code_are_measured_anew(measured, monkeypatch):
    benchmark, rows, _ = measured
    assert len(rows[0]["code"]["sha256"]) == 16
    one = replace(benchmark, models=("popular",), seeds=(1,))
    (first,) = run_benchmark(one)
    assert list(run_benchmark(one, finished=[first])) == [first]
    monkeypatch.setattr(report, "code_digest", lambda: "another revision")
    (again,) = run_benchmark(one, finished=[first])
    assert again["key"] != first["key"]
    assert again["metrics"] == first["metrics"]


def test_stars_state_what_the_site_would_tell_a_model():
    items, stars = np.array([4, 2, 7, 1]), np.array([5, 2, np.nan, 3], np.float32)
    query = star_query(items, stars, np.array([1, 2, 4, 7]))
    assert query.liked.tolist() == [4, 7, 1]
    np.testing.assert_allclose(query.weights, [1.0, 0.5, 0.6])
    assert query.disliked.tolist() == [2]
    assert query.rated.tolist() == [4, 2, 1]
    assert query.stars.tolist() == [5, 2, 3]
    assert query.seen.tolist() == [1, 2, 4, 7]


def test_a_star_predictor_is_measured_on_the_stars_that_people_gave(leave_one_out):
    """Told that every film of a history was liked alike, it answers other people's questions."""
    model = MfPredictor.fit(leave_one_out.train, MfConfig(factors=4, epochs=3))
    asked = {}
    score = model._score
    for stated in ("met", "stars"):
        queries = []
        model._score = lambda batch, queries=queries: queries.extend(batch) or score(batch)
        asked[stated] = evaluate(model, leave_one_out, stated=stated)[0], queries
    (cases,) = leave_one_out.cases
    assert not any(len(query.stars) for query in asked["met"][1])
    for row, query in enumerate(asked["stars"][1]):
        assert query.stars.tolist() == cases.stars_of(row).tolist()
        assert set(query.disliked) == set(cases.history[row][cases.stars_of(row) < 3])
    assert not np.array_equal(asked["met"][0].values, asked["stars"][0].values)


def test_what_is_told_decides_what_is_trained_on(leave_one_out):
    rows = training_split(leave_one_out, PopularPredictor, "stars")
    assert (rows.train.values >= 3).all()
    assert (rows.validation.values >= 3).all()
    assert training_split(leave_one_out, MfPredictor, "stars") is leave_one_out
    assert training_split(leave_one_out, PopularPredictor, "met") is leave_one_out


def test_a_history_of_dislikes_alone_gets_no_list():
    split = split_interactions("guest", synthetic(), n=("1",), held_out=40, order="time")
    (cases,) = split.cases
    model = Scripted(np.ones((N_ITEMS, N_ITEMS)))
    (outcome,) = evaluate(model, split, stated="stars")
    silent = cases.stars < 3
    assert 0 < silent.sum() < len(cases)
    assert len(model.asked) == (~silent).sum()
    assert (outcome.values[silent, :3] == 0).all()


def test_a_row_says_how_histories_were_stated(ratings_file):
    rows = [
        next(run_benchmark(Benchmark("leave-one-out", ratings_file, ("mf",), stated=stated)))
        for stated in ("met", "stars")
    ]
    assert [row["stated"] for row in rows] == ["met", "stars"]
    assert rows[0]["key"] != rows[1]["key"]
    assert rows[0]["metrics"]["NDCG@10"] != rows[1]["metrics"]["NDCG@10"]


def test_sessions_are_measured_by_what_comes_next_and_how_personal_lists_are(ratings_file):
    (row,) = run_benchmark(Benchmark("session", ratings_file, ("popular",), n=("1", "all")))
    for label in ("n=1", "n=all"):
        assert 0 <= row["metrics"][f"NDCG@10 [{label}]"] <= row["metrics"][f"HR@10 [{label}]"] <= 1
    first, last = (row["metrics"][f"personalization@10 [{label}]"] for label in ("n=1", "n=all"))
    assert 0 < first < last < 0.8, "popularity gives everyone the same but for what they have seen"


def test_after_one_moment_the_next_film_alone_has_figures_of_its_own():
    """People have many rows after the cut, which popularity answers; a model of what comes next has one."""
    split = split_interactions("temporal", synthetic(), seed=1)
    model = fit_model(PopularPredictor, split.train)
    outcomes = {outcome.label: outcome for outcome in evaluate(model, split, metrics=("HR@10", "MRR"))}
    assert set(outcomes) == {"", "unmasked", "next film"}
    cases = split.cases[0]
    expected = []
    for row in range(len(cases)):
        [scores] = model.score([Query.from_indices(cases.history[row])])
        scores[cases.seen[row]] = -np.inf
        order = np.argsort(-scores, kind="stable")
        expected.append(1 / (1 + order.tolist().index(cases.targets[row][0])))
    found = outcomes["next film"]
    assert found.values[:, 1] == pytest.approx(expected)
    assert (found.values <= outcomes[""].values).all()
    assert (np.diff(cases.targets.indptr) > 1).any()


def test_groups_of_users_have_figures_of_their_own(ratings_file, tmp_path):
    groups, labels = tmp_path / "groups.csv", tmp_path / "labels.csv"
    groups.write_text(
        "user,group\n" + "".join(f"{user},{'even' if user % 2 == 0 else 'odd'}\n" for user in range(300)),
        encoding="utf-8",
    )
    labels.write_text(
        "item,genres\n"
        + "".join(f"{item},{'Drama|War' if item % 3 else 'Comedy'}\n" for item in range(N_ITEMS)),
        encoding="utf-8",
    )
    (row,) = run_benchmark(
        Benchmark("leave-one-out", ratings_file, ("popular",), groups=groups, labels=labels)
    )
    condition = row["conditions"][0]
    assert condition["metrics"]["calibration@10"] > 0
    by_name = {each["group"]: each for each in condition["groups"]}
    assert {"even", "odd"} < set(by_name)
    assert sum(name.split()[1] == "history," for name in by_name if name not in ("even", "odd")) == 3
    two = [by_name[name] for name in ("even", "odd")]
    assert sum(each["users"] for each in two) == condition["users"]
    mean = sum(each["users"] * each["metrics"]["NDCG@10"] for each in two) / condition["users"]
    assert mean == pytest.approx(condition["metrics"]["NDCG@10"])
    groups.write_text("user,group\nnobody,x\n", encoding="utf-8")
    with pytest.raises(PredictorError, match="none of the users"):
        next(run_benchmark(Benchmark("leave-one-out", ratings_file, ("popular",), groups=groups)))


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ({"models": ("popular", "oracle")}, "no model 'oracle'"),
        ({"models": ("lightgcn", "popular"), "curve": True}, "popular cannot be measured while training"),
        ({"stated": "stars"}, "no ratings"),
        ({"stated": "loud"}, "met, stars"),
        ({"min_rating": 3.0}, "no ratings"),
        ({"protocol": "temporal"}, "needs times"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(tmp_path, benchmark, message):
    path = tmp_path / "s.txt"
    path.write_text("".join(f"{u} {i}\n" for u in range(20) for i in range(5)), encoding="utf-8")
    with pytest.raises(PredictorError, match=message):
        next(
            run_benchmark(
                Benchmark(**{"protocol": "leave-one-out", "data": path, "models": ("popular",)} | benchmark)
            )
        )


def test_the_report_is_whole_and_can_be_read_back(measured, tmp_path):
    benchmark, rows, _ = measured
    path = tmp_path / "new" / "report.json"
    report.write_report(path, benchmark, [*rows, {"model": "x", "error": "broke"}])
    assert report.read_report(path) == rows
    assert json.loads(path.read_text())["failures"] == [{"model": "x", "error": "broke"}]
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]
    assert report.read_report(tmp_path / "none.json") == []
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match="no benchmark report"):
        report.read_report(path)


def test_the_plot_names_every_model_and_its_figure(measured, tmp_path):
    _, rows, _ = measured
    plots.draw(rows, tmp_path / "p.svg")
    drawing = (tmp_path / "p.svg").read_text(encoding="utf-8")
    for row in rows:
        assert row["model"] in drawing
        assert f"{row['metrics']['NDCG@10']:.4f}" in drawing
    assert rows[0]["data_sha256"][:12] in drawing
    plots.draw(rows, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.png"):
        plots.draw(rows, tmp_path / "p.gif")
    with pytest.raises(ValueError, match="no results"):
        plots.draw([], tmp_path / "p.png")


def test_the_guest_plot_draws_a_line_per_model(ratings_file, tmp_path):
    rows = list(run_benchmark(Benchmark("guest", ratings_file, ("popular",), n=("1", "3", "80%"))))
    plots.draw(rows, tmp_path / "g.svg")
    drawing = (tmp_path / "g.svg").read_text(encoding="utf-8")
    assert f"popular {rows[0]['metrics']['NDCG@10 [n=3]']:.3f}" in drawing
    assert "films given" in drawing
    assert "NDCG@100 [n=80%]" in drawing


def test_a_session_plot_ends_with_the_whole_history(ratings_file, tmp_path):
    rows = list(run_benchmark(Benchmark("session", ratings_file, ("popular",), n=("3", "10", "all"))))
    plots.draw(rows, tmp_path / "s.svg")
    drawing = (tmp_path / "s.svg").read_text(encoding="utf-8")
    assert f"popular {rows[0]['metrics']['NDCG@10 [n=all]']:.3f}" in drawing
    assert ">all<" in drawing


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data folder is not beside this checkout")
def test_counting_on_gowalla_gives_the_published_figure():
    """Most popular on LightGCN's Gowalla split: Recall@20 .0416, NDCG@20 .0317 (Zhu et al., BARS, 2022)."""
    data = read_dataset(DATA / "gowalla")
    split = split_interactions("given-split", data.interactions, given=(data.train, data.test))
    (cases,) = split.cases
    counts = np.bincount(split.train.items, minlength=split.train.n_items)
    best = np.argsort(-counts, kind="stable")[:2000]  # nobody has seen all but 20 of these
    seen, wanted = np.zeros((2, split.train.n_items), dtype=bool)
    values = np.empty((len(cases), 20), dtype=bool)
    for row in range(len(cases)):
        seen[cases.seen[row]] = wanted[cases.targets[row]] = True
        values[row] = wanted[best[~seen[best]][:20]]
        seen[cases.seen[row]] = wanted[cases.targets[row]] = False
    recall, ndcg = per_user(values, cases.targets.lengths, ["Recall@20", "NDCG@20"]).mean(axis=0)
    assert recall == pytest.approx(0.0416, abs=5e-5)
    assert ndcg == pytest.approx(0.0317, abs=5e-5)
