"""The pages "Your users" and "Your catalogue", done: every command, in order, on files of a shop."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core.management import call_command

from movie.api.tests.test_docs import LINE, call
from movie.catalogue.models import Movie, Rating
from movie.events.history import get_history

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\.venv/bin/python manage\.py (.*)$", re.MULTILINE)
NOON = 1_600_000_000


def blocks(page: str) -> list[str]:
    return BLOCK.findall((Path(site.BASE_DIR) / "docs" / page).read_text(encoding="utf-8"))


def run_all(client, page: str, key: str = "") -> dict[str, str]:
    """Run every command and every request of a page; return what each said, by its line."""
    said: dict[str, str] = {}
    for block in blocks(page):
        for line in COMMAND.findall(block):
            name, *words = shlex.split(line)
            out = io.StringIO()
            quiet = ["--no-progress"] if name.startswith(("import_", "remove_")) else []
            call_command(name, *words, *quiet, stdout=out)
            said[line] = out.getvalue()
            if name == "api_key":
                key = out.getvalue().split()[-1]
        for line in LINE.findall(block):
            response = call(client, line.replace("$KEY", key))
            assert response.status_code == 200, response.content
            said[line] = response.content.decode()
    return said


@pytest.fixture
def shop(api_site, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_your_users(client, shop):
    rows = ["sku,name,year"] + [f"sku-{film.pk},{film.title},{film.year}" for film in Movie.objects.all()]
    (shop / "films.csv").write_text("\n".join(rows))
    rows = [f"user-{n},sku-{n},4,{NOON}" for n in range(2, 12)] + [f"anna@example.org,sku-1,5,{NOON}"]
    (shop / "ratings.csv").write_text("\n".join(["uid,sku,stars,ts", *rows]))
    clicks = [{"user": "anna@example.org", "item": f"sku-{n}", "time": NOON} for n in (3, 5)]
    (shop / "clicks.jsonl").write_text("\n".join(map(json.dumps, clicks)))
    (shop / "wishes.csv").write_text(f"user,item,time\nanna@example.org,sku-9,{NOON}\n")
    (shop / "plays.csv").write_text(f"user,item,time,progress\nanna@example.org,sku-11,{NOON},85%\n")
    said = run_all(client, "your-users.md")
    assert sum(" added" in text for text in said.values()) == 5
    exported = next(json.loads(text) for text in said.values() if '"events"' in text)
    assert exported["events"][0]["external_id"] == "sku-7", "what was done here comes after what was imported"
    assert {(each["kind"], each["external_id"]) for each in exported["events"]} == {
        ("rating", "sku-7"),
        ("rating", "sku-1"),
        ("click", "sku-3"),
        ("click", "sku-5"),
        ("watchlist", "sku-9"),
        ("watch", "sku-7"),
        ("watch", "sku-11"),
    }
    assert not get_history("api:shop:anna@example.org"), "the last line forgets the person"
    assert get_history("api:shop:user-2").ratings == {2: 4.0}


def test_your_catalogue(client, shop):
    rows = [f"f{n},Own {n},{1950 + n}" for n in range(20)]
    (shop / "films.csv").write_text("\n".join(["id,title,year", *rows]))
    (shop / "films.jsonl").write_text(
        json.dumps({"id": "f1", "title": "Own 1", "year": 1951, "tags": ["new"]})
    )
    (shop / "films.txt").write_text("f1;Own 1;x;Crime/Drama\nf2;Own 2;x;Drama\n")
    said = run_all(client, "your-catalogue.md")
    assert "20 would be added" in next(iter(said.values()))
    assert sum("0 films that are not in the file" in text for text in said.values()) == 2
    assert sum("20 films would be deleted" in text for text in said.values()) == 1
    assert not Movie.objects.filter(title__startswith="Own").exists()
    assert Movie.objects.count() == 24 and Rating.objects.exists()
