"""The account page: name, address, password, sessions, export, and what is left after it is closed."""

import json
import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import make_film
from movie.core.fields import ExactCharField
from movie.events.archive import get_archive
from movie.events.models import CLOCK_ERROR, Event, HistoryChange, HistoryImport, ImportSlot
from movie.experiments.assignment import assign_arm
from movie.experiments.models import Experiment, ExperimentArm, VisitorTotals
from movie.operations.models import Job
from movie.pages.browser_names import browser_name
from movie.pages.personal_data import VISITOR_COLUMNS, rows_about
from movie.papers.models import Comment
from movie.papers.tests.writing import make_review
from movie.programmes.editing import make_programme
from movie.programmes.membership import start_group
from movie.training.models import DefaultModel
from movie.visitors.visitor import Visitor

PASSWORD = "a long enough passphrase"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def ada(db):
    user = get_user_model().objects.create_user("ada", "ada@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def signed_in(name="ada", **extra):
    client = Client(**{"HTTP_USER_AGENT": FIREFOX, **extra})
    assert client.post(reverse("account_login"), {"login": name, "password": PASSWORD}).status_code == 302
    return client


def confirm_password(client, address, **form):
    asked = client.post(address, form) if form else client.get(address)
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    return client.post(asked["Location"], {"password": PASSWORD, "next": address}, follow=True)


def is_in(client):
    return client.get(reverse("pages:account")).status_code == 200


# -- name, address, password --------------------------------------------------------------------------


def test_guests_are_asked_to_sign_in(client, db):
    for name in ("account", "account_export", "close_account"):
        answer = client.get(reverse(f"pages:{name}"))
        assert answer.status_code == 302 and answer["Location"].startswith(reverse("account_login"))


def test_a_name_is_changed_and_its_owner_told(ada):
    client = signed_in()
    client.post(reverse("pages:change_name"), {"username": "countess"})
    ada.refresh_from_db()
    assert ada.username == "countess" and is_in(client)
    (told,) = mail.outbox
    assert told.to == ["ada@example.org"] and "from ada to countess" in told.body


def test_an_account_cannot_be_used_to_flood_an_address(ada):
    """Its address may be somebody else's, as long as nobody confirmed it."""
    client = signed_in()
    for number in range(25):
        client.post(reverse("pages:change_name"), {"username": f"ada{number}"})
    ada.refresh_from_db()
    assert ada.username == "ada24" and len(mail.outbox) == 20


@pytest.mark.parametrize("name", ["", "Grace", "no spaces please", "x" * 151])
def test_a_name_that_cannot_be_is_refused_with_the_reason(ada, name):
    get_user_model().objects.create_user("grace")
    page = signed_in().post(reverse("pages:change_name"), {"username": name})
    assert page.status_code == 422 and 'class="errorlist"' in page.content.decode()
    ada.refresh_from_db()
    assert ada.username == "ada" and not mail.outbox


def test_an_address_changes_after_the_password_and_a_confirmation(ada):
    client = signed_in()
    page = confirm_password(client, reverse("account_email"), email="new@example.org", action_add="")
    assert "A link was sent to new@example.org" in page.content.decode()
    ada.refresh_from_db()
    assert ada.email == "ada@example.org", "not before it is confirmed"
    (sent,) = mail.outbox
    assert sent.to == ["new@example.org"]
    client.post(re.search(r"http://testserver(/\S+)", sent.body).group(1))
    ada.refresh_from_db()
    assert ada.email == "new@example.org"
    assert [address.email for address in ada.emailaddress_set.all()] == ["new@example.org"]
    assert mail.outbox[-1].to == ["ada@example.org"], "the old address is told"


def test_a_wrong_password_changes_no_address(ada):
    client = signed_in()
    address = reverse("account_email")
    asked = client.post(address, {"email": "eve@example.org", "action_add": ""})
    refused = client.post(asked["Location"], {"password": "wrong", "next": address})
    assert refused.status_code == 200 and not mail.outbox
    assert not EmailAddress.objects.filter(email="eve@example.org").exists()


def test_a_new_password_ends_the_other_sessions_and_is_told(ada):
    client, elsewhere = signed_in(), signed_in()
    new = "another passphrase entirely"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    client.post(reverse("account_change_password"), form)
    assert is_in(client) and not is_in(elsewhere)
    assert mail.outbox[-1].to == ["ada@example.org"] and "password has been changed" in mail.outbox[-1].body


@pytest.mark.parametrize(
    "password", ["password123", "PASSWORD123", "qwertyuiop", "iloveyou123", "ada@example.org", "short"]
)
def test_a_known_password_is_refused(client, db, password):
    form = {"username": "grace", "email": "ada@example.org", "password1": password, "password2": password}
    assert client.post(reverse("account_signup"), form).status_code == 200
    assert not get_user_model().objects.exists()


# -- who has an account --------------------------------------------------------------------------------


def test_signing_up_does_not_tell_whether_an_address_is_known(ada, django_assert_num_queries):
    """The same answer, the same mails and the same work in the database."""
    told = {}
    for name, email in (("grace", "grace@example.org"), ("eve", "ada@example.org")):
        mail.outbox.clear()
        client = Client()
        form = {"username": name, "email": email, "password1": PASSWORD, "password2": PASSWORD}
        with _queries() as queries:
            answer = client.post(reverse("account_signup"), form)
        told[name] = (answer.status_code, answer["Location"], len(mail.outbox), len(queries))
    assert told["grace"] == told["eve"]
    client = signed_in("ada@example.org")
    assert client.session["_auth_user_id"] == str(ada.pk), "the address stays its owner's"


def _queries():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return CaptureQueriesContext(connection)


def test_signing_in_takes_as_long_for_a_name_that_nobody_has(ada, monkeypatch):
    """A password is hashed once, whoever is asked for."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: hashed.append(1) or encode(*args))
    counts = {}
    for name in ("ada", "ada@example.org", "nobody", "nobody@example.org"):
        hashed.clear()
        Client().post(reverse("account_login"), {"login": name, "password": "wrong"})
        counts[name] = len(hashed)
    assert set(counts.values()) == {1}, counts


# -- sessions --------------------------------------------------------------------------------------------


def test_sessions_are_listed_and_ended_one_by_one(ada):
    client = signed_in(REMOTE_ADDR="192.0.2.1")
    elsewhere = signed_in(REMOTE_ADDR="2001:db8:1:2:3::4")
    page = client.get(reverse("usersessions_list")).content.decode()
    assert "Firefox, Linux" in page and "192.0.2.1" in page and "2001:db8:1:2::" in page
    theirs = UserSession.objects.get(ip="2001:db8:1:2::")
    ended = client.post(reverse("pages:end_session", args=[theirs.pk]), follow=True)
    assert "That session is ended" in ended.content.decode()
    assert is_in(client) and not is_in(elsewhere)


def test_a_session_of_before_they_were_listed_is_listed(ada):
    client = signed_in()
    UserSession.objects.all().delete()
    assert "1 browser" in client.get(reverse("pages:account")).content.decode()
    assert "this browser" in client.get(reverse("usersessions_list")).content.decode()


def test_all_others_are_ended_at_once(ada):
    client, second, third = signed_in(), signed_in(), signed_in()
    client.post(reverse("usersessions_list"))
    assert is_in(client) and not is_in(second) and not is_in(third)


def test_nobody_ends_somebody_elses_session(ada):
    get_user_model().objects.create_user("eve", password=PASSWORD)
    client, eve = signed_in(), signed_in("eve")
    theirs = UserSession.objects.get(user=ada)
    assert eve.post(reverse("pages:end_session", args=[theirs.pk])).status_code == 404
    assert is_in(client)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0",
            "Edge, Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604.1", "Safari, iPhone"),
        ("curl/8.5", "curl/8.5"),
        ("", "?"),
    ],
)
def test_a_browser_is_named(agent, name):
    assert browser_name(agent) == name


# -- everything about a member ---------------------------------------------------------------------------


@pytest.fixture
def everything(ada, settings):
    """A member with a row in every table that can know members, and somebody else with the same."""
    settings.WRITE_RATE_LIMIT = 1_000_000
    films = [make_film(title, 1990 + n) for n, title in enumerate(("Heat", "Alien"))]
    review = make_review("neighbours")
    experiment = Experiment.objects.create(name="models")
    for name, model in (("control", "popular"), ("new", "neighbours")):
        ExperimentArm.objects.create(
            experiment=experiment, name=name, predictor=model, share="0.5", is_control=name == "control"
        )
    experiment.state = Experiment.State.RUNNING
    experiment.save()
    ada.is_staff = True
    ada.save()
    eve = get_user_model().objects.create_user("eve", "eve@example.org", PASSWORD, is_staff=True)
    for number, user in enumerate((ada, eve)):
        client = signed_in(user.username)
        arm = assign_arm(Visitor.for_user(user).key)
        shown = arm.list_id(fallback=False)
        for film in films:
            client.post(reverse("pages:click", args=[film.pk]), {"recommendation_id": shown})
            client.post(reverse("pages:rate", args=[film.pk]), {"value": "4.5", "recommendation_id": shown})
        Comment.objects.create(
            review=review, author=user, body="Good.", post_id=f"01890a5d-ac96-774b-bcce-b302099a805{number}"
        )
        brought = {"visitor": Visitor.for_user(user).key, "name": "imdb.csv", "content": b"his or hers"}
        HistoryImport.objects.create(**brought)
        ImportSlot.objects.create(number=number, visitor=brought["visitor"], expires_at=timezone.now())
        Authenticator.objects.create(user=user, type="recovery_codes", data={"seed": "s3cr3t"})
        make_programme(Visitor.for_user(user).key, "Nights", films[0])
        start_group(Visitor.for_user(user).key, "Ann")
        LogEntry.objects.create(user=user, action_flag=1, object_repr="Heat")
        EmailAddress.objects.get_or_create(user=user, email=user.email)
        AccessAttempt.objects.create(
            username=user.username,
            ip_address="192.0.2.9",
            failures_since_start=1,
            attempt_time=timezone.now(),
        )
    DefaultModel.objects.create(predictor="popular", by=ada)
    Job.objects.create(kind=Job.Kind.MOVIES, by=ada)
    return ada, eve


def counts_of(user):
    counts = {}
    for rows in rows_about(user):
        label = rows.model._meta.label
        counts[label] = counts.get(label, 0) + rows.count()
    return counts


def test_no_table_that_knows_people_is_forgotten(everything):
    """Every column that can name a person is one by which `rows_about` finds rows, or has its reason here."""
    ada, _eve = everything
    not_of_members = {
        "axes.AccessLog.username": "switched off (AXES_DISABLE_ACCESS_LOG)",
        "axes.AccessFailureLog.username": "switched off by default; deleted by name all the same",
        "axes.AccessAttempt.username": "found by name",
        "experiments.VisitorTotals.unit": "found by hash",
        "auth.User.username": "the account itself",
        "events.Event.claimed_by": "a relay, no person",
        "events.HistoryChange.claimed_by": "a relay, no person",
        "training.DefaultComparison.visitors": "how many were asked, nobody of them",
        "papers.PaperReview.authors": "authors of the paper, as it gives them",
    }
    naming = re.compile(
        r"visitor|(^|_)user(name)?$|author|owner|member|person$|^by$|_by$|^into$|unit$|account"
    )
    found = {rows.model for rows in rows_about(ada)}
    missed = []
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            label = f"{model._meta.label}.{field.name}"
            is_reference = isinstance(field, models.ForeignKey) and field.related_model is get_user_model()
            is_visitor = isinstance(field, ExactCharField) and field.name in VISITOR_COLUMNS
            if isinstance(field, models.ForeignKey) and not is_reference:
                continue
            covered = (is_reference or is_visitor) and (model in found or model._meta.auto_created)
            if naming.search(field.name) and not covered and label not in not_of_members:
                missed.append(label)
    assert missed == []


def test_every_table_that_knows_members_is_filled_here(everything):
    """Or the tests below would prove nothing about it."""
    ada, _eve = everything
    empty = {label for label, count in counts_of(ada).items() if not count}
    no_rows = {
        "events.ImportSlot",  # for as long as a file is taken in, two minutes at most after a crash
        "events.HistoryChange",  # only with an archive or a stream: below
        "account.EmailConfirmation",
        "axes.AccessFailureLog",
        "axes.AccessLog",
    }
    assert empty - no_rows == set()


def test_the_export_holds_everything_and_no_secret(everything):
    ada, _eve = everything
    client = signed_in()
    client.cookies["theme"], client.cookies["familiarity"] = "dark", "-0.5"
    answer = client.get(reverse("pages:account_export"))
    assert "attachment" in answer["Content-Disposition"] and "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    data = json.loads(text)
    assert data["account"]["username"] == "ada" and data["account"]["email"] == "ada@example.org"
    assert {(row["kind"], row["title"], row["stars"]) for row in data["history"]} >= {
        ("click", "Heat", None),
        ("rating", "Alien", 4.5),
    }
    (experiment,) = data["experiments"]
    assert experiment["arm"] in ("control", "new") and experiment["counted"][0]["ratings"] == 2
    assert [row["body"] for row in data["tables"]["papers.comment"]] == ["Good."]
    chosen = data["settings_of_this_browser"]
    assert (chosen["theme"], chosen["familiarity"], chosen["language"]) == ("dark", "-0.5", "en")
    exported = set(data["tables"]) | {"auth.user", "events.event", "experiments.visitortotals"}
    assert exported >= {label.lower() for label, count in counts_of(ada).items() if count}
    for secret in (ada.password, "s3cr3t", client.session.session_key, "eve@example.org"):
        assert secret not in text


def test_exports_are_limited(ada):
    client = signed_in()
    statuses = [client.get(reverse("pages:account_export")).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


def test_a_closed_account_leaves_nothing(everything):
    ada, eve = everything
    before = counts_of(eve)
    totals = VisitorTotals.objects.count()
    client, elsewhere = signed_in(), signed_in()
    wrong = client.post(reverse("pages:close_account"), {"password": "wrong"})
    assert wrong.status_code == 422 and get_user_model().objects.filter(pk=ada.pk).exists()
    mail.outbox.clear()
    done = client.post(reverse("pages:close_account"), {"password": PASSWORD}, follow=True)
    assert "everything in it is deleted" in done.content.decode()
    assert not is_in(client) and not is_in(elsewhere)
    assert {label: count for label, count in counts_of(ada).items() if count} == {}
    assert not [
        each for each in Session.objects.all() if each.get_decoded().get("_auth_user_id") == str(ada.pk)
    ]
    assert VisitorTotals.objects.count() == totals, "what was counted stays, cut off"
    assert counts_of(eve) == before, "nobody else lost anything"
    assert DefaultModel.objects.get().by is None
    assert mail.outbox[-1].to == ["ada@example.org"]


def test_a_closed_account_leaves_nothing_in_the_archive_either(everything, settings, event_table):
    """With DynamoDB: what is delivered, and what still waits."""
    ada, eve = everything
    visitor = f"user:{ada.pk}"
    settings.CLICK_ARCHIVE = {
        "BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive",
        "OPTIONS": event_table,
    }
    film = Rating.objects.filter(visitor=visitor).first().movie_id
    client = signed_in()
    client.post(reverse("pages:click", args=[film]))
    signed_in("eve").post(reverse("pages:click", args=[film]))
    call_command("relay_events", once=True)
    client.post(reverse("pages:click", args=[film]))
    assert len(list(get_archive().read(visitor))) == 1
    assert len(json.loads(client.get(reverse("pages:account_export")).content)["history"]) == 6
    client.post(reverse("pages:close_account"), {"password": PASSWORD})
    assert not Event.objects.of(visitor).exists()
    HistoryChange.objects.update(available_at=timezone.now())
    call_command("relay_events", once=True)
    assert not list(get_archive().read(visitor)) and len(list(get_archive().read(f"user:{eve.pk}"))) == 1
    HistoryChange.objects.update(recorded_at=timezone.now() - CLOCK_ERROR)
    call_command("relay_events", once=True)  # the note of the deletion stays for a day
    assert {label: count for label, count in counts_of(ada).items() if count} == {}


def test_the_only_administrator_stays(ada):
    ada.is_superuser = ada.is_staff = True
    ada.save()
    client = signed_in()
    assert "the only administrator" in client.get(reverse("pages:close_account")).content.decode()
    client.post(reverse("pages:close_account"), {"password": PASSWORD})
    assert get_user_model().objects.filter(pk=ada.pk).exists()
    get_user_model().objects.create_superuser("eve", password=PASSWORD)
    client.post(reverse("pages:close_account"), {"password": PASSWORD})
    assert not get_user_model().objects.filter(pk=ada.pk).exists()
