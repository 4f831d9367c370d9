"""The wheel of the site: nothing is missing inside, and an empty folder becomes an open site with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from movie.core import child_process
from services.base import free_port
from tests.test_web_server import eventually, is_open

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
BESIDE = ("templates", "static", "locale")  # folders of a checkout that the wheel has inside `webapp`
FILES = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
ONLY_FOR_TESTS = ("movie/conftest.py", "webapp/settings_test.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed; see requirements-dev.txt")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    built = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def source_files() -> set[str]:
    listed = subprocess.run(FILES, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


def test_every_file_of_the_site_is_inside_and_no_test(wheel):
    packages = (*WHEEL["packages"], *BESIDE)
    expected = {
        f"webapp/{name}" if name.startswith(BESIDE) else name
        for name in source_files()
        if name.split("/")[0] in packages and "tests" not in name.split("/") and name not in ONLY_FOR_TESTS
    }
    for part in ("webapp/templates/base.html", "webapp/locale/ko/LC_MESSAGES/django.mo"):
        assert part in expected
    assert any("/migrations/0001" in name for name in expected)
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == expected


def test_it_requires_what_the_requirements_say(installed):
    distribution = PathDistribution(next(installed.glob("*.dist-info")))
    assert distribution.version == PROJECT["project"]["version"]
    requires = distribution.requires
    lines = (ROOT / "requirements-serve.txt").read_text().splitlines()
    pinned = {line.lower() for line in lines if "==" in line}
    assert {each for each in requires if "extra ==" not in each} == pinned
    assert any(each.startswith("torch==") and each.endswith("extra == 'torch'") for each in requires)
    assert set(distribution.metadata.get_all("Provides-Extra")) == {
        "train", "torch", "mysql", "postgresql", "tracking", "spark", "faiss", "implicit",
    }  # fmt: skip


def test_an_empty_folder_becomes_an_open_site(installed, tmp_path):
    (tmp_path / ".env").write_text(
        f"SECRET_KEY={'a key of this test ' * 3}\nALLOWED_HOSTS=127.0.0.1\nSECURE=false\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    run = {"cwd": tmp_path, "env": environment}
    script = "import sys; from webapp.__main__ import main; sys.exit(main())"  # as pip writes it
    setup = [sys.executable, "-P", "-c", script, "setup"]
    done = subprocess.run(setup, **run, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "password" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "var"]
    port = free_port()
    command = [sys.executable, "-P", "-m", "webapp.server", "--interface", "rsgi", "--port", str(port)]
    server = child_process.start([*command, "--log-level", "error", "webapp.rsgi:application"], **run)
    language = {"Accept-Language": "ko"}
    try:
        assert eventually(lambda: is_open(port))
        with urlopen(Request(f"http://127.0.0.1:{port}/", headers=language), timeout=30) as answer:
            page = answer.read().decode()
        assert "나를 위한 영화" in page
        style = page.split('rel="stylesheet" href="')[1].split('"')[0]
        with urlopen(f"http://127.0.0.1:{port}{style}", timeout=30) as answer:
            assert answer.status == 200
        with urlopen(f"http://127.0.0.1:{port}/papers/", timeout=30) as answer:
            assert b"NGCF" in answer.read()
    finally:
        server.terminate()
        server.wait()
