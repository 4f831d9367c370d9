"""Packages that come with requirements.txt and that serving does without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from predictors.errors import PackageMissing

COMMAND = ".venv/bin/pip install -r requirements.txt"
NAMES = {"torch": "PyTorch", "dgl": "DGL", "onnx": "ONNX", "optuna": "Optuna", "matplotlib": "Matplotlib"}


def missing_package_line(error: ModuleNotFoundError) -> str:
    """Return one line with the command that installs the package, or an empty string for another module."""
    name = NAMES.get((error.name or "").partition(".")[0])
    if name == "DGL":
        return "DGL is not installed. It has packages for Python 3.11 alone; backend=native needs none."
    return f"{name} is not installed. To train this: {COMMAND}" if name else ""


@contextmanager
def packages_required() -> Iterator[None]:
    """Turn the import of a package that is not installed into PackageMissing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if line := missing_package_line(error):
            raise PackageMissing(line) from error
        raise
