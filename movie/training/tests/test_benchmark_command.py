"""manage.py benchmark: one table, one report, one plot; clear words on wrong input."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "shop.csv"
    rows = [
        f"u{user},item-{item},{rng.integers(1, 6)},{1_600_000_000 + rng.integers(10**6)}"
        for user in range(120)
        for item in rng.choice(50, 14, replace=False)
    ]
    path.write_text("who,what,stars,when\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


COLUMNS = ["user=who", "item=what", "rating=stars", "timestamp=when"]


def benchmark(*args, **options) -> str:
    out = io.StringIO()
    call_command("benchmark", *args, stdout=out, **options)
    return out.getvalue()


def test_it_writes_a_table_a_report_and_a_plot(data, tmp_path):
    report, plot = tmp_path / "r.json", tmp_path / "r.svg"
    text = benchmark(
        "leave-one-out",
        data=data,
        columns=COLUMNS,
        models="popular,neighbours",
        seeds="1,2",
        json=report,
        plot=plot,
        min_rating=2,
        options=["neighbours.shrinkage=5"],
        candidates=20,
    )
    rows = json.loads(report.read_text())["results"]
    assert [row["model"] for row in rows] == ["popular", "neighbours"]
    assert rows[1]["config"]["shrinkage"] == 5
    assert rows[0]["filter"] == "rating >= 2"
    for row in rows:
        assert f"{row['metrics']['NDCG@10']:.4f}" in text
    for ranking in ("seen items masked", "nothing masked", "20 uniformly drawn"):
        assert ranking in text
    assert "neighbours" in plot.read_text(encoding="utf-8")


def test_options_come_from_a_file_that_names_the_model(data, tmp_path):
    config, report = tmp_path / "c.json", tmp_path / "r.json"
    config.write_text('{"neighbours": {"shrinkage": 7, "exponent": 0.4}, "ease": {"ridge": 5}}')
    benchmark(
        "leave-one-out",
        data=data,
        columns=COLUMNS,
        models="popular,neighbours",
        config=config,
        options=["neighbours.exponent=0.3"],
        json=report,
    )
    popular, neighbours = json.loads(report.read_text())["results"]
    assert (neighbours["config"]["shrinkage"], neighbours["config"]["exponent"]) == (7, 0.3)
    assert popular["config"]["prior"] == 20


def test_resume_keeps_finished_rows(data, tmp_path):
    asked = {"data": data, "columns": COLUMNS, "json": tmp_path / "r.json", "n": "1,3"}
    benchmark("guest", models="popular", **asked)
    (first,) = json.loads(asked["json"].read_text())["results"]
    text = benchmark("guest", models="popular,neighbours", resume=True, **asked)
    kept, added = json.loads(asked["json"].read_text())["results"]
    assert kept == first
    assert added["model"] == "neighbours"
    assert "n=3" in text


def test_models_are_compared_over_the_same_users(data, tmp_path):
    report = tmp_path / "r.json"
    asked = {"data": data, "columns": COLUMNS, "json": report, "models": "popular,neighbours"}
    text = benchmark("leave-one-out", against="popular", stated="stars", **asked)
    assert "less popular, masked: paired 95 % intervals over 120 users" in text
    assert "histories stated as stars" in text
    written = json.loads(report.read_text())
    found = {(each["condition"], each["metric"]): each for each in written["comparisons"]}
    rows = {row["model"]: row["metrics"] for row in written["results"]}
    difference = found["masked", "NDCG@10"]["difference"]
    assert difference["value"] == pytest.approx(
        rows["neighbours"]["NDCG@10"] - rows["popular"]["NDCG@10"], abs=1e-6
    )
    assert f"{difference['value']:+.4f} ({difference['low']:+.4f}" in text
    again = benchmark("leave-one-out", against="popular", stated="stars", resume=True, **asked)
    assert again == text, "the values of every user were kept"


def test_variants_of_a_model_are_compared_and_their_training_is_drawn(data, tmp_path):
    report, curve = tmp_path / "r.json", tmp_path / "curve.svg"
    text = benchmark(
        "random-split",
        data=data,
        columns=COLUMNS,
        models="lightgcn",
        vary="negatives=uniform,hard",
        options=["epochs=4", "evaluate_every=2", "dim=8"],
        json=report,
        curve=curve,
    )
    rows = json.loads(report.read_text())["results"]
    assert [row["model"] for row in rows] == ["lightgcn[negatives=uniform]", "lightgcn[negatives=hard]"]
    assert [row["config"]["negatives"] for row in rows] == ["uniform", "hard"]
    for row in rows:
        assert row["model"] in text
        points = row["per_seed"][0]["curve"]
        assert [point["step"] for point in points] == [points[0]["step"], 2 * points[0]["step"]]
        assert points[0]["cpu_seconds"] < points[1]["cpu_seconds"]
        assert all(0 < point["Recall@20"] <= 1 and 0 < point["NDCG@20"] <= 1 for point in points)
        labels = [condition["label"] for condition in row["conditions"]]
        assert labels == ["masked", "users as trained"]
    assert "users as trained" in text
    drawing = curve.read_text(encoding="utf-8")
    assert "lightgcn[negatives=hard]" in drawing
    assert "Recall@20" in drawing


def test_a_model_that_fails_is_named_and_the_others_are_reported(data, tmp_path):
    report = tmp_path / "r.json"
    with pytest.raises(CommandError, match=r"popular: .*prior"):
        benchmark(
            "random-split",
            data=data,
            columns=COLUMNS,
            models="popular,neighbours",
            options=["popular.prior=-1"],
            json=report,
        )
    written = json.loads(report.read_text())
    assert [row["model"] for row in written["results"]] == ["neighbours"]
    assert [row["model"] for row in written["failures"]] == ["popular"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "popular,magic"}, "no model 'magic'"),
        ({"seeds": "one"}, "--seeds"),
        ({"options": ["sasrec.epochs=3"]}, "sasrec is not among --models"),
        ({"options": ["epochs"]}, "name=value"),
        ({"columns": ["user=who", "film=what"]}, "ROLE=NAME"),
        ({"columns": ["user=who"]}, "no item column"),
        ({"candidates": -1}, "--candidates"),
        ({"plot": Path("plot.gif")}, "--plot"),
        ({"curve": Path("curve.gif")}, "--curve"),
        ({"vary": "negatives"}, "--vary"),
        ({"resume": True}, "--json"),
        ({"data": Path("/nowhere.csv")}, "no such file"),
        ({"n": "many"}, "'many' is no amount"),
        ({"curve": Path("curve.svg")}, "popular cannot be measured while training"),
        ({"against": "ease"}, "ease is not among --models"),
        ({"labels": Path("/nowhere.csv")}, "cannot be read"),
    ],
)
def test_wrong_input_gets_a_sentence(data, options, message):
    with pytest.raises(CommandError, match=message):
        benchmark("guest", **{"data": data, "columns": COLUMNS, "models": "popular"} | options)


def test_sigterm_ends_it_cleanly_and_keeps_finished_rows(data, tmp_path):
    report = tmp_path / "r.json"
    command = [sys.executable, "manage.py", "benchmark", "leave-one-out", "--data", str(data)]
    # More seeds than could finish in time: it is still at work when the signal comes.
    seeds = ",".join(map(str, range(1, 400)))
    running = subprocess.Popen(
        [*command, "--columns", *COLUMNS, "--models", "popular", "--seeds", seeds, "--json", str(report)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    children: list[psutil.Process] = []
    while not any("spawn_main" in " ".join(child.cmdline()) for child in children):
        assert running.poll() is None and time.monotonic() < deadline, "no model was started"
        time.sleep(0.1)
        children = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    psutil.wait_procs(children, timeout=5)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
