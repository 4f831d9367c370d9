"""Paired comparison of benchmark rows: the same users, the same question, values kept beside the report."""

import numpy as np
import pytest

from evaluation import report
from evaluation.compare import CompareError, compare_rows
from evaluation.report import UserValues
from evaluation.runner import Benchmark, run_benchmark
from evaluation.tests.test_runner import ratings_file  # noqa: F401 - a fixture
from ranking_metrics.intervals import paired_interval


@pytest.fixture(scope="module")
def measured(ratings_file, tmp_path_factory):  # noqa: F811 - the fixture
    benchmark = Benchmark("leave-one-out", ratings_file, ("popular", "neighbours"), seeds=(1, 2))
    values = UserValues()
    rows = list(run_benchmark(benchmark, values=values))
    path = tmp_path_factory.mktemp("reports") / "r.json"
    report.write_report(path, benchmark, rows, values)
    return benchmark, rows, path


def test_values_of_every_user_lie_compressed_beside_the_report(measured):
    _, rows, path = measured
    assert report.values_path(path).name == "r.users.npz"
    values = UserValues.read(path)
    users, names, found = values.get(rows[0]["key"], "masked", 1)
    assert found.shape == (len(users), len(names))
    for column, name in enumerate(names):
        assert found[:, column].mean() == pytest.approx(rows[0]["metrics"][name], abs=1e-6)
    assert values.get("other", "masked", 1) is None
    assert not UserValues.read(path.with_name("none.json")).arrays
    broken = path.with_name("broken.json")
    report.values_path(broken).write_bytes(b"no zip")
    with pytest.raises(report.ReportError, match="cannot be read"):
        UserValues.read(broken)


def test_a_difference_is_paired_over_the_same_users(measured):
    _, (popular, neighbours), path = measured
    values = UserValues.read(path)
    found = {(each.condition, each.metric): each for each in compare_rows(neighbours, popular, values)}
    one = found["masked", "NDCG@10"].difference
    assert one.n_users == popular["conditions"][0]["users"]
    assert one.value == pytest.approx(
        neighbours["metrics"]["NDCG@10"] - popular["metrics"]["NDCG@10"], abs=1e-6
    )
    assert one.low < one.value < one.high
    per_user = []
    for row in (neighbours, popular):
        columns = [values.get(row["key"], "masked", seed) for seed in (1, 2)]
        per_user.append(np.mean([of[:, names.index("NDCG@10")] for _, names, of in columns], axis=0))
    by_hand = paired_interval(*per_user)
    assert one.low == pytest.approx(by_hand.low, abs=1e-6)
    assert one.high == pytest.approx(by_hand.high, abs=1e-6)
    assert ("unmasked", "MRR") in found
    none = compare_rows(popular, popular, values)
    assert all(each.difference.value == 0 and not each.difference.is_clear for each in none)
    assert none[0].record()["is_clear"] is False


def test_different_questions_are_not_compared(measured):
    _, (popular, neighbours), path = measured
    values = UserValues.read(path)
    with pytest.raises(CompareError, match="differ in filter"):
        compare_rows({**neighbours, "filter": "rating >= 4"}, popular, values)
    with pytest.raises(CompareError, match="were not kept"):
        compare_rows(neighbours, popular, UserValues())
