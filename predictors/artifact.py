"""A trained model as a directory: weights, ids, facts. Reading one runs no code.

    weights.safetensors   the arrays
    ids.json              catalogue ids in index order
    meta.json             name, version, created, config, data, metrics, sha256 of every file

A directory is complete once meta.json exists: it is written last, and the directory is built under a
temporary name beside its final one and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from predictors.errors import ArtifactError
from predictors.id_map import IdMap

FORMAT = 1
WEIGHTS, IDS, META = "weights.safetensors", "ids.json", "meta.json"


@dataclass(frozen=True, slots=True)
class Loaded:
    tensors: dict[str, np.ndarray]
    ids: IdMap
    meta: dict[str, Any]


def write(
    directory: Path,
    tensors: Mapping[str, np.ndarray],
    ids: IdMap,
    meta: Mapping[str, Any],
    extra: Callable[[Path], None] = lambda directory: None,
) -> None:
    """Write an artefact so that it appears whole or not at all."""
    if directory.exists():
        raise ArtifactError(f"{directory} exists already; an artefact is never overwritten")
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = directory.parent / f".{directory.name}.{uuid.uuid4().hex}"
    building.mkdir()
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, building / WEIGHTS)
        (building / IDS).write_text(json.dumps(ids.ids, ensure_ascii=False), encoding="utf-8")
        extra(building)
        files = {path.name: sha256_of(path) for path in sorted(building.iterdir())}
        described = {**meta, "format": FORMAT, "created": datetime.now(UTC).isoformat(), "files": files}
        (building / META).write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(building, directory)  # noqa: PTH105 - os.replace is the atomic one on every system
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def read_meta(directory: Path) -> dict[str, Any]:
    """The facts of an artefact, unverified. Raises ArtifactError when they cannot be read."""
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{directory} holds no {META}: not an artefact, or one half-copied") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{directory / META} cannot be read: {error}") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"{directory / META} has format {found!r}, expected {FORMAT}")
    return meta


def verify(directory: Path) -> dict[str, Any]:
    """Compare every file with its recorded sha256 and return the facts. Raises ArtifactError."""
    meta = read_meta(directory)
    for filename, expected in meta.get("files", {}).items():
        if Path(filename).name != filename:
            raise ArtifactError(f"{directory / META} names a file outside the artefact: {filename!r}")
        path = directory / filename
        if not path.is_file():
            raise ArtifactError(f"{path} is missing")
        if sha256_of(path) != expected:
            raise ArtifactError(f"{path} is damaged: its sha256 is not the recorded one")
    return meta


def read(directory: Path, *, expected_name: str | None = None) -> Loaded:
    """Verify and read an artefact. Raises ArtifactError on anything missing, damaged or foreign."""
    meta = verify(directory)
    if expected_name is not None and meta.get("name") != expected_name:
        raise ArtifactError(f"{directory} holds {meta.get('name')!r}, expected {expected_name!r}")
    try:
        tensors = load_file(directory / WEIGHTS)
        ids = IdMap(json.loads((directory / IDS).read_text(encoding="utf-8")))
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(f"{directory} cannot be read: {error}") from error
    return Loaded(tensors, ids, meta)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
