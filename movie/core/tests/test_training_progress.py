"""Where a training stands, for whoever reads a log instead of a terminal."""

import pytest

from movie.core.progress import ProgressBar
from predictors.progress import ProgressEvent

EVENTS = [
    ProgressEvent(0.1, "epoch 0 of 2"),
    ProgressEvent(0.3, "epoch 0 of 2"),
    ProgressEvent(0.5, "epoch 1 of 2", {"loss": 0.5}),
    ProgressEvent(0.7, "epoch 1 of 2"),
    ProgressEvent(1.0, "epoch 2 of 2", {"loss": 0.25, "NDCG@10": 0.125}),
    ProgressEvent(1.0, ""),
]


def test_off_a_terminal_every_epoch_is_one_line(capsys):
    with ProgressBar() as bar:
        for event in EVENTS:
            bar.show(event, "sasrec")
    assert capsys.readouterr().err.splitlines() == [
        "sasrec   10%  epoch 0 of 2",
        "sasrec   50%  epoch 1 of 2  loss 0.5000",
        "sasrec  100%  epoch 2 of 2  loss 0.2500  NDCG@10 0.1250",
    ]


@pytest.mark.parametrize("event", EVENTS)
def test_quiet_is_quiet(capsys, event):
    with ProgressBar(enabled=False) as bar:
        bar.show(event, "sasrec")
    assert capsys.readouterr().err == ""
