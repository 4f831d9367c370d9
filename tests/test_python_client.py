"""The Python client against a real site: every example of its document, and its answers to faults."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, _free_port, _wait_until_open

sys.path.insert(0, str(ROOT / "clients" / "python"))
from reelgraph_client import (
    MAX_INTERACTIONS,
    AsyncClient,
    Client,
    ConnectionFailed,
    ExternalId,
    Forbidden,
    Interaction,
    Invalid,
    MovieUpdate,
    NotFound,
    Problem,
    Recommendations,
    Retries,
    ServerFailed,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)

DOCUMENT = ROOT / "docs" / "client.md"
PREPARE = """
from django.core.management import call_command
from movie.api.models import SCOPES, ApiClient, create_key
from movie.experiments.models import Experiment, ExperimentArm
call_command("migrate", verbosity=0)
small = {"users": 80, "items": 130, "ratings": 2_400, "groups": 3}
call_command("generate_data", to_site=True, no_progress=True, **small)
for names in (["popular"], ["popular", "neighbours", "mf"]):
    call_command("train", *names, from_site=True, activate=True, quiet=True)
experiment = Experiment.objects.create(name="first", question="Which is opened more?")
for name, model in (("control", "popular"), ("other", "neighbours")):
    arm = {"name": name, "predictor": model, "is_control": name == "control"}
    ExperimentArm.objects.create(experiment=experiment, share="0.5", **arm)
experiment.state = "running"
experiment.save()
print("KEY", create_key(ApiClient.objects.create(slug="library", rate_limit=100_000), list(SCOPES)).token)
"""
QUICK = Retries(attempts=3, first_wait=0.01, longest_wait=2)


@pytest.fixture(scope="module")
def reelgraph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and key of a running site with made-up ratings and trained models."""
    folder = tmp_path_factory.mktemp("api-site")
    environment = {
        **os.environ,
        "DEBUG": "true",
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough-to-be-taken-for-one",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
        "MODEL_DIR": str(folder / "models"),
        "REDIS_URL": "",
        "API_ANONYMOUS_RATE_LIMIT": "100000",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    prepare = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", PREPARE]
    done = subprocess.run(prepare, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    key = re.search(r"KEY (\S+)", done.stdout)[1]
    port = _free_port()
    command = [sys.executable, "-m", "webapp.server", "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--blocking-threads", "4", "--log-level", "warning"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "webapp.wsgi:application"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_open(f"{address}/api/v1/openapi.json", server, folder / "server.log")
        yield address, key
    finally:
        server.terminate()
        server.wait(30)
    assert "Traceback" not in (folder / "server.log").read_text()


@pytest.fixture
def client(reelgraph: tuple[str, str]) -> Iterator[Client]:
    address, key = reelgraph
    with Client(address, key) as made:
        yield made


# -- the document --------------------------------------------------------------------------------


def blocks() -> list[tuple[int, str]]:
    """(line, code) of every Python block of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return [
        (text[: found.start(1)].count("\n"), found[1])
        for found in re.finditer(r"^```python\n(.*?)^```$", text, re.S | re.M)
    ]


def test_every_example_of_the_document_works_as_it_stands(reelgraph, monkeypatch, capsys):
    monkeypatch.setenv("REELGRAPH_URL", reelgraph[0])
    monkeypatch.setenv("REELGRAPH_KEY", reelgraph[1])
    space: dict[str, Any] = {"__name__": "document"}
    for line, code in blocks():
        exec(compile("\n" * line + code, str(DOCUMENT), "exec"), space)  # noqa: S102 - the document itself
    said = capsys.readouterr().out
    answer = space["answer"]
    history = {space[name].id for name in ("first", "second", "third")}
    listed = {film.movie_id for film in answer.recommendations}
    assert len(listed) == 5 and not listed & (history | {space["known"][5].id})
    assert not any("Horror" in film.title for film in answer.recommendations)
    assert len(space["known"]) == 130  # more than a page
    assert space["theirs"].recommendations[0].predicted_rating is not None
    assert [result.error is None for result in space["batch"].results] == [True, True, False]
    assert space["details"].external_ids[0].source == "synthetic"
    assert sum(space["details"].rating_histogram.values()) == space["first"].rating_count
    assert len(space["alike"].similar) == 5
    numbers = {film.movie_id for film in space["in_my_ids"].recommendations}
    ids = {film.external_id for film in space["in_my_ids"].recommendations}
    assert len(ids) == 5 and None not in ids and not numbers & {space["first"].id, space["second"].id}
    assert space["again_first"].id == space["first"].id
    candidates = {film.id for film in space["known"][5:15]}
    assert {film.movie_id for film in space["ranked"].recommendations} == candidates
    written = space["written"]
    assert [result.outcome for result in written.results] == ["added", "refused"]
    assert written.results[1].errors[0].field == "title"
    assert (space["repeated"].unchanged, space["repeated"].added) == (1, 0)
    assert (space["changed"].runtime, space["changed"].title) == (170, "Heat")
    assert space["changed"].attributes == {"shelf": "A 7", "copies": 3}
    assert space["hidden"] == space["changed"].id == written.results[0].movie_id
    assert space["found"].results[0].id == space["first"].id
    assert (space["recorded"].stored, space["again"].stored, space["again"].repeated) == (1, 0, 1)
    assert space["result"].stored == 3
    (refused,) = space["result"].refused
    assert refused.index == 3 and refused.errors[0].field == "movie_id"
    assert space["first"].id not in {film.movie_id for film in space["next_list"].recommendations}
    assert (space["forgotten"], space["everything"]) == (1, 3)
    assert space["activated"].version == space["older"].version != space["activated"].previous
    assert space["next_list"].experiment.name == "first"
    assert {figure.arm for figure in space["results"].figures} == {"control", "other"}
    assert [film.movie_id for film in space["cheap"].recommendations] == [space["known"][6].id]
    second_in_list = space["moved"].recommendations[1]
    assert (second_in_list.movie_id, second_in_list.rules) == (space["known"][8].id, ("film of the week",))
    assert len(space["shown"]) == len(set(space["shown"])) >= 129
    assert (space["drafted"].state, space["started"].is_running) == ("draft", True)
    assert space["in_arm"].experiment.name == "rows"
    assert (
        space["in_arm"].model == {"control": "popular", "new": "neighbours"}[space["in_arm"].experiment.arm]
    )
    assert (space["promoted"].promoted, space["promoted"].state) == ("neighbours", "ended")
    counted = {each.arm: each.films_opened for each in space["promoted"].figures if each.is_primary}
    assert counted[space["in_arm"].experiment.arm] == 1
    assert {each.name for each in space["client"].experiments()} == {"first", "rows"}
    for words in ("There is no film 1000000000", "history[0].rating", "API key"):
        assert words in said
    assert len(space["best"]) == 5 and space["dramas"] and all("Drama" in title for title in space["dramas"])
    for name in ("client", "patient", "hasty"):
        space[name].close()


# -- against the real site -----------------------------------------------------------------------


def test_pages_are_walked_to_their_end(client, monkeypatch):
    films = list(client.movies(sort="title"))
    assert len(films) == len({film.id for film in films}) == 130 == client.movies_page(page_size=1).count
    users = list(client.users())
    assert len(users) == len({user.id for user in users}) >= 80  # with visitors of the document
    assert sum(":" in user.id for user in users) == 80
    first = client.users_page(limit=30)
    assert [*first.users, *client.users_page(limit=1_000, cursor=first.next).users] == users
    assert list(client.search_movies("synthetic")) and client.search("synthetic", page_size=1).pages > 1
    assert client.search("synthetic").is_cut and not client.people_page(page_size=1).is_cut
    events = [Interaction("walker", film.id, "click") for film in films]
    client.record_all(events)
    page = client.history_page("walker", limit=50)
    assert len(page.events) == 50 and page.next
    assert [event.movie_id for event in client.history("walker")][-1] in {film.id for film in films}
    assert len(list(client.history("walker"))) == 130


def test_films_and_people_of_ones_own(client):
    films = [MovieUpdate(f"own:{n}", title=f"Own {n}", cast=["Ada Lens"], visible=n > 0) for n in range(3)]
    films += [MovieUpdate(ExternalId("own", "3")), MovieUpdate(10**9, title="Nowhere")]
    written = client.put_movies(films)
    assert (written.added, written.refused) == (3, 2)
    assert [each.errors[0].field for each in written.results[3:]] == ["title", "id"]
    assert client.put_movies(films[3:]).refused == 2, "all of a request refused is reported as any other"
    assert [(person.name, person.films) for person in client.people("ada lens")] == [("Ada Lens", 2)]
    assert "Ada Lens" in {person.name for person in client.people()}
    shown = client.change_movie(MovieUpdate("own:0", visible=True, available_until=None, year=1999))
    assert (shown.year, shown.is_available, shown.external_ids) == (1999, True, (ExternalId("own", "0"),))
    client.record(Interaction("owner", ExternalId("own", "0"), "rating", value=5))
    (event,) = client.history("owner", id_space="own")
    assert event.external_id == "0"
    assert client.forget("owner", movie_id=ExternalId("own", "0")) == 1
    for film in ("own:0", "own:1", ExternalId("own", "2")):
        client.hide_movie(film)
    with pytest.raises(NotFound):
        client.movie("own:1")
    with pytest.raises(Invalid, match="there are ids of"):
        client.recommend(history=["nowhere:1"])
    assert sum(genre.films for genre in client.genres()) > 0


def test_a_film_states_what_it_was_given_and_nothing_else():
    at = datetime(2030, 1, 1, tzinfo=UTC)
    film = MovieUpdate(
        ExternalId("own", "a:b"), titles=[("Ran", "en")], year=None, tags=(), available_from=at
    )
    assert film._json() == {
        "id": {"source": "own", "id": "a:b"},
        "titles": [{"title": "Ran", "language": "en"}],
        "year": None,
        "tags": [],
        "available_from": "2030-01-01T00:00:00+00:00",
    }
    with pytest.raises(ValueError, match="time zone"):
        MovieUpdate("own:1", available_until=datetime(2030, 1, 1))._json()


def test_more_interactions_than_fit_in_one_request_are_all_stored_once(client):
    films = [film.id for film in client.movies()]
    events = [Interaction(f"reader-{n}", films[n % 130], "click") for n in range(MAX_INTERACTIONS + 60)]
    events[3] = Interaction("reader-3", films[0], "rating", value=4.7)
    events[-1] = Interaction("no:reader", films[0], "click")
    recorded = client.record_all(events)
    assert recorded.stored == len(events) - 2
    assert [refused.index for refused in recorded.refused] == [3, len(events) - 1]
    assert client.record_all(events).repeated == len(events) - 2


def test_a_part_of_which_all_is_wrong_is_reported_as_any_other(client):
    wrong = [Interaction("reader", 10**9 + n, "click") for n in range(2)]
    recorded = client.record_all(wrong)
    assert recorded.stored == 0
    assert [(each.index, each.errors[0].field) for each in recorded.refused] == [
        (0, "movie_id"),
        (1, "movie_id"),
    ]
    with pytest.raises(Invalid):
        client.record_all(wrong, atomic=True)
    with pytest.raises(ValueError, match="500"):
        client.record_all(wrong * 300, atomic=True)


def test_one_wrong_interaction_among_all_or_none_stores_nothing(client):
    film = next(client.movies())
    with pytest.raises(Invalid) as caught:
        client.record_all(
            [Interaction("nobody-yet", film.id, "click"), Interaction("nobody-yet", 10**9, "click")],
            atomic=True,
        )
    assert caught.value.errors[0].field == "[1].movie_id"
    assert list(client.history("nobody-yet")) == []


def test_ids_with_any_letters_find_their_way_into_the_address(client):
    film = next(client.movies())
    client.record(Interaction("Jörg+@~|=", film.id, "click"))
    assert [event.movie_id for event in client.history("Jörg+@~|=")] == [film.id]
    with pytest.raises(Problem):
        list(client.history("../users"))
    with pytest.raises(Forbidden):
        client.forget("user:1")


def test_reasons_and_connections_are_read_down_to_the_nodes_of_their_paths(client):
    films = list(client.movies())[:4]
    answer = client.recommend(history=[film.id for film in films], k=3, explain=True)
    for film in answer.recommendations:
        assert film.reasons is not None and film.rest is not None
        assert film.connections is not None
        assert all(reason.sentence and reason.movie_id for reason in film.reasons)
        for connection in film.connections:
            assert connection.sentence and all(node.kind for node in connection.path)


def test_the_async_client_does_the_same(reelgraph):
    async def everything() -> None:
        address, key = reelgraph
        async with AsyncClient(address, key) as site:
            films = [film async for film in site.movies()]
            users = [user async for user in site.users()]
            assert (len(films), len([each async for each in site.search_movies("synthetic")])) == (130, 130)
            events = [Interaction("async", film.id, "click") for film in films[:3]]
            recorded = await site.record_all([*events, Interaction("async", 10**9, "click")])
            assert recorded.stored == 3 and recorded.refused[0].index == 3
            assert {event.movie_id async for event in site.history("async")} == {
                film.id for film in films[:3]
            }
            answers = await asyncio.gather(*(site.recommend_to(user.id, k=3) for user in users[:8]))
            assert all(isinstance(answer, Recommendations) for answer in answers)
            with pytest.raises(NotFound):
                await site.movie(10**9)
            assert await site.forget("async") == 3

    asyncio.run(everything())


def test_both_clients_offer_the_same_with_the_same_arguments():
    def offered(kind: type) -> dict[str, str]:
        public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {
            name: str(inspect.signature(value).replace(return_annotation=inspect.Signature.empty))
            for name, value in public.items()
            if name not in ("close", "aclose")
        }

    assert offered(Client) == offered(AsyncClient)
    assert "history" in offered(Client)["recommend"] and "Nothing is stored" in Client.recommend.__doc__


# -- when things break: a server that follows a script -------------------------------------------


class Scripted:
    """Answers with one (status, headers, body) after the other, the last one for ever; None hangs up."""

    def __init__(self, *script: tuple[int, dict[str, str], Any] | None) -> None:
        self.asked: list[tuple[str, str, str, float]] = []
        outer, answers = self, list(script)

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.asked.append((self.command, self.path, body, time.time()))
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer is None:
                    self.connection.close()
                    return
                status, headers, content = answer
                sent = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(sent))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *arguments: None
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def refusal(status: int, detail: str = "later", **more: Any) -> dict[str, Any]:
    return {"type": "about:blank", "title": "T", "status": status, "detail": detail, **more}


FOUND = (200, {}, {"stored": 1, "repeated": 0, "refused": [], "new_field": 1})
CLICK = Interaction("42", 1, "click", client_event_id="e-1")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", ["1", "date"])
def test_it_waits_as_long_as_it_is_asked_to(status, asked):
    date = int(time.time() + 2)
    value = formatdate(date, usegmt=True) if asked == "date" else asked
    with Scripted((status, {"Retry-After": value}, refusal(status)), FOUND) as server:
        with Client(server.address, retries=QUICK) as client:
            assert client.record(CLICK).stored == 1
        (_, _, first, before), (_, _, second, after) = server.asked
    assert first == second and json.loads(first)["client_event_id"] == "e-1"
    assert after >= (date if asked == "date" else before + 0.9)


def test_it_does_not_wait_longer_than_it_may():
    answer = (429, {"Retry-After": "60"}, refusal(429, "Too many requests; wait 60 s."))
    with (
        Scripted(answer) as server,
        Client(server.address, retries=QUICK) as client,
        pytest.raises(TooManyRequests) as caught,
    ):
        client.models()
    assert len(server.asked) == 1
    assert caught.value.retry_after == 60 and "wait 60 s" in str(caught.value)


def test_it_gives_up_after_so_many_attempts():
    answer = (503, {}, refusal(503, "The database is away."))
    with (
        Scripted(answer) as server,
        Client(server.address, retries=QUICK) as client,
        pytest.raises(Unavailable, match="database"),
    ):
        client.record(CLICK)
    assert len(server.asked) == 3


def test_a_broken_connection_is_tried_again_where_that_is_safe():
    with Scripted(None, FOUND) as server, Client(server.address, retries=QUICK) as client:
        assert client.record(CLICK).stored == 1
    with Scripted(None) as server, Client(server.address, retries=QUICK) as client:
        with pytest.raises(ConnectionFailed):
            client.activate("popular", "1")
        assert len(server.asked) == 1


def test_a_gateway_that_lost_its_site_is_tried_again():
    with (
        Scripted((502, {}, "<h1>Bad Gateway</h1>"), FOUND) as server,
        Client(server.address, retries=QUICK) as client,
    ):
        assert client.record(CLICK).stored == 1
    with (
        Scripted((502, {}, "<h1>Bad Gateway</h1>")) as server,
        Client(server.address, retries=QUICK) as client,
    ):
        with pytest.raises(ServerFailed, match="Bad Gateway"):
            client.activate("popular", "1")
        assert len(server.asked) == 1


def test_nobody_there_and_nobody_in_time(tmp_path):
    with Client(f"http://127.0.0.1:{_free_port()}", retries=QUICK) as client, pytest.raises(ConnectionFailed):
        client.models()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, "<html>"), "JSON"),
        ((200, {}, {"stored": 1}), "repeated is missing"),
        ((200, {}, {"stored": "1", "repeated": 0, "refused": []}), "stored"),
        ((200, {}, []), "the answer"),
        ((301, {"Location": "https://films.example.org/"}, ""), "https://films.example.org/"),
        ((404, {}, "<html>"), "address of a Reelgraph site"),
    ],
)
def test_what_is_no_answer_of_the_api_is_said(answer, words):
    with (
        Scripted(answer) as server,
        Client(server.address, retries=QUICK) as client,
        pytest.raises(UnexpectedAnswer, match=words),
    ):
        client.record(CLICK)


def test_the_async_client_waits_and_tries_again_too():
    async def record(address: str) -> int:
        async with AsyncClient(address, retries=QUICK) as client:
            return (await client.record(CLICK)).stored

    with Scripted((429, {"Retry-After": "0"}, refusal(429)), None, FOUND) as server:
        assert asyncio.run(record(server.address)) == 1
    assert len(server.asked) == 3


def test_a_key_is_in_no_error_and_no_repr():
    with Scripted((500, {}, refusal(500, "Something went wrong here."))) as server:
        with (
            Client(server.address, "rg_secret", retries=QUICK) as client,
            pytest.raises(ServerFailed) as caught,
        ):
            client.models()
        assert "rg_secret" not in repr(caught.value) + repr(client) + str(vars(caught.value))


# -- the package ---------------------------------------------------------------------------------


def test_a_time_without_a_zone_is_refused_before_it_is_sent():
    with Client("http://127.0.0.1:1") as client, pytest.raises(ValueError, match="time zone"):
        client.record(Interaction("42", 1, "click", at=datetime(2026, 1, 1)))


def test_the_wheel_holds_the_types_and_the_licence(tmp_path: Path):
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(ROOT / "clients" / "python"), str(source)], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "reelgraph_client-0.2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("reelgraph_client-0.2.0.dist-info/METADATA").decode()
        assert "reelgraph_client/py.typed" in names and any(name.endswith("LICENSE") for name in names)
        assert "Requires-Dist: httpx" in metadata and "License-Expression: MIT" in metadata
        archive.extractall(tmp_path / "installed")
    code = "import reelgraph_client as r; print(r.__file__, r.__version__, r.Client.recommend.__name__)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [
        str(tmp_path / "installed" / "reelgraph_client" / "__init__.py"),
        "0.2.0",
        "recommend",
    ]
