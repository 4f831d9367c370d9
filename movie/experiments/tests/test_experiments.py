"""Experiments: who is in which arm, what is counted for it, and what staff see and do."""

import csv
import io
import re
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.signing import get_cookie_signer
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from datasets.interactions import Interactions
from movie.api.models import EXPERIMENTS, READ, ApiClient, create_key
from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.core.tests.threads import in_threads
from movie.events import recording
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.stream.messages import (
    GuestMerged,
    HistoryForgotten,
    InteractionRecorded,
)
from movie.experiments import changes
from movie.experiments.assignment import (
    ListTag,
    arm_of,
    assign_arm,
    cumulative_shares,
    parse_list_id,
    tagged_list_id,
    visitor_hash,
)
from movie.experiments.models import Experiment, ExperimentArm, VisitorTotals
from movie.experiments.results import results_of
from movie.experiments.totals import Experiments
from movie.training.models import DefaultModel
from movie.visitors.visitor import GUEST_COOKIE, SALT
from predictors.history import Interaction
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db
State = Experiment.State
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
PIXEL = re.compile(r'<img class="impression-pixel" src="([^"]+)"')


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory):
    """Popular and neighbours for films 1 to 24, whose viewers watch even or odd ones only."""
    pairs = [(user, item) for user in range(40) for item in range(user % 2, 24, 2) if (user + item) % 5]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    data = Interactions.from_columns(
        users,
        items,
        np.full(len(users), 4.0, np.float32),
        np.arange(len(users)),
        user_ids=np.arange(40),
        item_ids=np.arange(1, 25),
    )
    store = ModelStore(tmp_path_factory.mktemp("models"))
    for kind in (PopularPredictor, NeighboursPredictor):
        store.publish(kind.fit(data), activate=True)
    return store.root


@pytest.fixture(autouse=True)
def films(settings, models_folder):
    settings.MODEL_DIR = models_folder
    settings.DEFAULT_MODELS = ("popular",)
    cache.clear()
    films = [Movie(pk=n, title=f"Film {n}", sort_title=f"film {n:02}", rating_count=n) for n in range(1, 25)]
    return Movie.objects.bulk_create(films)


@pytest.fixture
def boss(client):
    user = get_user_model().objects.create_superuser("boss")
    client.force_login(user)
    return user


def define(*arms, name="models", **fields):
    """A draft; each arm is (name, predictor, share), the first is the control."""
    experiment = Experiment.objects.create(name=name, **fields)
    for place, (arm, predictor, share) in enumerate(arms or HALVES):
        ExperimentArm.objects.create(
            experiment=experiment, name=arm, predictor=predictor, share=share, is_control=place == 0
        )
    return experiment


HALVES = (("control", "popular", "0.5"), ("new", "neighbours", "0.5"))


@pytest.fixture
def running():
    experiment = define()
    experiment.state = State.RUNNING
    experiment.save()
    cache.clear()
    return experiment


def guest_in(experiment, place):
    """A guest whose hash puts them into this arm."""
    bounds = cumulative_shares([arm.share for arm in experiment.arms.all()])
    guests = (f"guest:{uuid.UUID(int=number)}" for number in range(1000, 2000))
    return next(each for each in guests if arm_of(visitor_hash(experiment.salt, each), bounds) == place)


def browser_of(guest):
    client = Client()
    client.cookies[GUEST_COOKIE] = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(guest)
    return client


def like(client, film, value="5"):
    assert client.post(reverse("pages:rate", args=[film]), {"value": value}).status_code == 303


def page(client, name="home"):
    response = client.get(reverse(f"pages:{name}"))
    assert response.status_code == 200
    return response.content.decode()


def pixel_of(html):
    found = PIXEL.search(html)
    return found and found[1].replace("&amp;", "&")


def event(visitor, kind="click", experiment=None, place=0, *, value=None, fallback=False, at=None):
    shown = tagged_list_id(ListTag(experiment.pk, place, fallback)) if experiment else new_event_id()
    at = at or datetime.now(UTC)
    return Interaction(new_event_id(), visitor, kind, 1, at, value, "recommend", shown)


def sums():
    """By arm: impressions, fallbacks, clicks, ratings, stars."""
    rows = VisitorTotals.objects.order_by("arm").values_list(
        "arm__name", "impressions", "fallbacks", "clicks", "ratings", "stars"
    )
    return {name: tuple(each) for name, *each in rows}


# -- assignment -----------------------------------------------------------------------------------


def test_the_arm_follows_from_salt_and_visitor_alone():
    """Fixed numbers: every process, machine and version must come to the same ones."""
    salt = "0123456789abcdef0123456789abcdef"
    assert visitor_hash(salt, "guest:a") == "db2f88f1fc954dddefd098beb0e768d5"
    places = [arm_of(visitor_hash(salt, f"user:{n}"), [0.2, 0.5, 1.0]) for n in range(12)]
    assert places == [1, 2, 0, 0, 2, 1, 0, 2, 2, 0, 0, 0]


def test_shares_are_kept_and_experiments_are_independent_of_each_other():
    visitors = [f"guest:{n}" for n in range(20_000)]
    bounds = cumulative_shares([0.1, 0.9])
    first, second = (
        np.array([arm_of(visitor_hash(salt * 32, each), bounds) for each in visitors]) for salt in "ab"
    )
    deviation = (0.1 * 0.9 / len(visitors)) ** 0.5
    for arms in (first, second, second[first == 0]):
        assert abs((arms == 0).mean() - 0.1) < 4 * deviation * (len(visitors) / len(arms)) ** 0.5


def test_the_id_of_a_list_tells_experiment_arm_and_fallback_and_other_ids_tell_nothing():
    for tag in (ListTag(1, 0, False), ListTag(2**24 - 1, 5, True)):
        assert parse_list_id(tagged_list_id(tag)) == tag
    assert tagged_list_id(ListTag(1, 0, False)) != tagged_list_id(ListTag(1, 0, False))
    for other in (new_event_id(), "", "r-1", "x" * 36, "not-a-uuid-but-8-in-its-place", "01a201be-c6df-8"):
        assert parse_list_id(other) is None


def test_nothing_is_assigned_before_the_start_after_the_end_and_in_a_draft():
    experiment = define()
    assert assign_arm("guest:a") is None
    experiment.state, experiment.starts_at = State.RUNNING, timezone.now() + timedelta(hours=1)
    experiment.save()
    cache.clear()
    assert assign_arm("guest:a") is None
    Experiment.objects.update(starts_at=timezone.now() - timedelta(hours=1))
    cache.clear()
    assert assign_arm("guest:a") is not None
    Experiment.objects.update(ends_at=timezone.now())
    cache.clear()
    assert assign_arm("guest:a") is None


def test_each_arm_gets_its_model_and_the_page_names_it(running):
    for place, label in enumerate(["Popular", "Item neighbours"]):
        client = browser_of(guest_in(running, place))
        like(client, 3)
        for name in ("home", "recommend"):
            html = page(client, name)
            tag = parse_list_id(re.search(r"rec=([-0-9a-f]{36})", pixel_of(html))[1])
            assert tag == ListTag(running.pk, place, fallback=False)
            assert f"Answered by {label}" in html


def test_who_chose_a_model_is_in_no_experiment(running):
    client = browser_of(guest_in(running, 1))
    like(client, 3)
    client.post(reverse("pages:choose_model"), {"model": "popular"})
    html = page(client, "recommend")
    assert "Answered by Popular" in html and pixel_of(html) is None


def test_a_page_costs_no_query_more_while_an_experiment_runs(running):
    def queries():
        client = browser_of(guest_in(running, 0))
        page(client)
        with CaptureQueriesContext(connection) as captured:
            page(client)
        return len(captured)

    like(browser_of(guest_in(running, 0)), 3)
    with_it = queries()
    running.state = State.ENDED
    running.save()
    cache.clear()
    assert with_it == queries()


# -- counting -------------------------------------------------------------------------------------


def test_a_list_shown_opened_and_rated_from_is_counted_once_each(running):
    client = browser_of(guest_in(running, 1))
    like(client, 3)
    html = page(client, "recommend")
    pixel = pixel_of(html)
    for _ in range(2):  # the browser may draw it again
        assert client.get(pixel, headers=SAME_ORIGIN)["Content-Type"] == "image/gif"
    go = re.search(r'href="(/go/\d+/\?[^"]+)"', html)[1].replace("&amp;", "&")
    for _ in range(2):
        client.get(go, headers={"Sec-Fetch-Site": "same-origin"})
    shown = re.search(r"rec=([-0-9a-f]{36})", pixel)[1]
    client.post(
        reverse("pages:rate", args=[7]), {"value": "4.5", "recommendation_id": shown, "surface": "recommend"}
    )
    assert sums() == {"new": (1, 0, 1, 1, 4.5)}


def test_seeing_a_list_changes_no_history(running):
    guest = guest_in(running, 1)
    client = browser_of(guest)
    like(client, 3)
    before = get_history(guest).interactions
    client.get(pixel_of(page(client)), headers=SAME_ORIGIN)
    assert Event.objects.filter(visitor=guest, kind="impression").count() == 1
    assert get_history(guest).interactions == before
    exported = get_history(guest, limit=None)
    assert [each.kind for each in exported] == ["rating", "impression"]


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {**SAME_ORIGIN, "Sec-Purpose": "prefetch"}, {}],
    ids=["elsewhere", "prefetch", "typed"],
)
def test_only_a_page_of_this_site_in_a_browser_counts_a_list(running, headers):
    client = browser_of(guest_in(running, 0))
    like(client, 3)
    assert client.get(pixel_of(page(client)), headers=headers).status_code == 200
    assert sums() == {}


def test_looking_has_a_limit_of_its_own_and_leaves_no_fewer_ratings(running, settings):
    client = browser_of(guest_in(running, 0))
    like(client, 3)
    settings.WRITE_RATE_LIMIT = 2
    for _ in range(4):
        client.get(pixel_of(page(client)), headers=SAME_ORIGIN)
    assert sums() == {"control": (2, 0, 0, 0, 0.0)}
    like(client, 4)


def test_who_sends_no_cookie_and_lists_of_an_ended_experiment_count_for_nobody(running):
    client = browser_of(guest_in(running, 0))
    like(client, 3)
    pixel = pixel_of(page(client))
    Client().get(pixel, headers=SAME_ORIGIN)
    running.state = State.ENDED
    running.save()
    cache.clear()
    client.get(pixel, headers=SAME_ORIGIN)
    assert sums() == {} and not Event.objects.filter(kind="impression").exists()


def test_a_model_that_cannot_answer_is_counted_with_its_fallback(running):
    client = browser_of(guest_in(running, 1))
    page(client)  # nothing is liked yet, so neighbours have nothing to go by
    html = page(client, "recommend")
    assert "Answered by Popular" in html
    client.get(pixel_of(html), headers=SAME_ORIGIN)
    assert sums() == {"new": (1, 1, 0, 0, 0.0)}


def test_nobody_counts_for_another_arm_or_another_time(running):
    guest = guest_in(running, 0)
    for wrong in (
        event(guest, experiment=running, place=1),
        event(guest, experiment=running, place=0, at=running.starts_at - timedelta(seconds=1)),
        event(guest),
        event(guest, "dismiss", running),
        event(guest, "rating", running, value=None),
        event(guest, experiment=running)._replace(recommendation_id=tagged_list_id(ListTag(999, 0, False))),
    ):
        recording.record_all([wrong])
    assert sums() == {}
    recording.record(event(guest, experiment=running, place=0))
    assert sums() == {"control": (0, 0, 1, 0, 0.0)}


def test_a_message_that_comes_again_is_counted_once(running):
    guest = guest_in(running, 1)
    events = [
        event(guest, "impression", running, 1, fallback=True),
        event(guest, "impression", running, 1),
        event(guest, "click", running, 1),
        event(guest, "rating", running, 1, value=3.5),
        event(guest_in(running, 0), "impression", running, 0),
    ]
    messages = [InteractionRecorded(each, each.at) for each in events]
    Experiments().handle([*messages, messages[0]])
    Experiments().handle(messages[1:])
    assert sums() == {"control": (1, 0, 0, 0, 0.0), "new": (2, 1, 1, 1, 3.5)}


def test_who_is_forgotten_leaves_counts_that_lead_to_nobody(running):
    guest, other = guest_in(running, 0), guest_in(running, 1)
    for who, place in ((guest, 0), (other, 1)):
        recording.record(event(who, "impression", running, place))
    recording.forget(guest)
    units = set(VisitorTotals.objects.values_list("unit", flat=True))
    assert visitor_hash(running.salt, guest) not in units and visitor_hash(running.salt, other) in units
    assert sums() == {"control": (1, 0, 0, 0, 0.0), "new": (1, 0, 0, 0, 0.0)}
    forgotten = HistoryForgotten(new_event_id(), other, None, timezone.now())
    Experiments().handle([forgotten])  # as from the broker
    units = set(VisitorTotals.objects.values_list("unit", flat=True))
    assert len(units) == 2 and visitor_hash(running.salt, other) not in units
    recording.record(event(other, "click", running, 1))
    units = set(VisitorTotals.objects.values_list("unit", flat=True))
    assert visitor_hash(running.salt, other) in units
    Experiments().handle([forgotten])
    again = set(VisitorTotals.objects.values_list("unit", flat=True))
    assert again == units, "a redelivered deletion changes nothing"


@pytest.mark.parametrize("in_process", [True, False])
def test_who_signs_in_counts_on_as_somebody_new_and_a_change_of_arm_is_noted(running, in_process):
    member = next(f"user:{n}" for n in range(1, 99) if assign_arm(f"user:{n}").predictor == "neighbours")
    for guest, place in ((guest_in(running, 0), 0), (guest_in(running, 1), 1)):
        recording.record(event(guest, "impression", running, place))
        if in_process:
            recording.merge_guest(guest, member)
        else:
            Experiments().handle([GuestMerged(new_event_id(), guest, member, timezone.now())])
    recording.record(event(member, "impression", running, 1))
    results = results_of(running)
    assert [(each.arm.name, each.visitors, each.changed_arm) for each in results.arms] == [
        ("control", 1, 1),
        ("new", 2, 0),
    ]
    assert results.many_changed


# -- results --------------------------------------------------------------------------------------


def fill(experiment, *arms):
    """Visitors with four lists each; an arm is (visitors, share of lists with a click)."""
    rng = np.random.default_rng(5)
    for arm, (visitors, chance) in zip(experiment.arms.all(), arms, strict=True):
        clicks, ratings = (rng.binomial(4, chance, visitors) for _ in range(2))
        VisitorTotals.objects.bulk_create(
            VisitorTotals(
                arm=arm,
                unit=f"{arm.pk}-{n}",
                impressions=4,
                fallbacks=0,
                clicks=int(clicks[n]),
                ratings=int(ratings[n]),
                stars=float(4 * ratings[n]),
                changed_arm=False,
            )
            for n in range(visitors)
        )


@pytest.mark.parametrize(
    ("arms", "state", "winner"),
    [
        (((50, 0.2), (50, 0.4)), "early", None),
        (((600, 0.2), (600, 0.4)), "better", "new"),
        (((600, 0.4), (600, 0.2)), "worse", "control"),
        (((300, 0.2), (300, 0.2)), "open", None),
        (((3000, 0.9), (3000, 0.9)), "same", "control"),
        (((600, 0.2), (450, 0.4)), "imbalance", None),
    ],
)
def test_the_verdict(running, arms, state, winner):
    fill(running, *arms)
    verdict = results_of(running).verdict
    assert (verdict.state, verdict.winner and verdict.winner.name) == (state, winner)


def test_figures_are_those_of_the_visitors_who_saw_a_list(running):
    fill(running, (200, 0.5), (200, 0.5))
    rows = VisitorTotals.objects.filter(arm__name="control")
    clicks = np.array(rows.values_list("clicks", flat=True))
    VisitorTotals.objects.create(
        arm=running.arms.first(),
        unit="blocks-pictures",
        impressions=0,
        fallbacks=0,
        clicks=99,
        ratings=0,
        stars=0,
        changed_arm=False,
    )
    control = results_of(running).arms[0]
    found = control.figures[Experiment.Metric.CTR]
    assert (control.visitors, control.clicks) == (200, clicks.sum())
    assert found.value == pytest.approx(clicks.mean() / 4)
    assert found.low < found.value < found.high
    assert control.figures[Experiment.Metric.MEAN_RATING].value == pytest.approx(4.0)


def test_what_everybody_did_alike_has_no_range_yet(running):
    fill(running, (200, 0.5), (200, 0.5))
    mean_rating = results_of(running).arms[1].figures[Experiment.Metric.MEAN_RATING]
    assert mean_rating.value == pytest.approx(4.0) and mean_rating.lift is None and mean_rating.low is None


def test_several_arms_share_the_chance_of_error():
    experiment = define(*HALVES[:1], ("a", "neighbours", "0.25"), ("b", "neighbours", "0.25"))
    assert results_of(experiment).alpha == pytest.approx(0.025)


def test_the_page_tells_staff_and_only_staff(running, client, boss):
    fill(running, (600, 0.2), (600, 0.4))
    address = running.get_absolute_url()
    html = client.get(address).content.decode()
    assert "new is better than the control in films opened per list" in html
    assert "Make Item neighbours the default" in html and "As the shares say." in html
    assert "<script>" not in html and 'data-charts="charts"' in html
    assert running.name in client.get(reverse("experiments:list")).content.decode()
    visitor = Client()
    assert visitor.get(address).status_code == 302
    visitor.force_login(get_user_model().objects.create_user("ada"))
    for path in (address, reverse("experiments:list"), reverse("experiments:csv", args=[running.name])):
        assert visitor.get(path).status_code == 403
    for name in ("start", "end", "promote"):
        assert (
            visitor.post(reverse(f"experiments:{name}", args=[running.name]), {"arm": "new"}).status_code
            == 403
        )
    assert "Experiments" not in visitor.get("/").content.decode()
    assert not DefaultModel.objects.exists()


def test_an_empty_experiment_has_a_page(client, boss):
    experiment = define()
    html = client.get(experiment.get_absolute_url()).content.decode()
    assert "It has not been started." in html and "Nobody was counted yet." in html


def test_figures_go_to_programs_with_the_right_key(running, client, boss):
    fill(running, (600, 0.2), (600, 0.4))
    table = list(
        csv.DictReader(io.StringIO(client.get(reverse("experiments:csv", args=["models"])).content.decode()))
    )
    assert [(row["arm"], row["metric"]) for row in table][3:5] == [("new", "ctr"), ("new", "rating_rate")]
    assert float(table[3]["lift"]) > 0.5 and table[0]["lift"] == ""
    program = ApiClient.objects.create(slug="dashboard")
    for scopes, status in (([], 401), ([READ], 403), ([EXPERIMENTS], 200)):
        headers = {"Authorization": f"Bearer {create_key(program, scopes).token}"} if scopes else {}
        for path in ("experiments", "experiments/models", "experiments/models.csv"):
            assert Client().get(f"/api/v1/{path}", headers=headers).status_code == status
    found = Client().get("/api/v1/experiments/models", headers=headers).json()
    assert found["verdict"]["winner"] == "new" and found["is_running"]
    assert found["figures"][3]["lift"] == pytest.approx(float(table[3]["lift"]))
    missing = Client().get("/api/v1/experiments/none", headers=headers)
    assert missing.status_code == 404 and missing["Content-Type"] == "application/problem+json"


# -- what staff do --------------------------------------------------------------------------------


def test_one_button_ends_it_and_makes_the_winner_the_default(
    running, client, boss, django_capture_on_commit_callbacks
):
    guest = browser_of(guest_in(running, 0))
    like(guest, 3)
    assert "Answered by Popular" in page(guest, "recommend")
    with django_capture_on_commit_callbacks(execute=True):  # so that the cached plan is forgotten
        client.post(reverse("experiments:promote", args=["models"]), {"arm": "new"})
    running.refresh_from_db()
    assert running.state == State.ENDED and running.ends_at <= timezone.now()
    html = page(guest, "recommend")
    assert "Answered by Item neighbours" in html and pixel_of(html) is None
    assert "is the site's default since" in client.get(running.get_absolute_url()).content.decode()
    running.delete()
    cache.clear()
    assert "Answered by Item neighbours" in page(guest, "recommend")
    assert "Item neighbours answers visitors" in client.get(reverse("experiments:list")).content.decode()
    client.post(reverse("experiments:reset_default"))
    cache.clear()
    assert "Answered by Popular" in page(guest, "recommend")


def test_any_arm_is_made_the_default_on_the_page_with_its_figures_whatever_the_verdict(running, client, boss):
    address = running.get_absolute_url()
    fill(running, (300, 0.2), (300, 0.2))
    html = client.get(address).content.decode()
    assert "Not decided, so let it run" in html
    part = html[html.index("promote-name") :]
    for arm in results_of(running).arms:
        figure = arm.figures[Experiment.Metric.CTR]
        assert f"Films opened per list: {figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})" in part
        assert f'name="arm" value="{arm.arm.name}"' in part
    answer = client.post(reverse("experiments:promote", args=["models"]), {"arm": "new"}, follow=True)
    html = answer.content.decode()
    assert "Item neighbours is the site&#x27;s default now. Not decided, so let it run" in html
    assert DefaultModel.objects.get().predictor == "neighbours"
    draft = define(name="draft")
    assert "promote-name" not in client.get(draft.get_absolute_url()).content.decode()
    client.post(reverse("experiments:promote", args=["draft"]), {"arm": "new"})
    assert DefaultModel.objects.count() == 1


def test_start_and_end(client, boss):
    experiment = define()
    client.post(reverse("experiments:start", args=["models"]))
    experiment.refresh_from_db()
    assert experiment.is_running()
    client.post(reverse("experiments:end", args=["models"]))
    experiment.refresh_from_db()
    assert not experiment.is_running() and experiment.state == State.ENDED


def test_what_is_wrong_is_not_started(client, boss, running):
    define(("a", "popular", "0.5"), ("b", "sasrec", "0.4"), name="broken")
    answer = client.post(reverse("experiments:start", args=["broken"]), follow=True).content.decode()
    assert "The shares add up to 0.9" in answer and "sasrec is not trained" in answer
    assert "models runs at that time" in answer
    assert Experiment.objects.get(name="broken").state == State.DRAFT


def form(arms=HALVES, **fields):
    """What the admin's form sends."""
    now = timezone.localtime()
    data = {
        "name": "models",
        "question": "",
        "metric": "ctr",
        "starts_at_0": now.date().isoformat(),
        "starts_at_1": now.time().isoformat("seconds"),
        "ends_at_0": "",
        "ends_at_1": "",
        "state": "draft",
        "arms-TOTAL_FORMS": str(len(arms)),
        "arms-INITIAL_FORMS": "0",
        "arms-MIN_NUM_FORMS": "0",
        "arms-MAX_NUM_FORMS": "6",
    }
    for place, (name, predictor, share) in enumerate(arms):
        data |= {f"arms-{place}-name": name, f"arms-{place}-predictor": predictor}
        data |= {f"arms-{place}-share": share} | ({f"arms-{place}-is_control": "on"} if place == 0 else {})
    return data | fields


def test_staff_define_an_experiment(client, boss):
    assert client.post(reverse("admin:experiments_experiment_add"), form(state="running")).status_code == 302
    experiment = Experiment.objects.get()
    assert experiment.is_running()
    assert [(arm.name, arm.is_control) for arm in experiment.arms.all()] == [
        ("control", True),
        ("new", False),
    ]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"arms-1-share": "0.4"}, "arms-1-share", "add up to 0.9"),
        ({"arms-1-predictor": "oracle"}, "arms-1-predictor", "Select a valid choice"),
        ({"arms-1-predictor": "sasrec", "state": "running"}, "arms-1-predictor", "not trained"),
        ({"arms-1-is_control": "on"}, "arms-1-is_control", "Exactly one arm"),
        ({"arms-TOTAL_FORMS": "1"}, "arms", "2 to 6 arms"),
        ({"arms-1-name": "control"}, "arms", "duplicate"),
        ({"ends_at_0": "2001-01-01", "ends_at_1": "00:00"}, "ends_at", "not after the start"),
        ({"name": "two words"}, "name", "valid"),
        ({"state": "ended"}, "state", "A draft can be started"),
    ],
)
def test_a_mistake_is_named_at_its_field(client, boss, changes, field, message):
    response = client.post(reverse("admin:experiments_experiment_add"), form(**changes))
    assert response.status_code == 200 and not Experiment.objects.exists()
    arms = response.context["inline_admin_formsets"][0].formset
    if field == "arms":
        said = [*arms.non_form_errors(), *(error for each in arms.errors for error in each.values())]
    elif field.startswith("arms-"):
        _arms, place, name = field.split("-")
        said = arms.errors[int(place)][name]
    else:
        said = response.context["adminform"].form.errors[field]
    assert message in str(said)


def test_what_was_started_keeps_its_arms_shares_and_metric(client, boss, running):
    address = reverse("admin:experiments_experiment_change", args=[running.pk])
    arms = [(str(arm.pk), arm) for arm in running.arms.all()]
    data = form(metric="mean_rating", state="running", name="renamed", question="Which?")
    data |= {"arms-INITIAL_FORMS": "2", "arms-0-share": "0.9", "arms-1-share": "0.1"}
    data |= {f"arms-{n}-id": pk for n, (pk, _arm) in enumerate(arms)}
    data |= {"starts_at_0": running.starts_at.date().isoformat()}
    client.post(address, data)
    found = Experiment.objects.get()
    assert (found.name, found.metric) == ("models", "ctr")
    assert [float(arm.share) for arm in found.arms.all()] == [0.5, 0.5]
    found.metric = "mean_rating"
    with pytest.raises(ValidationError, match="cannot be changed"):
        found.full_clean()
    arm = found.arms.first()
    arm.share = "0.9"
    with pytest.raises(ValidationError):
        arm.save()
    with pytest.raises(ValidationError):
        arm.delete()


def test_two_experiments_never_run_at_the_same_time(running):
    later = define(name="later")
    later.state = State.RUNNING
    with pytest.raises(ValidationError, match="models runs at that time"):
        later.full_clean()
    running.ends_at = timezone.now() + timedelta(days=1)
    running.save()
    later.starts_at = running.ends_at
    later.full_clean()


def test_the_database_itself_refuses_a_second_one(running):
    later = define(name="later")
    later.state = State.RUNNING
    with pytest.raises(ValidationError, match="models runs at that time"):
        later.save()
    for fields in ({"state": State.RUNNING}, {"schedule_number": running.schedule_number}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Experiment.objects.filter(pk=later.pk).update(**fields)
    assert Experiment.objects.get(name="later").state == State.DRAFT


def test_of_two_started_at_the_same_moment_one_is_refused(monkeypatch):
    """Both looked at what runs before the other one was stored."""
    first, second = define(name="first"), define(name="second")
    first.state = second.state = State.RUNNING
    looked = Experiment._refuse_overlap

    def store_the_other_one(self):
        looked(self)
        monkeypatch.setattr(Experiment, "_refuse_overlap", looked)
        second.save()

    monkeypatch.setattr(Experiment, "_refuse_overlap", store_the_other_one)
    with pytest.raises(ValidationError, match="changed at the same moment"):
        first.save()
    assert [each.name for each in Experiment.objects.started()] == ["second"]


@pytest.mark.usefixtures("own_connections")
def test_of_two_programs_that_start_at_once_one_is_refused():
    for turn in range(5):
        names = [f"first-{turn}", f"second-{turn}"]
        for name in names:
            define(name=name)

        def start(number, names=names):
            try:
                changes.start(Experiment.objects.get(name=names[number]))
            except ValidationError as error:
                return error.messages
            return []

        said = in_threads(2, start)
        assert sorted(map(bool, said)) == [False, True], said
        (started,) = Experiment.objects.not_over(timezone.now())
        changes.end(started)


def test_a_later_end_is_checked_as_a_start_is(running):
    running.ends_at = timezone.now() + timedelta(days=1)
    running.save()
    later = define(name="later", starts_at=running.ends_at)
    later.state = State.RUNNING
    later.save()
    running.ends_at += timedelta(hours=1)
    with pytest.raises(ValidationError, match="later runs at that time"):
        running.save()


def test_the_admin_saves_each_state_once_and_none_that_it_sets_back(client, boss):
    saved = []

    def note(instance, **kwargs):
        saved.append(instance.state)

    post_save.connect(note, sender=Experiment)
    try:
        client.post(reverse("admin:experiments_experiment_add"), form(state="running"))
        assert saved == [State.DRAFT, State.RUNNING], "its arms are saved in between"
        saved.clear()
        found = Experiment.objects.get()
        address = reverse("admin:experiments_experiment_change", args=[found.pk])
        starts = timezone.localtime(found.starts_at)
        data = form(question="Which?", state="running") | {"arms-INITIAL_FORMS": "2"}
        data |= {f"arms-{n}-id": str(arm.pk) for n, arm in enumerate(found.arms.all())}
        data |= {"starts_at_0": starts.date().isoformat(), "starts_at_1": starts.time().isoformat("seconds")}
        response = client.post(address, data)
        assert response.status_code == 302, response.context["errors"]
        assert saved == [State.RUNNING]
    finally:
        post_save.disconnect(note, sender=Experiment)
    found = Experiment.objects.get()
    assert (found.state, found.question) == (State.RUNNING, "Which?")


def test_the_admin_says_who_was_quicker(client, boss, monkeypatch):
    def refuse(self):
        raise ValidationError("Another experiment was changed at the same moment.")

    monkeypatch.setattr(Experiment, "clean", lambda self: None)
    monkeypatch.setattr(Experiment, "_refuse_overlap", refuse)
    answer = client.post(reverse("admin:experiments_experiment_add"), form(state="running"), follow=True)
    assert "changed at the same moment" in answer.content.decode()
    assert not Experiment.objects.exists(), "nothing is half-done"
