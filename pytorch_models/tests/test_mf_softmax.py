import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.interactions import Interactions
from datasets.negatives import Positives
from pytorch_models.mf_softmax import fit as mf_softmax
from pytorch_models.mf_softmax.batches import Batches
from pytorch_models.mf_softmax.network import SoftmaxFactors
from pytorch_models.tests.processes import in_processes
from pytorch_models.training.checkpoints import CheckpointError
from pytorch_models.training.config import TrainingConfig
from pytorch_models.training.loop import train

N_USERS, N_ITEMS = 60, 40
CONFIG = mf_softmax.SoftmaxFactorsFitConfig(
    dim=8,
    epochs=4,
    batch_size=100,
    learning_rate=0.02,
    l2=0.01,
    negatives=16,
    sampling_exponent=0.75,
    evaluate_every=1,
    patience=0,
)


pytestmark = pytest.mark.usefixtures("one_thread")


def two_tastes() -> Interactions:
    """Each user has ten items of one half of the catalogue, low ones more often."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, 21)
    items = [
        20 * (user % 2) + rng.choice(20, 10, replace=False, p=chances / chances.sum())
        for user in range(N_USERS)
    ]
    return Interactions.from_columns(
        np.repeat(np.arange(N_USERS), 10),
        np.concatenate(items),
        user_ids=np.arange(N_USERS),
        item_ids=np.arange(N_ITEMS),
    )


def batches(rows: Interactions, shares: np.ndarray, n_drawn: int) -> Batches:
    positives = Positives(N_USERS, N_ITEMS, (rows.users, rows.items))
    return Batches(positives, shares, size=100, n_drawn=n_drawn, seed=1)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_whatever_items_are_drawn_by_the_loss_is_that_of_the_softmax_over_all(exponent):
    """With the correction; over many draws the estimated sum over a user's other items is the exact one."""
    rows = two_tastes()
    counts = np.bincount(rows.items, minlength=N_ITEMS) + 1.0
    shares = counts**exponent / (counts**exponent).sum()
    batch = next(iter(batches(rows, shares, 400_000)(0)))
    popularity = torch.from_numpy(counts / counts.sum())
    model = SoftmaxFactors(N_USERS, 8, popularity, torch.Generator().manual_seed(1))
    found = model.loss(batch, torch.from_numpy(np.log(400_000 * shares)), 0.0)
    with torch.no_grad():
        scores = (model.users @ model.items.t() + model.biases).double().numpy()
    own = np.zeros((N_USERS, N_ITEMS), dtype=bool)
    own[rows.users, rows.items] = True
    losses = []
    for row, item in zip(batch.rows.tolist(), batch.items.tolist(), strict=True):
        user = int(batch.users[row])
        others = np.exp(scores[user][~own[user]]).sum()
        losses.append(math.log(np.exp(scores[user, item]) + others) - scores[user, item])
    assert float(found.detach()) == pytest.approx(np.mean(losses), abs=5e-3)


def test_an_epoch_has_every_pair_once_and_every_part_of_a_batch_its_share():
    rows = two_tastes()
    shares = np.full(N_ITEMS, 1 / N_ITEMS)
    pairs = []
    for batch, again in zip(batches(rows, shares, 16)(3), batches(rows, shares, 16)(3), strict=True):
        assert torch.equal(batch.drawn, again.drawn)
        parts = [batch.part(slice(rank, None, 3)) for rank in range(3)]
        found = [(part.users[part.rows], part.items) for part in parts]
        of_parts = {(int(u), int(i)) for users, items in found for u, i in zip(users, items, strict=True)}
        of_batch = list(zip(batch.users[batch.rows].tolist(), batch.items.tolist(), strict=True))
        assert of_parts == set(of_batch)
        assert sum(len(part.items) for part in parts) == len(of_batch) == batch.n_pairs
        assert {int(u) for u in batch.touched()["users"]} == {user for user, _ in of_batch}
        pairs += of_batch
    assert sorted(pairs) == sorted(zip(rows.users.tolist(), rows.items.tolist(), strict=True))


@pytest.mark.parametrize("rows_from", [100_000, 50, 1])  # no table is lazy, that of users, all are
def test_training_tells_the_two_tastes_apart(monkeypatch, rows_from):
    monkeypatch.setattr(mf_softmax, "ROWS_FROM", rows_from)
    fitted, state = mf_softmax.fit(two_tastes(), replace(CONFIG, epochs=40, evaluate_every=40))
    scores = fitted.users @ fitted.items.T + fitted.biases
    first_half = np.arange(N_ITEMS) < 20
    own = np.where((np.arange(N_USERS) % 2 == 0)[:, None], first_half, ~first_half)
    assert state.stopped == "steps"
    assert scores[own].mean() > scores[~own].mean() + 0.5


@pytest.mark.parametrize("rows_from", [100_000, 50, 1])  # all tables whole; users by rows; both by rows
def test_two_processes_train_the_factors_of_one(monkeypatch, rows_from):
    monkeypatch.setattr(mf_softmax, "ROWS_FROM", rows_from)
    one, state = mf_softmax.fit(two_tastes(), CONFIG)
    for found, of_two in in_processes(lambda group: mf_softmax.fit(two_tastes(), CONFIG)):
        for step, expected in zip(of_two.curve, state.curve, strict=True):
            assert step["loss"] == pytest.approx(expected["loss"], abs=1e-4)
        for name, table in vars(one).items():
            np.testing.assert_allclose(getattr(found, name), table, atol=1e-3)


def test_a_step_writes_the_rows_that_its_batch_looks_at_alone(tmp_path):
    """What it costs does not grow with the tables, and nobody else moves."""
    rows = two_tastes()
    shares = np.full(N_ITEMS, 1 / N_ITEMS)
    positives = Positives(N_USERS, N_ITEMS, (rows.users, rows.items))
    batch = next(iter(Batches(positives, shares, size=10, n_drawn=4, seed=1)(0)))
    popularity = torch.from_numpy(shares)
    model = SoftmaxFactors(N_USERS, 8, popularity, torch.Generator().manual_seed(1), rows_from=1)
    begins = {name: table.detach().clone() for name, table in model.named_parameters()}
    touched = batch.touched() | {"biases": batch.touched()["items"]}
    train(
        model,
        lambda epoch: iter([batch]),
        lambda each: model.loss(each, torch.from_numpy(np.log(4 * shares)).float(), 0.1),
        TrainingConfig(steps=3, learning_rate=0.1, clip_norm=math.inf),
        device=torch.device("cpu"),
        directory=tmp_path,
        lazy=model.lazy,
    )
    for name, table in model.named_parameters():
        assert table.grad.is_sparse
        moved = (table.detach() != begins[name]).reshape(len(table), -1).any(dim=1)
        assert moved.nonzero()[:, 0].tolist() == touched[name].tolist()
        assert len(touched[name]) < len(table) / 2


@pytest.mark.parametrize("rows_from", [50, 1])
def test_lazy_tables_resume_to_those_of_an_uninterrupted_run(tmp_path, monkeypatch, rows_from):
    class Enough(Exception):
        pass

    def interrupt(step, *_):
        if step == 9:
            raise Enough

    monkeypatch.setattr(mf_softmax, "ROWS_FROM", rows_from)
    with pytest.raises(Enough):
        mf_softmax.fit(two_tastes(), CONFIG, directory=tmp_path, report=interrupt)
    resumed, state = mf_softmax.fit(two_tastes(), CONFIG, directory=tmp_path, resume=True)
    whole, _ = mf_softmax.fit(two_tastes(), CONFIG)
    assert state.step > 9
    for name, table in vars(whole).items():
        np.testing.assert_array_equal(getattr(resumed, name), table)


@pytest.mark.parametrize(("first", "then"), [(100_000, 50), (50, 1), (1, 100_000)])
def test_a_run_with_other_lazy_tables_is_not_resumed(tmp_path, monkeypatch, first, then):
    """Their optimiser has another state."""
    monkeypatch.setattr(mf_softmax, "ROWS_FROM", first)
    mf_softmax.fit(two_tastes(), CONFIG, directory=tmp_path)
    monkeypatch.setattr(mf_softmax, "ROWS_FROM", then)
    with pytest.raises(CheckpointError, match=r"belongs to another run: identity .*'lazy'"):
        mf_softmax.fit(two_tastes(), CONFIG, directory=tmp_path, resume=True)


def test_sparse_gradients_are_not_clipped(tmp_path):
    model = torch.nn.Embedding(3, 2, sparse=True)
    with pytest.raises(ValueError, match=r"clip_norm is 1\.0, but the sparse gradients of weight"):
        train(
            model,
            lambda epoch: iter([torch.tensor([0])]),
            lambda each: model(each).sum(),
            TrainingConfig(steps=1),
            device=torch.device("cpu"),
            directory=tmp_path,
            lazy=["weight"],
        )


def test_users_of_nothing_or_of_everything_cannot_be_trained_on():
    rows = Interactions.from_columns(np.zeros(3), np.arange(3), user_ids=np.arange(2), item_ids=np.arange(3))
    with pytest.raises(ValueError, match="no user has both"):
        mf_softmax.fit(rows, CONFIG)
