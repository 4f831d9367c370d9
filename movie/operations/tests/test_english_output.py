"""Programs speak English, and rows hold English or codes, whatever language is active; pages translate."""

import inspect
import io

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.urls import reverse
from django.utils import translation

from movie.catalogue.importing.errors import RejectReason
from movie.training.models import TrainingRun
from movie.training.runs import Interrupted, queued, recorded

OURS = sorted((name, app) for name, app in get_commands().items() if str(app).startswith("movie"))


@pytest.mark.parametrize(("name", "app"), OURS)
def test_commands_explain_themselves_in_english(name, app):
    assert "gettext" not in inspect.getsource(inspect.getmodule(load_command_class(app, name)))
    told = {}
    for language in ("en", "ko"):
        with translation.override(language):
            told[language] = load_command_class(app, name).create_parser("manage.py", name).format_help()
    assert told["ko"].isascii() or told["ko"] == told["en"]


@pytest.mark.django_db
def test_commands_answer_in_english(tmp_path):
    films = tmp_path / "movies.csv"
    films.write_text("movieId,title,genres\n1,Heat (1995),Crime\n,Ran,Drama\n")
    out = io.StringIO()
    with translation.override("ko"):
        call_command("import_movies", str(films), report=tmp_path / "refused.csv", stdout=out)
        call_command("models", "list", stdout=out)
    assert "1 films read: 1 added, 0 changed, 0 unchanged." in out.getvalue()
    assert "the id is empty" in (tmp_path / "refused.csv").read_text()
    assert "No model is trained yet." in out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "stored", "shown"),
    [(Interrupted(), "Interrupted.", "중단되었습니다."), (ValueError("7 films"), "7 films", "7 films")],
)
def test_a_training_that_ends_early_is_stored_in_english_and_shown_in_ones_own_language(
    admin_client, error, stored, shown
):
    with translation.override("ko"), queued(["ease"]) as waiting:
        run = waiting.pop("ease")
        with pytest.raises(type(error)), recorded(run):
            raise error
    run.refresh_from_db()
    assert (run.state, run.message) == (TrainingRun.State.FAILED, stored)
    page = admin_client.get(
        reverse("admin:training_trainingrun_changelist"), headers={"accept-language": "ko"}
    )
    assert shown in page.content.decode()


def test_a_reason_is_english_until_a_page_shows_it():
    with translation.override("ko"):
        assert all(reason.label.isascii() for reason in RejectReason)
