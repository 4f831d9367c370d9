"""New items by content: the regression against its definition, positions, and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.content import N_FEATURES, ContentEncoder, decade_of, hash_contents, words_of
from predictors.history import History, Interaction
from predictors.id_map import IdMap
from predictors.models.als import AlsConfig, AlsPredictor
from predictors.new_items import ContentBridge, WithNewItems
from predictors.tests.test_history import START as AT

GENRES = ("Western", "Horror", "Comedy")
N_ITEMS = 30
ALONE = AlsPredictor.influences


def content(item):
    return {"genre": [GENRES[item % 3]], "word": words_of(f"the {GENRES[item % 3]} number{item}")}


@pytest.fixture(scope="module")
def model():
    """ALS of 60 users, each with films of one genre."""
    users = np.repeat(np.arange(60), 5)
    items = np.concatenate([np.random.default_rng(u).permutation(10)[:5] * 3 + u % 3 for u in range(60)])
    ids = np.arange(100, 100 + N_ITEMS)
    data = Interactions.from_columns(users, items, user_ids=np.arange(60), item_ids=ids)
    return AlsPredictor.fit(data, AlsConfig(factors=8, epochs=5))


@pytest.fixture(scope="module")
def bridge():
    contents = [content(item) for item in range(N_ITEMS)]
    encoder = ContentEncoder.fit(hash_contents(contents))
    new = [{"genre": ["Western"]}, {"genre": ["Horror"]}, {}]
    return ContentBridge(
        encoder.encode(hash_contents(contents)), encoder.encode(hash_contents(new)), ridge=0.5
    )


def liking(*films):
    return History(Interaction(f"{n}", "guest:1", "rating", film, AT, 5.0) for n, film in enumerate(films))


def test_every_field_has_length_one_and_what_is_rare_counts_more():
    contents = [{"genre": ["Drama"]}, {"genre": ["Drama", "War"]}, {"genre": []}]
    encoded = ContentEncoder.fit(hash_contents(contents)).encode(hash_contents(contents))
    assert encoded.shape == (3, N_FEATURES)
    np.testing.assert_allclose(np.sqrt(encoded.multiply(encoded).sum(axis=1)).A1, [1, 1, 0], atol=1e-6)
    common = encoded[1, encoded[0].indices[0]]
    assert 0 < common < encoded[1].max()
    assert set(decade_of(1989)) & set(decade_of(1991))
    assert not set(decade_of(1980)) & set(decade_of(1995))


def test_scores_by_content_are_those_of_vectors_mapped_by_ridge_regression(model, bridge):
    """B = (F'F + ridge I) ** -1 F'V maps content to the vectors of ALS; the score is u'B'f."""
    vectors = model.factors.items.astype(np.float64)
    features, new = bridge.known.toarray().astype(np.float64), bridge.new.toarray().astype(np.float64)
    mapping = np.linalg.solve(features.T @ features + 0.5 * np.eye(features.shape[1]), features.T)
    query = model.encode(liking(100, 103))
    user = model.query_vectors([query])[0].astype(np.float64)
    scores = vectors @ user
    expected = new @ mapping @ (vectors - vectors.mean(axis=0)) @ user
    np.testing.assert_allclose(bridge.mapped(scores[None].astype(np.float32))[0], expected, atol=1e-4)
    np.testing.assert_allclose(bridge.weights_of(np.arange(len(new))), mapping.T @ new.T, atol=1e-5)


def test_new_items_are_ranked_among_the_others_by_what_they_are_about(model, bridge):
    joined = WithNewItems(model, bridge, IdMap([*model.ids, 900, 901, 902]))
    assert joined.new_ids == {900, 901, 902}
    found = joined.recommend(liking(100, 103), k=33)
    order = [each.movie_id for each in found]
    assert sorted(order) == sorted({*model.ids, 900, 901, 902} - {100, 103})
    assert order.index(900) < 8 < order.index(901)
    assert [each for each in order if each < 900] == [
        each.movie_id for each in model.recommend(liking(100, 103), k=33)
    ]
    (reason,) = next(each.reasons for each in found if each.movie_id == 900)
    assert reason.movie_id in (100, 103)
    seen = [each.movie_id for each in joined.recommend(liking(100, 103, 900), k=33)]
    assert 900 not in seen


def test_the_parts_of_a_known_score_stay_as_they_are(model, bridge):
    joined = WithNewItems(model, bridge, IdMap([*model.ids, 900, 901, 902]))
    query = joined.encode(liking(100, 103))
    targets = np.array([5, 30, 7, 31])
    parts = joined.influences(query, targets)
    np.testing.assert_allclose(
        parts.amounts[:, [0, 2]], model.influences(query, targets[[0, 2]]).amounts, atol=1e-6
    )
    assert parts.amounts[:, 1].sum() > parts.amounts[:, 3].sum()


def test_reasons_of_a_page_are_those_of_each_item_alone(model, bridge, monkeypatch):
    """New items share their nearest ones, and one of these may stand beside them."""
    joined = WithNewItems(model, bridge, IdMap([*model.ids, 900, 901, 902]))
    query, asked = joined.encode(liking(100, 103)), []

    def influences(known, targets):
        asked.append(targets.tolist())
        return ALONE(model, known, targets)

    monkeypatch.setattr(model, "influences", influences)
    targets = np.array([6, 30, 7, 31, 32])
    of_page = joined.influences(query, targets).amounts
    assert [len(each) for each in asked] == [len(set(each)) for each in asked], "each part is asked for once"
    for column, target in enumerate(targets):
        alone = joined.influences(query, np.array([target])).amounts
        np.testing.assert_allclose(of_page[:, [column]], alone, atol=1e-6)


def test_items_that_are_equally_near_do_not_all_become_reasons(model, monkeypatch):
    monkeypatch.setattr("predictors.new_items.N_NEAREST", 5)
    contents = [{"genre": ["Western"]}] * N_ITEMS
    encoder = ContentEncoder.fit(hash_contents(contents))
    known, new = (encoder.encode(hash_contents(contents[:n])) for n in (N_ITEMS, 2))
    joined = WithNewItems(model, ContentBridge(known, new), IdMap([*model.ids, 900, 901]))
    asked = []
    monkeypatch.setattr(
        model, "influences", lambda _query, items: asked.append(items) or ALONE(model, _query, items)
    )
    joined.influences(joined.encode(liking(100)), np.array([30, 31]))
    assert len(asked[0]) == 5


def test_a_bridge_to_other_new_items_is_the_one_that_is_made_for_them(bridge):
    contents = [content(item) for item in range(N_ITEMS)]
    encoder = ContentEncoder.fit(hash_contents(contents))
    new = encoder.encode(hash_contents([{"genre": ["Horror"]}]))
    scores = np.random.default_rng(1).random((2, N_ITEMS), dtype=np.float32)
    expected = ContentBridge(encoder.encode(hash_contents(contents)), new, ridge=0.5).scores(scores)
    np.testing.assert_array_equal(bridge.with_new(new).scores(scores), expected)
    assert bridge.scores(scores).shape == (2, 3), "which stays as it is"
