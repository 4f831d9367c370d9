"""The benchmark document is what the generator makes of the committed results."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import accuracy
from evaluation import benchmark_page
from evaluation.benchmark_page import PageError, read_table, render_page, render_table

ACCURACY = sorted(
    path.stem
    for path in accuracy.RESULTS.glob("*.json")
    if "command" not in read_table(accuracy.RESULTS, path.stem)
)


def test_the_document_and_its_chart_are_what_the_generator_makes() -> None:
    page, charts = accuracy.rendered()
    assert accuracy.PAGE.read_text(encoding="utf-8") == page, "run: python -m benchmarks.accuracy"
    for path, chart in charts.items():
        assert (accuracy.PAGE.parent / path).read_text(encoding="utf-8") == chart


@pytest.mark.parametrize("name", ACCURACY)
def test_every_row_says_how_it_came_about(name: str) -> None:
    table = read_table(accuracy.RESULTS, name)
    for row in table["rows"]:
        assert row["command"].startswith("manage.py benchmark ")
        model, _, variant = row["model"].removesuffix("]").partition("[")
        assert "--models" not in row["command"] or (model in row["command"] and variant in row["command"])
        assert row["seeds"]
        assert re.fullmatch("[0-9a-f]{64}", row["data_sha256"])
        assert re.fullmatch("[0-9a-f]{40}", row["code"]["commit"])
        assert {metric for metric, _ in table["columns"]} <= set(row["metrics"])


@pytest.mark.parametrize("name", ACCURACY)
def test_figures_of_others_name_who_measured_them_and_on_which_file(name: str) -> None:
    for each in read_table(accuracy.RESULTS, name).get("references", []):
        assert all(each[fact] for fact in ("model", "library", "file", "setting", "measured_by", "metrics"))


def test_all_rows_of_a_table_are_about_the_same_file() -> None:
    for name in ACCURACY:
        assert len({row["data_sha256"] for row in read_table(accuracy.RESULTS, name)["rows"]}) == 1, name


def row(model: str, value: float) -> dict:
    return {
        "model": model,
        "seeds": [1, 2],
        "command": f"manage.py benchmark guest --data d --models {model}",
        "code": {"commit": "a" * 40},
        "data_sha256": "b" * 64,
        "cpu_seconds": 1.25,
        "metrics": {"NDCG@10": value, "films_per_1000@10": 1234.0},
        "intervals": {"NDCG@10": [value - 0.01, value + 0.02]},
    }


def test_a_table_has_a_run_for_each_way_in_which_its_rows_were_measured() -> None:
    text = render_table(
        {
            "columns": [["NDCG@10", "NDCG@10"], ["films_per_1000@10", "films per 1,000"]],
            "rows": [row("ease", 0.25), row("als", 0.2)],
            "comparisons": [
                {
                    "candidate": "als",
                    "baseline": "ease",
                    "condition": "masked",
                    "metric": "NDCG@10",
                    "difference": {"value": -0.05, "low": -0.06, "high": -0.04, "n_users": 90},
                }
            ],
        }
    )
    assert "| ease | **.2500** | **1,234** | 1.2 | a |" in text
    assert "| als | .2000 | **1,234** | 1.2 | b |" in text
    assert "- b: `manage.py benchmark guest --data d --models als`, seeds 1, 2, revision `aaaaaaa`" in text
    assert "reach ±.015." in text
    assert "| als | -.0500 (-.0600 to -.0400)* |" in text


def test_a_view_shows_the_same_rows_with_other_columns(tmp_path) -> None:
    table = {
        "columns": [["NDCG@10", "NDCG@10"]],
        "views": {"beyond": [["films_per_1000@10", "films"]]},
        "rows": [row("ease", 0.25)],
    }
    (tmp_path / "t.json").write_text(json.dumps(table))
    page = render_page("{{t}}\n\n{{t beyond}}\n", tmp_path, "chart.svg")
    assert page.endswith("| model | films |\n|---|---|\n| ease | **1,234** |\n")
    with pytest.raises(PageError, match="besides"):
        render_page("{{t}}\n{{t besides}}\n", tmp_path, "chart.svg")


def test_a_figure_of_a_template_without_a_file_is_refused(tmp_path) -> None:
    with pytest.raises(PageError, match="no-such-table"):
        render_page("{{no-such-table}}\n", tmp_path, "chart.svg")
    (tmp_path / "unused.json").write_text('{"columns": [], "rows": []}')
    with pytest.raises(PageError, match="unused"):
        render_page("# Nothing\n", tmp_path, "chart.svg")


def test_a_table_is_measured_anew_by_the_commands_of_its_rows(tmp_path, monkeypatch) -> None:
    for name, value in {"SECRET_KEY": "test", "DEBUG": "true", "DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    lines = [f"{user},{(user + step) % 9},5,{1000 + step}" for user in range(30) for step in range(5)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating,timestamp", *lines]) + "\n")
    command = (
        "manage.py benchmark leave-one-out --data ratings.csv --models popular,neighbours --against popular"
    )
    kept = {"command": command, "seeds": [1], "metrics": {}}
    table = {
        "columns": [["NDCG@10", "NDCG@10"]],
        "rows": [{**kept, "model": "neighbours", "label": "item neighbours"}, {**kept, "model": "popular"}],
    }
    measured = accuracy.measure_anew(table, tmp_path)
    assert [row["model"] for row in measured["rows"]] == ["neighbours", "popular"]
    assert measured["rows"][0]["metrics"]["NDCG@10"] > measured["rows"][1]["metrics"]["NDCG@10"]
    assert measured["rows"][0]["data"] == "ratings.csv" and len(measured["rows"][0]["data_sha256"]) == 64
    text = render_table(measured)
    assert "| item neighbours |" in text and "Less `popular`" in text


def test_the_rows_of_one_model_are_measured_and_the_others_stay(tmp_path, monkeypatch) -> None:
    commands = {name: f"manage.py benchmark temporal --models {name},popular" for name in ("ease", "for_you")}
    asked = []

    def report(command, data_root):
        asked.append(command)
        compared = [{"candidate": "for_you", "baseline": "popular", "metric": "NDCG@10", "condition": "n=3"}]
        found = {
            **dict.fromkeys(benchmark_page._KEPT, ""),
            **row("for_you", 0.7),
            "data": "d",
            "protocol": "temporal",
        }
        return {"results": [found, {**found, "model": "popular"}], "comparisons": compared}

    monkeypatch.setattr(accuracy, "run_benchmark_command", report)
    old = [{"candidate": name, "baseline": "popular", "metric": "HR@10"} for name in ("ease", "for_you")]
    table = {
        "columns": [["NDCG@10", "NDCG@10"]],
        "rows": [
            {**row("ease", 0.3), "command": commands["ease"]},
            {"model": "for_you", "command": commands["for_you"]},
        ],
        "comparisons": old,
    }
    measured = accuracy.measure_anew(table, tmp_path, ["for_you"])
    assert asked == [commands["for_you"]]
    assert measured["rows"][0] == table["rows"][0]
    assert measured["rows"][1]["metrics"]["NDCG@10"] == 0.7
    assert [(each["candidate"], each["metric"]) for each in measured["comparisons"]] == [
        ("ease", "HR@10"),
        ("for_you", "NDCG@10"),
    ]
    with pytest.raises(PageError, match="sasrec"):
        accuracy.measure_anew(table, tmp_path, ["sasrec"])


def test_a_table_of_texts_is_not_measured_by_the_benchmark_command() -> None:
    with pytest.raises(PageError, match="make test-faults"):
        accuracy.measure_anew(read_table(accuracy.RESULTS, "events-faults"), accuracy.ROOT)
