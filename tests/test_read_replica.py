"""A site with a replica of its database that is seconds behind: a visitor's own rating is there at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.base import HOST, free_port
from services.mariadb import MariaDB

ROOT = Path(__file__).resolve().parent.parent
DELAY = 5  # seconds

# In a process of its own, whose settings read the two addresses. The replica follows at once until it has the
# tables and a film, and then DELAY late.
VISIT = """
import json, time
from django.core.management import call_command
from django.db import connections
from django.test import Client
from movie.catalogue.models import Movie, Rating
from movie.events.models import Event

def eventually(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)

def on_replica(sql):
    with connections["replica"].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]

def titles():
    try:
        return on_replica("SELECT title FROM catalogue_movie")
    except Exception:
        return ""

call_command("migrate", verbosity=0)
film = Movie.objects.create(title="Heat", sort_title="heat", year=1995)
eventually(lambda: titles() == "Heat")
print("ready", flush=True)
input()  # the replica is late from now on

visitor = Client()
began = time.monotonic()
page = visitor.get(f"/movies/{film.pk}/")
assert page.status_code == 200, page.status_code
Movie.objects.filter(pk=film.pk).update(title="Ronin")
posted = visitor.post(f"/movies/{film.pk}/rate/", {"value": "4.5"}, follow=True)
assert posted.status_code == 200, posted.status_code
history = visitor.get("/history/").content.decode()
page = visitor.get(f"/movies/{film.pk}/").content.decode()
took = time.monotonic() - began
behind = on_replica("SELECT COUNT(*) FROM events_event"), on_replica("SELECT COUNT(*) FROM catalogue_rating")
stored = Event.objects.count(), Rating.objects.count()
shown = {"page": page, "history": history, "link": f'href="/movies/{film.pk}/"'}
print(json.dumps(shown | {"behind": behind, "stored": stored, "took": took}), flush=True)
eventually(lambda: on_replica("SELECT COUNT(*) FROM catalogue_rating") == 1 and titles() == "Ronin")
assert "Ronin" in visitor.get(f"/movies/{film.pk}/").content.decode()
print("caught up", flush=True)
"""


class Replicating(MariaDB):
    """A server that writes the log which replicas follow."""

    def command(self) -> list[str]:
        return [*super().command(), f"--server-id={self.port_used}", "--log-bin", "--binlog-format=ROW"]

    def run(self, statements: str) -> None:
        done = self._sql(statements)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def servers(tmp_path):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    both = [Replicating(tmp_path / name, free_port()) for name in ("primary", "replica")]
    if missing := both[0].missing():
        pytest.skip(missing)
    try:
        for each in both:
            each.start()
        yield both
    finally:
        for each in both:
            each.stop()


def test_a_visitors_own_rating_is_there_while_the_replica_is_behind(servers, tmp_path):
    primary, replica = servers
    account = "'follower'@'127.0.0.1'"
    primary.run(
        f"CREATE USER {account} IDENTIFIED BY 'follower'; GRANT REPLICATION SLAVE ON *.* TO {account};"
    )
    source = f"MASTER_HOST='{HOST}', MASTER_PORT={primary.port_used}, MASTER_USER='follower', "
    source += "MASTER_PASSWORD='follower', MASTER_USE_GTID=slave_pos"
    replica.run(f"RESET MASTER; CHANGE MASTER TO {source}; START SLAVE;")
    address = urlsplit(primary.variables()["DATABASE_URL"])
    followed = address._replace(netloc=address.netloc.replace(str(primary.port_used), str(replica.port_used)))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        **{"DATABASE_URL": address.geturl(), "DATABASE_REPLICA_URL": followed.geturl()},
        **{"DJANGO_SETTINGS_MODULE": "webapp.settings_test", "DATA_DIR": str(tmp_path)},
    }
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", VISIT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as site:
        try:
            first = site.stdout.readline()
            if first.strip() == "ready":
                late = f"STOP SLAVE; CHANGE MASTER TO MASTER_DELAY={DELAY}; START SLAVE;"
                replica.run(late)
            said, errors = site.communicate("\n", timeout=120)
        finally:
            site.kill()
    assert site.returncode == 0, first + said + errors
    seen, caught_up = said.strip().splitlines()
    seen = json.loads(seen)
    if seen["took"] >= DELAY:
        pytest.skip("the machine was too busy to ask while the replica was behind")
    assert seen["stored"] == [1, 1] and seen["behind"] == [0, 0]
    assert "Heat" in seen["page"] and "Ronin" not in seen["page"], "the catalogue comes from the replica"
    assert seen["link"] in seen["history"], "what the visitor did comes from the primary"
    assert caught_up == "caught up"
