"""The two sites that are served: 60,000 films and a SASRec for the API, the demo for the pages.

    python -m benchmarks.serving.sites FOLDER

is what makes guests for the site in FOLDER: people with films they rated, and the cookies they come with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks._serving import site_environment
from benchmarks.serving.load import Request
from benchmarks.serving.servers import ROOT

GUESTS, RATED = 100, 20
GUESTS_FILE = "guests.json"
WORDS = ("star", "gold", "dead", "lov", "the", "man", "war", "night", "black", "toy", "god", "alien")


def environment_of(folder: Path, models: str = "") -> dict[str, str]:
    """Return the variables of a site in this folder, with these default models if any are named."""
    return site_environment(folder, {"DEVICE": "cpu", **({"DEFAULT_MODELS": models} if models else {})})


def made_api_site(folder: Path, *, items: int, length: int, k: int) -> list[Request]:
    """Recommendation requests for the site in `folder`, which is made unless it is there."""
    bodies = folder / "bodies.json"
    if not bodies.exists():
        shape = ["--items", str(items), "--length", str(length), "--k", str(k)]
        _run(["-m", "benchmarks.api_recommend", "--make", str(folder), *shape], environment_of(folder))
    made = json.loads(bodies.read_text(encoding="utf-8"))
    return [Request("POST", "/api/v1/recommend", json.dumps(body)) for body in made]


def made_pages_site(folder: Path) -> dict[str, list[Request]]:
    """Page requests by the name of the page, for the demo in `folder`, which is made unless it is there."""
    if not (folder / GUESTS_FILE).exists():
        environment = environment_of(folder)
        _run(["manage.py", "demo", "--quick-only", "--no-serve"], environment)
        _run(["-m", "benchmarks.serving.sites", str(folder)], environment)
    made = json.loads((folder / GUESTS_FILE).read_text(encoding="utf-8"))
    cookies = [(("Cookie", cookie),) for cookie in made["cookies"]]
    films = made["films"]
    return {
        "home": [Request("GET", "/", headers=cookie) for cookie in cookies],
        "movie": [
            Request("GET", f"/movies/{films[place % len(films)]}/", headers=cookie)
            for place, cookie in enumerate(cookies * 3)
        ],
        "recommend": [Request("GET", "/recommend/", headers=cookie) for cookie in cookies],
        "search suggestion": [
            Request("GET", f"/search/suggest/?q={word}", headers=cookies[0]) for word in WORDS
        ],
    }


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def make_guests(folder: Path) -> None:
    """Ratings of well-known films by people who each have a taste of their own, and their cookies."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django

    django.setup()
    import uuid
    from datetime import timedelta

    import numpy as np
    from django.http import HttpResponse
    from django.utils import timezone

    from movie.catalogue.models import Movie
    from movie.events.recording import new_event_id, record_all
    from movie.visitors.visitor import GUEST_COOKIE, SALT
    from predictors.history import Interaction

    rng = np.random.default_rng(1)
    films = list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[:300])
    cookies = []
    for _ in range(GUESTS):
        visitor = f"guest:{uuid.UUID(bytes=rng.bytes(16), version=4)}"
        chosen = rng.permutation(films)[:RATED].tolist()
        began = timezone.now() - timedelta(days=1)
        record_all(
            Interaction(
                new_event_id(),
                visitor,
                "rating",
                film,
                began + timedelta(minutes=place),
                float(rng.integers(5, 11)) / 2,
                "home",
            )
            for place, film in enumerate(chosen)
        )
        response = HttpResponse()
        response.set_signed_cookie(GUEST_COOKIE, visitor, salt=SALT)
        cookies.append(f"{GUEST_COOKIE}={response.cookies[GUEST_COOKIE].coded_value}")
    made = {"cookies": cookies, "films": films}
    (folder / GUESTS_FILE).write_text(json.dumps(made), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    make_guests(parser.parse_args().folder)
