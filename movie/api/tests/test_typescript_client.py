"""The TypeScript client: generated from today's OpenAPI document, compiled, and run against a site."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings as site

from movie.api.models import SCOPES, ApiClient, create_key
from movie.api.v1 import description

CLIENT = Path(site.BASE_DIR) / "clients" / "typescript"
NODE = shutil.which("node")


def run(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [str(NODE), *words],
        cwd=CLIENT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def packages() -> Path:
    """The folder of the client's npm packages."""
    found = CLIENT / "node_modules"
    if NODE is None:
        pytest.skip("Node.js is not installed")
    if not (found / "typescript").exists():
        pytest.skip("the packages are not there: npm ci --prefix clients/typescript")
    return found


def test_it_is_generated_from_the_document_of_today(packages, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(description()))
    _program, _document, *options = json.loads((CLIENT / "package.json").read_text())["scripts"][
        "generate"
    ].split()
    options[options.index("--output") + 1] = str(tmp_path / "schema.ts")
    run(str(packages / "openapi-typescript" / "bin" / "cli.js"), str(tmp_path / "openapi.json"), *options)
    made, kept = (path.read_text() for path in (tmp_path / "schema.ts", CLIENT / "src" / "schema.ts"))
    assert made == kept, "the API has changed: make typescript"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_is_compiled_and_works_against_a_site(packages, live_server, api_site, settings):
    settings.ALLOWED_HOSTS = ["*"]
    key = create_key(ApiClient.objects.create(slug="library"), list(SCOPES)).token
    run(str(packages / "typescript" / "bin" / "tsc"))
    said = run("--test", "test/", REELGRAPH_URL=live_server.url, REELGRAPH_KEY=key)
    assert "# pass 7" in said
    assert "# fail 0" in said


def test_its_lock_file_names_no_registry():
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    assert lock["packages"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all(package.get("integrity") for name, package in lock["packages"].items() if name)
