import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pytorch_models.sasrec.batches import Windows
from pytorch_models.sasrec.loss import (
    LOGITS_AT_ONCE,
    rows_at_once,
    sampled_cross_entropy,
    softmax_cross_entropy,
)
from pytorch_models.sasrec.network import BLOCKS, ByteDropout, Sasrec, SasrecConfig


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=BLOCKS)
def model(request) -> Sasrec:
    model = Sasrec(SasrecConfig(n_items=50, dim=16, max_length=20, block=request.param)).eval()
    for parameter in model.parameters():  # away from the small initial values, where everything is alike
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def test_padding_behind_a_sequence_does_not_change_it(model):
    items = torch.randint(0, 50, (3, 12))
    padded = torch.cat([items, torch.randint(0, 50, (3, 8))], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(model(padded)[:, :12], model(items), atol=1e-5, rtol=0)
        torch.testing.assert_close(model(items)[1:2], model(items[1:2]), atol=1e-5, rtol=0)


def test_a_block_is_its_papers_formula(model):
    """Attention and feed-forward written out head by head, in float64."""
    block, kind = model.blocks[0].double(), model.config.block
    x = torch.randn(1, 7, 16, dtype=torch.float64)

    def attention(z: torch.Tensor) -> torch.Tensor:
        q, k, v = (z[0] @ block.attention.qkv.weight.t() + block.attention.qkv.bias).split(16, dim=1)
        heads = []
        for columns in (slice(0, 8), slice(8, 16)):
            logits = q[:, columns] @ k[:, columns].t() / 8**0.5
            logits[torch.ones(7, 7, dtype=torch.bool).triu(1)] = -torch.inf
            heads.append(logits.softmax(1) @ v[:, columns])
        return block.attention.out(torch.cat(heads, dim=1))[None]

    def feed(z: torch.Tensor) -> torch.Tensor:
        up = block.up(z)
        return block.down(0.5 * up * (1 + torch.erf(up / 2**0.5)))

    expected = x
    for layer, norm, gate in (
        (attention, block.attention_norm, block.attention_gate),
        (feed, block.feed_norm, block.feed_gate),
    ):
        if kind == "ligr":
            expected = expected + layer(norm(expected)) / (1 + torch.exp(-expected @ gate.weight.t()))
        else:
            expected = expected + layer(norm(expected))
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


def test_a_position_sees_the_films_before_it_and_their_order(model):
    items = torch.arange(12)[None]
    swapped = items.clone()
    swapped[0, [3, 4]] = swapped[0, [4, 3]]
    with torch.no_grad():
        plain, other = model(items)[0], model(swapped)[0]
    torch.testing.assert_close(plain[:3], other[:3], atol=1e-5, rtol=0)
    assert (plain[5:] - other[5:]).abs().max() > 1e-3


@pytest.mark.parametrize("logits_at_once", [7_000_000, 300])
def test_the_chunked_softmax_has_the_loss_and_gradients_of_the_plain_one(monkeypatch, logits_at_once):
    monkeypatch.setitem(LOGITS_AT_ONCE, "cpu", logits_at_once)
    hidden, table = torch.randn(37, 8, requires_grad=True), torch.randn(90, 8, requires_grad=True)
    targets = torch.randint(0, 90, (37,))
    expected = F.cross_entropy(hidden @ table.t(), targets)
    wanted = torch.autograd.grad(expected * 3, (hidden, table))
    loss = softmax_cross_entropy(hidden, table, targets)
    torch.testing.assert_close(loss, expected)
    for found, known in zip(torch.autograd.grad(loss * 3, (hidden, table)), wanted, strict=True):
        torch.testing.assert_close(found, known)


def test_a_gpu_takes_more_logits_at_once_than_the_cache_of_a_processor_holds():
    rows = {device: rows_at_once(27_000, torch.device(device)) for device in ("cpu", "cuda", "mps")}
    assert rows["cpu"] == rows["mps"] == 259
    assert rows["cuda"] > 4096  # a whole batch
    assert rows_at_once(10**9, torch.device("cpu")) == 1


def test_half_precision_logits_stay_close_to_the_exact_gradient():
    hidden, table = torch.randn(200, 32, requires_grad=True), torch.randn(300, 32, requires_grad=True)
    targets = torch.randint(0, 300, (200,))
    (exact,) = torch.autograd.grad(softmax_cross_entropy(hidden, table, targets), hidden)
    (rough,) = torch.autograd.grad(softmax_cross_entropy(hidden, table, targets, torch.bfloat16), hidden)
    assert F.cosine_similarity(exact.flatten(), rough.flatten(), dim=0) > 0.999


def test_sampled_cross_entropy_over_the_whole_catalogue_is_the_full_one():
    """Each row leaves its own target out of the negatives."""
    hidden, table = torch.randn(5, 8), torch.randn(40, 8)
    targets = torch.randint(0, 40, (5,))
    found = sampled_cross_entropy(hidden, table, targets, torch.randperm(40))
    torch.testing.assert_close(found, F.cross_entropy(hidden @ table.t(), targets))


@pytest.mark.parametrize("n_drawn", [1, 2])
def test_the_correction_makes_the_sum_over_the_draws_unbiased(n_drawn):
    """The mean over all draws that can be made is exact: it is the sum over the catalogue."""
    hidden, table, target = torch.randn(1, 4), torch.randn(6, 4), torch.tensor([3])
    at_target = torch.exp(hidden[0] @ table[3])
    sums = []
    for drawn in itertools.combinations(range(6), n_drawn):
        loss = sampled_cross_entropy(hidden, table, target, torch.tensor(drawn))
        sums.append(float(torch.exp(loss) * at_target))
    assert np.mean(sums) == pytest.approx(float(torch.exp(hidden @ table.t()).sum()), rel=1e-5)


def test_sampled_cross_entropy_estimates_the_full_one():
    hidden, table = torch.randn(50, 8) / 3, torch.randn(2000, 8)
    targets = torch.randint(0, 2000, (50,))
    full = F.cross_entropy(hidden @ table.t(), targets)
    drawn = [
        sampled_cross_entropy(hidden, table, targets, torch.randperm(2000)[:500]).item() for _ in range(20)
    ]
    assert np.mean(drawn) == pytest.approx(full.item(), abs=0.02)


def test_dropout_keeps_the_mean_and_is_off_when_not_training():
    dropout, x = ByteDropout(0.25), torch.ones(100_003)
    dropped = dropout(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert dropout.eval()(x) is x


def windows_of(*histories: list[int], max_length: int = 4, tokens: int = 8) -> Windows:
    indptr = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    return Windows(np.concatenate(histories).astype(np.int32), indptr, max_length, tokens, seed=3)


def rows_of(windows: Windows, epoch: int) -> list[tuple[list[int], list[int]]]:
    """(inputs, targets) of every sequence of an epoch, without padding."""
    rows = []
    for batch in windows(epoch):
        targets = batch.targets.tolist()
        for inputs, real in zip(batch.inputs, batch.real, strict=True):
            length = int(real.sum())
            assert bool(real[:length].all())  # padding is behind
            rows.append((inputs[:length].tolist(), targets[:length]))
            targets = targets[length:]
        assert not targets
    return rows


def test_short_histories_are_used_whole_and_single_films_teach_nothing():
    assert sorted(rows_of(windows_of([1, 2, 3], [9], [], [4, 5]), 0)) == [([1, 2], [2, 3]), ([4], [5])]


def test_long_histories_give_other_windows_in_other_epochs_and_the_same_when_asked_again():
    windows = windows_of(list(range(100)))
    seen = set()
    for epoch in range(30):
        ((inputs, targets),) = rows_of(windows, epoch)
        assert inputs == list(range(inputs[0], inputs[0] + 4))
        assert targets == [item + 1 for item in inputs]
        assert rows_of(windows, epoch) == [(inputs, targets)]
        seen.add(inputs[0])
    assert len(seen) > 15


def test_every_history_is_met_once_in_an_epoch_and_batches_stay_small():
    rng = np.random.default_rng(0)
    histories = [[user] * int(rng.integers(2, 30)) for user in range(60)]
    windows = windows_of(*histories, max_length=20, tokens=64)
    batches = list(windows(0))
    assert len(batches) == windows.batches_per_epoch()
    assert max(batch.inputs.numel() for batch in batches) <= 64
    assert sorted(inputs[0] for inputs, _ in rows_of(windows, 0)) == list(range(60))
    assert sum(len(batch.targets) for batch in batches) == windows.tokens_per_epoch
