"""Every figure of a small benchmark is what it was: the committed table is a promise about every model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMITTED = HERE / "reproducibility.json"
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def rerun(tmp_path_factory) -> dict:
    """The figures of this code, made in a process with one thread for every library."""
    target = tmp_path_factory.mktemp("figures") / "figures.json"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "evaluation.tests.reproducibility", str(target)],
        check=True,
        cwd=HERE.parents[1],
        env={**os.environ, **threads},
    )
    return json.loads(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", json.loads(COMMITTED.read_text(encoding="utf-8")))
def test_a_rerun_gives_the_same_figures(row, rerun):
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))[row]
    for condition, metrics in committed.items():
        for name, value in metrics.items():
            assert rerun[row][condition][name] == pytest.approx(value, abs=TOLERANCE), (condition, name)
