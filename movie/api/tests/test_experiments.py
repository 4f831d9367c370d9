"""Tests of experiments by program: defined, answered, counted by list id, stopped and promoted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.utils import timezone

from movie.api.models import ACTIVATE_MODELS, EXPERIMENTS, READ, WRITE_INTERACTIONS
from movie.experiments import changes
from movie.experiments.assignment import parse_list_id
from movie.experiments.models import Experiment, VisitorTotals
from movie.training.models import DefaultModel

DEFINITION = {
    "name": "rows",
    "question": "Which is opened more?",
    "arms": [
        {"name": "control", "model": "popular", "share": 0.5, "is_control": True},
        {"name": "new", "model": "neighbours", "share": 0.5},
    ],
}


@pytest.fixture
def call(connect):
    return connect(READ, WRITE_INTERACTIONS, EXPERIMENTS, ACTIVATE_MODELS)


@pytest.fixture
def running(call, django_capture_on_commit_callbacks):
    call("POST", "experiments", DEFINITION, 201)
    answer = call("POST", "experiments/rows/start")
    assert answer["is_running"]
    cache.clear()  # as every process forgets within 15 s
    return answer


def rate(call, visitor: str) -> None:
    body = {"visitor": visitor, "movie_id": 3, "kind": "rating", "value": 5}
    assert call("POST", "interactions", body)["stored"] == 1


def visitors_by_arm(call) -> dict[str, str]:
    """Return a visitor of each arm."""
    found = {}
    for number in range(20):
        rate(call, f"v{number}")
        answer = call("POST", "recommend", {"user_id": f"v{number}", "k": 3})
        found.setdefault(answer["experiment"]["arm"], f"v{number}")
    assert found.keys() == {"control", "new"}
    return found


def sums() -> dict[str, tuple]:
    rows = VisitorTotals.objects.values_list("arm__name", "impressions", "clicks", "ratings", "stars")
    return {name: tuple(each) for name, *each in rows}


def test_arms_are_answered_and_counted_by_the_id_of_the_list(call, running):
    by_arm = visitors_by_arm(call)
    models = {"control": "popular", "new": "neighbours"}
    for arm, visitor in by_arm.items():
        answer = call("POST", "recommend", {"user_id": visitor, "k": 3})
        again = call("GET", f"recommend/{visitor}?k=3")
        assert answer["experiment"] == again["experiment"] == {"name": "rows", "arm": arm}
        assert (answer["model"], again["model"]) == (models[arm], models[arm])
        assert parse_list_id(answer["recommendation_id"]).experiment == Experiment.objects.get().pk
        shown = {"visitor": visitor, "recommendation_id": answer["recommendation_id"]}
        first, second, _third = (entry["movie_id"] for entry in answer["recommendations"])
        did = [
            {"movie_id": first, "kind": "impression"},
            {"movie_id": second, "kind": "impression"},  # a list is shown once, whoever sends each film
            {"movie_id": first, "kind": "click"},
            {"movie_id": first, "kind": "rating", "value": 4},
        ]
        assert call("POST", "interactions", [shown | each for each in did])["stored"] == 3
        call("POST", "interactions", shown | did[0])
    assert sums() == {"control": (1, 1, 1, 4.0), "new": (1, 1, 1, 4.0)}
    results = call("GET", "experiments/rows")
    assert {(figure["arm"], figure["lists"], figure["films_opened"]) for figure in results["figures"]} == {
        ("control", 1, 1),
        ("new", 1, 1),
    }


def test_a_batch_answers_each_visitor_by_their_own_arm_and_the_rest_outside(call, running):
    by_arm = visitors_by_arm(call)
    entries = [{"user_id": by_arm["new"]}, {"history": [3]}, {"user_id": by_arm["control"]}]
    entries += [{"user_id": "ml-100k:3"}, {"user_id": "nobody"}]
    results = call("POST", "recommend/batch", {"entries": entries, "k": 3})["results"]
    assert [each.get("experiment") and each["experiment"]["arm"] for each in results] == [
        "new", None, "control", None, None,
    ]  # fmt: skip
    assert [each.get("model") for each in results] == [
        "neighbours", "neighbours", "popular", "neighbours", None,
    ]  # fmt: skip
    for entry, result in zip(entries[:4], results, strict=False):
        alone = call("POST", "recommend", {**entry, "k": 3})
        films = [[each["movie_id"] for each in found["recommendations"]] for found in (result, alone)]
        assert films[0] == films[1]


def test_who_names_a_model_is_in_no_experiment(call, running):
    rate(call, "anna")
    answer = call("POST", "recommend", {"user_id": "anna", "model": "popular"})
    assert answer["experiment"] is None
    assert parse_list_id(answer["recommendation_id"]) is None


def test_a_program_defines_starts_and_stops_an_experiment(call):
    defined = call("POST", "experiments", DEFINITION, 201)
    assert (defined["state"], defined["is_running"], defined["metric"]) == ("draft", False, "ctr")
    assert defined["arms"][1] == {"name": "new", "model": "neighbours", "share": 0.5, "is_control": False}
    assert call("GET", "experiments")["experiments"] == [defined]
    call("POST", "experiments/rows/stop", status=409)
    call("POST", "experiments/rows/promote", {"arm": "new"}, 409)
    assert call("POST", "experiments/rows/start")["is_running"]
    assert call("POST", "experiments/rows/start")["is_running"]  # sent again, it goes on
    ended = call("POST", "experiments/rows/stop")
    assert (ended["state"], ended["is_running"]) == ("ended", False)
    assert call("POST", "experiments/rows/stop")["ends_at"] == ended["ends_at"]
    problem = call("POST", "experiments/rows/start", status=409)
    assert problem["errors"][0]["field"] == "state"
    call("POST", "experiments/none/start", status=404)


def test_an_experiment_that_has_not_begun_is_deleted_and_one_that_has_is_kept(call):
    draft = call("POST", "experiments", DEFINITION, 201)
    assert call("DELETE", "experiments/rows") == draft
    assert call("GET", "experiments")["experiments"] == []
    call("DELETE", "experiments/rows", status=404)
    later = DEFINITION | {"starts_at": (timezone.now() + timedelta(days=1)).isoformat()}
    for name in ("waits", "ended-before"):
        call("POST", "experiments", later | {"name": name}, 201)
        call("POST", f"experiments/{name}/start")
        if name == "ended-before":
            call("POST", f"experiments/{name}/stop")
        call("DELETE", f"experiments/{name}")
    call("POST", "experiments", DEFINITION, 201)
    call("POST", "experiments/rows/start")
    problem = call("DELETE", "experiments/rows", status=409)
    assert problem["detail"] == "It has run, so its results are kept."
    call("POST", "experiments/rows/stop")
    call("DELETE", "experiments/rows", status=409)
    assert [each["name"] for each in call("GET", "experiments")["experiments"]] == ["rows"]


@pytest.mark.parametrize("change", [changes.start, changes.end, changes.delete])
def test_an_experiment_that_is_deleted_meanwhile_does_not_come_back(call, change):
    call("POST", "experiments", DEFINITION, 201)
    found = Experiment.objects.prefetch_related("arms").get()
    if change is changes.end:
        changes.start(found)
    Experiment.objects.all().delete()
    with pytest.raises(ValidationError, match="deleted"):
        change(found)
    assert not Experiment.objects.exists()


def test_what_is_wrong_is_said_by_field_in_english_and_nothing_is_stored(call, client):
    arms = DEFINITION["arms"]
    wrong = [
        ({"arms": arms[:1]}, "arms"),
        ({"arms": [arms[0], arms[1] | {"share": 0.4}]}, "arms[1].share"),
        ({"arms": [arms[0], arms[1] | {"is_control": True}]}, "arms[1].is_control"),
        ({"arms": [arms[0], arms[1] | {"name": "control"}]}, "arms[1].name"),
        ({"arms": [arms[0], arms[1] | {"model": "none"}]}, "arms[1].model"),
        ({"name": "two words"}, "name"),
        ({"metric": "clicks"}, "metric"),
        ({"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, "ends_at"),
        ({"starts_at": "9999-01-01T00:00:00Z"}, "starts_at"),
    ]
    for wishes, field in wrong:
        problem = call("POST", "experiments", DEFINITION | wishes, 422)
        assert [error["field"] for error in problem["errors"]] == [field]
    assert not Experiment.objects.exists()
    call("POST", "experiments", DEFINITION, 201)
    assert call("POST", "experiments", DEFINITION, 422)["errors"][0]["field"] == "name"
    untrained = [arms[0], arms[1] | {"model": "sasrec"}]
    call("POST", "experiments", DEFINITION | {"name": "untrained", "arms": untrained}, 201)
    call("POST", "experiments/rows/start")
    problem = call("POST", "experiments/untrained/start", status=409)
    assert {error["field"] for error in problem["errors"]} == {"arms[1].model", "starts_at"}
    assert "sasrec is not trained" in problem["detail"]
    assert Experiment.objects.get(name="untrained").state == "draft"


@pytest.mark.parametrize("verdict", ["early", "better"])
def test_any_arm_is_promoted_whatever_the_verdict_with_its_figures(call, running, verdict):
    arms = {arm.name: arm for arm in Experiment.objects.get().arms.all()}
    if verdict == "better":
        VisitorTotals.objects.bulk_create(
            VisitorTotals(
                arm=arm, unit=f"{name}{n}", impressions=4, clicks=(n % 2) * (3 if name == "new" else 1)
            )
            for name, arm in arms.items()
            for n in range(400)
        )
    answer = call("POST", "experiments/rows/promote", {"arm": "control"})
    assert (answer["promoted"], answer["previous"]) == ("popular", "neighbours")
    assert answer["verdict"]["state"] == verdict
    assert answer["verdict"]["winner"] == (None if verdict == "early" else "new")
    primary = {figure["arm"]: figure["value"] for figure in answer["figures"] if figure["is_primary"]}
    assert primary == (
        {"control": None, "new": None} if verdict == "early" else {"control": 0.125, "new": 0.375}
    )
    assert (answer["state"], answer["is_running"]) == ("ended", False)
    chosen = DefaultModel.objects.first()
    assert (chosen.predictor, chosen.experiment.name, chosen.by) == ("popular", "rows", None)
    assert chosen.since <= timezone.now()
    cache.clear()
    assert call("POST", "recommend", {"history": [3], "k": 3})["model"] == "popular"
    call("POST", "experiments/rows/promote", {"arm": "none"}, 404)


def test_each_change_needs_its_scopes(call, connect):
    call("POST", "experiments", DEFINITION, 201)
    reader, tester = connect(READ), connect(EXPERIMENTS)
    for path, body in (
        ("experiments", DEFINITION),
        ("experiments/rows/start", None),
        ("experiments/rows/stop", None),
        ("experiments/rows/promote", {"arm": "new"}),
    ):
        assert "scope experiments" in reader("POST", path, body, 403)["detail"]
        reader("POST", path, body, 401, key=None)
    tester("POST", "experiments/rows/start")
    assert "models:activate" in tester("POST", "experiments/rows/promote", {"arm": "new"}, 403)["detail"]
    assert tester("POST", "experiments/rows/stop")["state"] == "ended"
