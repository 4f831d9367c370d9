"""The site on two machines: one database and one cache for both, a proxy in front.

Machine 1 trains, and pushes its models to a folder that a web server of its own shows; machine 2 pulls them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from predictors.serving.registry import ModelStore
from services.base import HOST, Service, free_port
from tests.replicas.browser import HOST_NAME, Browser
from tests.replicas.machines import Machine, network, wait_until
from tests.replicas.proxy import Forwarder

MACHINES = 2
LOOK_SECONDS = "0.5"  # between two looks for new models

PREPARE = """
import json, random
from datetime import UTC, datetime, timedelta
from django.core.management import call_command
from movie.catalogue.models import Movie, Rating
call_command("migrate", verbosity=0)
films = [Movie(title=f"Film {n}", sort_title=f"film {n}", year=1960 + n) for n in range(40)]
Movie.objects.bulk_create(films)
films = list(Movie.objects.order_by("pk").values_list("pk", flat=True))
chance, noon = random.Random(3), datetime(2024, 5, 1, 12, tzinfo=UTC)
def rate(person, film, stars, minute):
    at = noon + timedelta(minutes=minute)
    return Rating(visitor=f"made-up:{person}", movie_id=film, value=stars, rated_at=at)
ratings = []
for person in range(60):
    mine = films[1:20] if person % 2 else films[20:]
    watched = enumerate(chance.sample(mine, 10))
    ratings += [rate(person, film, chance.choice([4.0, 5.0]), n) for n, film in watched]
Rating.objects.bulk_create(ratings)
Movie.objects.refresh_aggregates()
call_command("train", "popular", "neighbours", from_site=True, activate=True, quiet=True)
# The next version of "popular" has the first film, which nobody had rated, on top.
Rating.objects.bulk_create([rate(f"later-{n}", films[0], 5.0, 100_000 + n) for n in range(200)])
Movie.objects.refresh_aggregates()
call_command("train", "popular", from_site=True, quiet=True)
print(json.dumps(films))
"""


class Site:
    def __init__(self, folder: Path, database: Service, cache: Service) -> None:
        self.folder = folder
        self.network = network(MACHINES)
        suffix = f"_replicas_{os.getpid()}"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "DEBUG": "false",
            "SECURE": "false",
            "SECRET_KEY": "a-key-for-the-replicas-that-is-long-enough-to-be-taken-for-one",
            "ALLOWED_HOSTS": f"{HOST_NAME},{HOST}",
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "DATABASE_URL": self._reached(database.variables()["DATABASE_URL"], suffix),
            "REDIS_URL": self._reached(cache.variables()["REDIS_URL"]),
            "DEFAULT_MODELS": "neighbours,popular",
            "WRITE_RATE_LIMIT": "1000000",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
        }
        for name in ("DYNAMODB_TABLE", "DYNAMODB_REGION", "DYNAMODB_ENDPOINT_URL", "KAFKA_BOOTSTRAP_SERVERS"):
            environment.pop(name, None)
        self.films: list[int] = []
        self.store = folder / "models"
        self.machines = [
            Machine(number, self.network, folder, environment, models)
            for number, models in enumerate((self.store, folder / "pulled-models"), start=1)
        ]
        first, second = self.machines
        remote, (host, port) = folder / "remote", (first.address[0], free_port())
        first.environment["MODEL_STORE_URL"] = remote.as_uri()
        second.environment["MODEL_STORE_URL"] = f"http://{host}:{port}"
        first.beside = [
            ["manage.py", "push_models", "--every", LOOK_SECONDS],
            ["-m", "http.server", "--bind", host, "--directory", str(remote), str(port)],
        ]
        second.beside = [["manage.py", "pull_models", "--every", LOOK_SECONDS]]
        self.proxy = Forwarder((HOST, 0), lambda: [machine.address for machine in self.machines])
        self._database_url = urlsplit(database.variables()["DATABASE_URL"] + suffix)
        self._has_database = False

    def start(self) -> None:
        """Returns once both machines answer; then `films` has the ids of the catalogue."""
        first, second = self.machines
        self._on_server("CREATE DATABASE `{}` CHARACTER SET utf8mb4")
        self._has_database = True
        self.films = json.loads(first.manage("shell", "--verbosity", "0", "-c", PREPARE).splitlines()[-1])
        first.manage("push_models")
        first.manage("collectstatic", "--noinput", "--verbosity", "0")
        shutil.copytree(first.disk / "site" / "static", second.disk / "site" / "static")
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            wait_until(lambda machine=machine: self.answers(machine), f"{machine.name} answers")
        models = ModelStore(self.store).names()
        wait_until(lambda: ModelStore(second.models).names() == models, "models are pulled")

    def stored(self) -> list[str]:
        """The ids of all interactions that visitors made."""
        rows = self._on_server("SELECT event_id FROM `{}`.events_event WHERE surface <> 'import'")
        return [event_id for (event_id,) in rows]

    def answers(self, machine: Machine) -> bool:
        if not machine.runs():
            raise AssertionError(f"{machine.name} has ended:\n{machine.log()[-3000:]}")
        try:
            return Browser().get(machine.address, "/").status == 200
        except OSError:
            return False

    def stop(self) -> None:
        """Leave nothing behind: no process, no network, no database."""
        for machine in self.machines:
            machine.stop()
        self.proxy.close()
        self.network.close()
        if self._has_database:
            self._on_server("DROP DATABASE `{}`")

    def _reached(self, url: str, suffix: str = "") -> str:
        """The address of a server of this host as the machines reach it."""
        parts = urlsplit(url + suffix)
        assert parts.port is not None
        host, port = self.network.reach(parts.port)
        account = f"{parts.username}:{parts.password}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=f"{account}{host}:{port}"))

    def _on_server(self, statement: str) -> Sequence[tuple]:
        """Run a statement in which {} stands for the name of the database."""
        import MySQLdb

        url = self._database_url
        connection = MySQLdb.connect(
            host=url.hostname, port=url.port, user=url.username, passwd=url.password, connect_timeout=5
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.format(url.path.lstrip("/")))
                return cursor.fetchall()
        finally:
            connection.close()
