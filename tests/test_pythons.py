"""Every Python that the project accepts is named alike everywhere, and can read its sources."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
READ_ALL = """
import ast, pathlib, sys
for path in sys.stdin.read().split():
    ast.parse(pathlib.Path(path).read_bytes(), path)
"""


def interpreter(version: str) -> str | None:
    """Return an interpreter of this version, from PATH or from pyenv."""
    found = [str(path) for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for python in (*found, shutil.which(f"python{version}")):
        # A shim of pyenv is there for each version that is not switched on, too.
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_all_places_name_the_same_pythons():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    last = int(VERSIONS[-1].partition(".")[2])
    assert project["requires-python"] == f">={VERSIONS[0]},<3.{last + 1}"
    prefix = "Programming Language :: Python :: "
    classified = [each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)]
    assert classified == list(VERSIONS)
    makefile = (ROOT / "Makefile").read_text()
    assert sorted(set(re.findall(r"python(3\.\d+)", makefile))) == list(VERSIONS)
    assert f"(3, {VERSIONS[0][2:]}) <= sys.version_info < (3, {last + 1})" in makefile
    assert f"Python {VERSIONS[0]}, {VERSIONS[1]} or {VERSIONS[2]}" in (ROOT / "README.md").read_text()
    image = re.search(r"PYTHON_IMAGE=python:(3\.\d+)", (ROOT / "Dockerfile").read_text())
    assert image is not None and image[1] in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_each_python_reads_every_source(version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is accepted and is not installed here, so nothing was tried on it")
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    read = subprocess.run(
        [python, "-W", "error", "-c", READ_ALL],
        cwd=ROOT, input=listed.stdout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert read.returncode == 0, read.stderr
