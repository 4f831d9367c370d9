"""docs/own-model.md, done: a package is installed, its model trained, served and explained on the site."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.management import call_command
from django.urls import reverse

from movie.training.model_info import MODEL_INFO
from movie.training.registry import model_choices
from predictors.plugins import MODELS, predictor_class
from predictors.serving.registry import ModelStore

NAME = "cooccurrence"
PAGE = Path(django_settings.BASE_DIR) / "docs" / "own-model.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package of the page is installed into, with the page's test beside it."""
    text = PAGE.read_text(encoding="utf-8")
    model, contract = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    (source / "pyproject.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])
    (source / f"{NAME}.py").write_text(model)
    (target / "test_contract.py").write_text(contract)
    offline = ["--no-index", "--no-build-isolation", "--no-deps", "--quiet", "--no-warn-script-location"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", target, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(package))
    MODELS.reload()
    yield
    monkeypatch.undo()
    sys.modules.pop(NAME, None)
    MODELS.reload()


def test_it_passes_the_contract_in_a_process_of_its_own(package: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            package / "test_contract.py",
            "--rootdir",
            package,
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(package), str(django_settings.BASE_DIR)])},
        capture_output=True,
        text=True,
        check=False,
        cwd=package,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d\d passed", done.stdout)


@pytest.mark.usefixtures("installed")
def test_it_is_in_the_table_with_what_its_class_says_of_it() -> None:
    assert NAME in MODELS
    assert predictor_class(NAME).name == NAME
    assert (MODEL_INFO[NAME].label, MODEL_INFO[NAME].summary) == (
        "Liked together",
        "Films that were liked together with yours.",
    )


@pytest.mark.usefixtures("installed")
def test_it_is_trained_served_and_explained_on_the_site(api_site, client, settings, tmp_path) -> None:
    settings.MODEL_DIR = tmp_path
    out = io.StringIO()
    call_command("train", NAME, "--from-site", "--activate", "--options", "shrinkage=20", stdout=out)
    store = ModelStore(tmp_path)
    version = store.current(NAME)
    assert version in out.getvalue()
    assert store.meta(NAME, version)["config"] == {"shrinkage": 20.0}
    assert store.meta(NAME, version)["metrics"][0]["NDCG@10"] > 0
    cache.clear()
    assert NAME in [choice.name for choice in model_choices() if choice.available]

    body = {"history": [1, 3], "model": NAME, "k": 3, "explain": True}
    answer = client.post("/api/v1/recommend", json.dumps(body), content_type="application/json").json()
    assert (answer["model"], answer["fallback"]) == (NAME, None)
    assert len(answer["recommendations"]) == 3

    found = store.load(NAME, version).recommend(history_of_two(), 3)
    assert {found.reasons[0].movie_id for found in found} <= {1, 3}

    client.post(reverse("pages:choose_model"), {"model": NAME})
    client.post(reverse("pages:rate", args=[1]), {"value": "5"})
    page = client.get(reverse("pages:recommend")).content.decode()
    assert "Liked together" in page


def history_of_two():
    from predictors.tests.small_world import rated

    return rated(1, 3)
