"""Provenance of a figure: the code, the libraries, the files."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

_VERSIONED = ("numpy", "scipy", "polars", "torch", "onnxruntime", "safetensors")
_SOURCES = ("datasets", "ranking_metrics", "pytorch_models", "predictors", "evaluation")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that figures depend on, importing none."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_digest() -> str:
    """Return a sha256 over the source files that figures depend on, tests left out."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in _SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            if "tests" not in path.parts:
                digest.update(f"{path.relative_to(root)}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the commit that is checked out, read from the repository's files; "" without one."""
    folder = Path(__file__).resolve().parents[1] / ".git"
    try:
        if folder.is_file():  # a worktree names its own folder
            folder = Path(folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        shared = folder / "commondir"
        common = folder / shared.read_text(encoding="utf-8").strip() if shared.exists() else folder
        return _read_reference(common, head.removeprefix("ref:").strip())
    except OSError:
        return ""


def _read_reference(folder: Path, name: str) -> str:
    if (folder / name).exists():
        return (folder / name).read_text(encoding="utf-8").strip()
    packed = (folder / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")


def file_digest(path: Path | None) -> str:
    """Return the sha256 of a file; "" for no file."""
    if path is None:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
