"""Tests that every model must pass, for models of this project and of other packages.

from predictors.testing import ModelContract

class TestMyModel(ModelContract):
    model = MyPredictor
    quick = {"epochs": 2}  # what makes a fit on the small data set quick
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pytest

from predictors.base import Predictor
from predictors.capabilities import FindsSimilar
from predictors.errors import ArtifactError, CannotAnswer, TrainingError
from predictors.history import History
from predictors.plugins import MODELS, predictor_class
from predictors.query import Query
from predictors.run import Run, split_options
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions

Kind = TypeVar("Kind", bound=Predictor)
THREADS = 16
HISTORIES = [
    rated(*FILM_IDS[start : start + length])
    for start, length in ((0, 1), (3, 2), (10, 5), (20, 10), (5, 20), (40, 3), (0, 30), (47, 1))
]


def fit_model(
    kind: type[Kind],
    train: Interactions,
    validation: Interactions | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Kind:
    """Fit a model with options by name, as the command line does; `seed` and the like go to the run."""
    config, run, graph = split_options(kind, options, run)
    return kind.fit(TrainingData(train, validation, graph), config, run)


def ids_of(recommendations: list) -> list:
    return [found.movie_id for found in recommendations]


class ModelContract:
    """Tests the contract of every model. Subclass it and name the model."""

    model: ClassVar[type[Predictor]]
    quick: ClassVar[dict[str, Any]] = {}  # options that make a fit on the small data set a matter of seconds

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls) -> type[Predictor]:
        return cls.model

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls) -> dict[str, Any]:
        return cls.quick

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, kind: type[Predictor], options: dict[str, Any]) -> Predictor:
        return fit_model(kind, interactions(), options=options)

    @pytest.fixture(scope="class")
    @classmethod
    def artifact(cls, fitted: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
        directory = tmp_path_factory.mktemp("artifacts") / "v1"
        fitted.save(directory, version="v1", metrics=[{"protocol": "leave-one-out", "NDCG@10": 0.5}])
        return directory

    def test_it_says_what_it_is(self, kind: type[Predictor]) -> None:
        assert kind.label and kind.summary
        assert kind.config_class.read(kind.config_class().as_dict()) == kind.config_class()

    def test_scores_are_finite_float32_for_every_film(self, fitted: Predictor) -> None:
        for history in HISTORIES:
            scores = fitted.score_history(history)
            assert scores.dtype == np.float32
            assert scores.shape == (N_FILMS,)
            assert np.isfinite(scores).all()

    def test_the_same_history_gets_the_same_answer(self, fitted: Predictor) -> None:
        for history in HISTORIES:
            assert fitted.recommend(history, 10) == fitted.recommend(history, 10)

    def test_a_second_fit_is_the_same_model(
        self, kind: type[Predictor], options: dict[str, Any], fitted: Predictor
    ) -> None:
        again = fit_model(kind, interactions(), options=options)
        for history in HISTORIES:
            np.testing.assert_allclose(
                again.score_history(history), fitted.score_history(history), rtol=1e-4, atol=1e-5
            )

    def test_a_batch_answers_as_one_by_one(self, fitted: Predictor) -> None:
        queries = [fitted.encode(history) for history in HISTORIES]
        together = fitted.score(queries)
        for row, query in zip(together, queries, strict=True):
            np.testing.assert_allclose(row, fitted.score([query])[0], rtol=1e-4, atol=1e-5)

    def test_the_caller_may_write_into_the_scores(self, fitted: Predictor) -> None:
        before = fitted.score_history(HISTORIES[2])
        fitted.score_history(HISTORIES[2])[:] = -1.0
        np.testing.assert_array_equal(fitted.score_history(HISTORIES[2]), before)

    def test_sixteen_threads_get_what_one_gets(self, fitted: Predictor) -> None:
        expected = [fitted.recommend(history, 10) for history in HISTORIES]
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(fitted.recommend, history, 10) for _ in range(20) for history in HISTORIES]
            for number, job in enumerate(jobs):
                assert job.result() == expected[number % len(HISTORIES)]

    def test_seen_films_are_never_recommended(self, fitted: Predictor) -> None:
        for history in HISTORIES:
            recommended = ids_of(fitted.recommend(history, N_FILMS))
            assert not set(recommended) & set(history.seen)
            assert len(recommended) == len(set(recommended)) == N_FILMS - len(history.seen)

    def test_disliked_and_dismissed_films_are_never_recommended(self, fitted: Predictor) -> None:
        history = told(
            ("rating", FILM_IDS[3], 5.0), ("rating", FILM_IDS[4], 1.0), ("dismiss", FILM_IDS[5], None)
        )
        recommended = ids_of(fitted.recommend(history, N_FILMS))
        assert not {FILM_IDS[3], FILM_IDS[4], FILM_IDS[5]} & set(recommended)
        assert len(recommended) == N_FILMS - 3

    def test_excluded_films_are_left_out(self, fitted: Predictor) -> None:
        best = ids_of(fitted.recommend(HISTORIES[2], 3))
        others = ids_of(fitted.recommend(HISTORIES[2], N_FILMS, exclude=[*best, "never heard of"]))
        assert not set(best) & set(others)
        assert len(others) == N_FILMS - len(HISTORIES[2].seen) - len(best)

    def test_a_first_stage_has_seen_films_until_they_are_excluded(self, fitted: Predictor) -> None:
        """The caller decides whether they are left out."""
        for n_seen in (3, N_FILMS - 5):
            query = fitted.encode(rated(*FILM_IDS[:n_seen]))
            everything = fitted.score([query])[0]
            (stage,) = fitted.first_stage([query])
            items, scores = stage.top_k(N_FILMS)
            assert sorted(items) == list(range(N_FILMS))
            np.testing.assert_allclose(scores, everything[items], rtol=1e-4, atol=1e-5)
            stage.exclude(query.seen)
            assert sorted([*stage.top_k(N_FILMS)[0], *query.seen]) == list(range(N_FILMS))

    def test_padding_is_never_recommended(self, fitted: Predictor) -> None:
        """Histories of different length in one batch: the short ones are not filled up with an item."""
        queries = [fitted.encode(history) for history in HISTORIES]
        indices, scores = fitted.retrieve(queries, N_FILMS)
        for row, values, query in zip(indices, scores, queries, strict=True):
            ranked = row[row >= 0]
            assert sorted({*ranked, *query.seen}) == list(range(N_FILMS))
            assert len(ranked) + len(query.seen) == N_FILMS
            assert (row[len(ranked) :] == -1).all()
            assert (values[len(ranked) :] == -np.inf).all()

    def test_lists_are_in_order_of_score(self, fitted: Predictor) -> None:
        for history in HISTORIES:
            scores = [found.score for found in fitted.recommend(history, 20)]
            assert scores == sorted(scores, reverse=True)

    def test_unknown_films_are_dropped_and_reported(self, fitted: Predictor) -> None:
        history = rated("tt0000001", FILM_IDS[7], -5, FILM_IDS[8])
        assert set(fitted.encode(history).unknown) == {"tt0000001", -5}
        known_only = rated(FILM_IDS[7], FILM_IDS[8])
        assert ids_of(fitted.recommend(history, 10)) == ids_of(fitted.recommend(known_only, 10))

    def test_an_empty_history_is_answered_or_refused_by_name(self, fitted: Predictor) -> None:
        if fitted.min_history == 0:
            assert len(fitted.recommend(History.EMPTY, 5)) == 5
        else:
            with pytest.raises(CannotAnswer) as refusal:
                fitted.recommend(History.EMPTY, 5)
            assert refusal.value.reason == "history_too_short"

    def test_a_history_of_unknown_films_alone(self, fitted: Predictor) -> None:
        if fitted.min_history == 0:
            assert len(fitted.recommend(rated("tt0000001"), 5)) == 5
        else:
            with pytest.raises(CannotAnswer) as refusal:
                fitted.recommend(rated("tt0000001"), 5)
            assert refusal.value.reason == "no_known_films"

    def test_more_films_asked_for_than_there_are(self, fitted: Predictor) -> None:
        assert len(fitted.recommend(HISTORIES[2], 10 * N_FILMS)) == N_FILMS - len(HISTORIES[2].seen)
        assert fitted.recommend(HISTORIES[2], 0) == []

    def test_nothing_is_left_when_everything_was_seen(self, fitted: Predictor) -> None:
        assert fitted.recommend(rated(*FILM_IDS), 10) == []

    def test_a_film_rated_twice_counts_once(self, fitted: Predictor) -> None:
        twice = rated(FILM_IDS[9], FILM_IDS[2], FILM_IDS[9])
        once = rated(FILM_IDS[2], FILM_IDS[9])
        assert fitted.recommend(twice, 10) == fitted.recommend(once, 10)

    def test_a_film_only_looked_at_may_come_again(self, fitted: Predictor) -> None:
        history = told(("click", FILM_IDS[4], None))
        assert FILM_IDS[4] in ids_of(fitted.recommend(history, N_FILMS))

    def test_the_reason_is_the_liked_film_with_the_largest_share(self, fitted: Predictor) -> None:
        for history in HISTORIES:
            query = fitted.encode(history)
            for found in fitted.recommend(history, 10):
                influences = fitted.influences(query, np.array([fitted.ids.index_of(found.movie_id)]))
                assert np.isin(influences.items, query.liked).all()
                shares = influences.shares(query)[:, 0]
                if not shares.any():
                    assert found.reasons == ()
                    continue
                assert shares.sum() == pytest.approx(1.0)
                (reason,) = found.reasons
                assert reason.movie_id is not None
                assert reason.weight == pytest.approx(shares.max(), abs=1e-3)
                assert shares[fitted.ids.ids_of(influences.items).index(reason.movie_id)] == pytest.approx(
                    shares.max(), abs=1e-3
                )

    def test_films_rated_below_the_own_mean_support_nothing(self, fitted: Predictor) -> None:
        """The last is liked by its stars, and below the mean of the three."""
        history = told(*(("rating", FILM_IDS[film], stars) for film, stars in ((3, 5.0), (9, 5.0), (4, 3.0))))
        for found in fitted.recommend(history, N_FILMS):
            assert FILM_IDS[4] not in [reason.movie_id for reason in found.reasons]

    def test_similar_films(self, fitted: Predictor) -> None:
        if not isinstance(fitted, FindsSimilar):
            pytest.skip(f"{fitted.name} does not rank similar items")
        similar = fitted.similar(FILM_IDS[5], 6)
        assert 0 < len(similar) <= 6
        assert FILM_IDS[5] not in ids_of(similar)
        scores = [found.score for found in similar]
        assert scores == sorted(scores, reverse=True)
        assert similar == fitted.similar(FILM_IDS[5], 6)
        assert fitted.similar(FILM_IDS[5], 0) == []
        assert len(fitted.similar(FILM_IDS[5], 10 * N_FILMS)) < N_FILMS
        with pytest.raises(CannotAnswer) as refusal:
            fitted.similar("tt0000001", 6)
        assert refusal.value.reason == "unknown_film"

    def test_a_loaded_artifact_ranks_as_the_fitted_model_to_the_bit(
        self, fitted: Predictor, artifact: Path
    ) -> None:
        loaded = type(fitted).load(artifact)
        assert loaded.ids == fitted.ids
        assert loaded.version == "v1"
        assert loaded.config == fitted.config
        assert loaded.meta["metrics"][0]["NDCG@10"] == 0.5
        for history in HISTORIES:
            assert loaded.recommend(history, N_FILMS) == fitted.recommend(history, N_FILMS)

    def test_a_damaged_artifact_is_refused(self, fitted: Predictor, artifact: Path, tmp_path: Path) -> None:
        for path in sorted(artifact.iterdir()):
            damaged = tmp_path / f"damaged-{path.name}"
            damaged.mkdir()
            for other in artifact.iterdir():
                (damaged / other.name).write_bytes(other.read_bytes())
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 0xFF
            (damaged / path.name).write_bytes(content)
            with pytest.raises(ArtifactError):
                type(fitted).load(damaged)
            (damaged / path.name).unlink()
            with pytest.raises(ArtifactError):
                type(fitted).load(damaged)

    def test_an_artifact_of_another_kind_is_refused(self, kind: type[Predictor], artifact: Path) -> None:
        other = next(name for name in MODELS if name != kind.name)
        with pytest.raises(ArtifactError, match=kind.name):
            predictor_class(other).load(artifact)

    def test_serving_needs_no_torch_and_no_django(
        self, kind: type[Predictor], artifact: Path, fitted: Predictor
    ) -> None:
        program = f"""
import sys
from pathlib import Path
from {kind.__module__} import {kind.__qualname__} as model
from predictors.tests.small_world import FILM_IDS, rated
predictor = model.load(Path({str(artifact)!r}))
found = predictor.recommend(rated(*FILM_IDS[3:6]), 5)
assert not {{"torch", "django"}} & set(sys.modules), "a heavy module was imported"
sys.stdout.write(repr([each.movie_id for each in found]))
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == repr(ids_of(fitted.recommend(rated(*FILM_IDS[3:6]), 5)))

    def test_data_without_rows_cannot_be_trained_on(self, kind: type[Predictor]) -> None:
        nothing = from_rows([0], [0]).select(np.zeros(1, dtype=bool))
        with pytest.raises(TrainingError):
            kind.fit(nothing)

    def test_an_unknown_option_is_refused_by_name(self, kind: type[Predictor]) -> None:
        with pytest.raises(TrainingError, match="no_such_option"):
            fit_model(kind, interactions(), options={"no_such_option": "1"})

    def test_queries_in_index_space_are_answered(self, fitted: Predictor) -> None:
        """Benchmarks ask by indices without ids."""
        indices, _ = fitted.retrieve([Query.from_indices([3, 4, 5])], 5)
        assert ids_of(fitted.recommend(rated(*FILM_IDS[3:6]), 5)) == [FILM_IDS[index] for index in indices[0]]

    def test_candidates_get_the_scores_that_they_have_among_all(self, fitted: Predictor) -> None:
        queries = [fitted.encode(history) for history in HISTORIES[1:4]]
        everything = fitted.score(queries)
        np.testing.assert_allclose(fitted.score(queries, [5, 3]), everything[:, [5, 3]], rtol=1e-4, atol=1e-5)
        each = np.array([[0, 2], [3, 1], [7, 7]])
        expected = np.take_along_axis(everything, each, axis=1)
        np.testing.assert_allclose(fitted.score(queries, each), expected, rtol=1e-4, atol=1e-5)

    def test_a_refit_on_the_same_rows_is_a_model_of_the_same_recipe(self, fitted: Predictor) -> None:
        again = fitted.refit(interactions())
        assert again.config == fitted.config
        assert len(again.recommend(HISTORIES[2], N_FILMS)) == N_FILMS - len(HISTORIES[2].seen)


def overwrite(path: Path, content: bytes) -> None:
    """Write into a file of an artifact, which is read-only, as only a slip or a broken disk does."""
    path.chmod(0o644)
    path.write_bytes(content)
