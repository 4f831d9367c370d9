"""Metrics agree with an independent implementation."""

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, P, R, Success, nDCG

from ranking_metrics import ranking

N_USERS, N_ITEMS = 40, 120


@pytest.fixture(scope="module")
def random_case():
    rng = np.random.default_rng(11)
    scores = rng.permuted(np.tile(np.arange(N_ITEMS, dtype=np.float64), (N_USERS, 1)), axis=1)
    targets = rng.random((N_USERS, N_ITEMS)) < rng.uniform(0.01, 0.3, (N_USERS, 1))
    targets[np.arange(N_USERS), rng.integers(0, N_ITEMS, N_USERS)] = True
    return scores, targets


@pytest.mark.parametrize("k", [1, 5, 10, 20, 100])
def test_agreement_with_ir_measures(random_case, k):
    scores, targets = random_case
    qrels = [
        ir_measures.Qrel(str(u), str(i), int(targets[u, i])) for u in range(N_USERS) for i in range(N_ITEMS)
    ]
    run = [
        ir_measures.ScoredDoc(str(u), str(i), float(scores[u, i]))
        for u in range(N_USERS)
        for i in range(N_ITEMS)
    ]
    theirs = {
        "NDCG": nDCG @ k,
        "Recall": R @ k,
        "Precision": P @ k,
        "HR": Success @ k,
        "MRR": RR @ k,
    }
    expected = {name: np.zeros(N_USERS) for name in theirs}
    names = {str(measure): name for name, measure in theirs.items()}
    for value in ir_measures.iter_calc(list(theirs.values()), qrels, run):
        expected[names[str(value.measure)]][int(value.query_id)] = value.value
    ranked = np.argsort(-scores, axis=1)[:, :k]
    ours = ranking.per_user(
        ranking.hits_of(ranked, targets), targets.sum(axis=1), [f"{name}@{k}" for name in theirs]
    )
    for column, name in enumerate(theirs):
        np.testing.assert_allclose(ours[:, column], expected[name], atol=1e-9, err_msg=f"{name}@{k}")


def test_mrr_without_a_cut_and_ranks_with_ties():
    scores = np.array([[0.5, 0.9, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [-np.inf, 0.0, 2.0, 1.0]])
    targets = np.array([[0, 0, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]], dtype=bool)
    ranks = ranking.first_ranks(scores, targets)
    # equal scores are ranked by index: item 2 comes after 1 and 0, item 1 after 0
    assert ranks.tolist() == [3, 2, 3]
    values = ranking.per_user(np.zeros((3, 1), bool), np.ones(3, int), ["MRR"], first_ranks=ranks)
    np.testing.assert_allclose(values[:, 0], [1 / 3, 1 / 2, 1 / 3])


def test_recall_can_be_divided_by_what_is_reachable():
    hits = np.array([[True, True, False]])
    n_targets = np.array([50])
    assert ranking.per_user(hits, n_targets, ["Recall@3"])[0, 0] == pytest.approx(2 / 50)
    assert ranking.per_user(hits, n_targets, ["Recall@3"], capped_recall=True)[0, 0] == pytest.approx(2 / 3)


def test_lists_shorter_than_the_cut_count_what_they_have():
    hits = ranking.hits_of(np.array([[2, -1, -1]]), np.array([[False, False, True]]))
    assert hits.tolist() == [[True, False, False]]
    values = ranking.per_user(hits, np.array([1]), ["HR@10", "NDCG@10", "Recall@10", "Precision@10"])
    np.testing.assert_allclose(values[0], [1, 1, 1, 0.1])


@pytest.mark.parametrize("name", ["AUC@10", "NDCG", "HR@ten", "NDCG@"])
def test_unknown_metrics_are_refused(name):
    with pytest.raises(ValueError, match=r"metric|cut-off"):
        ranking.cutoff(name)
