"""A trained model as a directory: weights, ids, facts. Reading one runs no code.

    weights.safetensors   the arrays
    ids.safetensors       catalogue ids in index order (`IdMap.arrays`); ids.json where not all are ints
    meta.json             name, version, created, config, data, metrics, sha256 of every file

A directory is complete once meta.json exists: it is written last, and the directory is built under a
temporary name beside its final one and renamed.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import shutil
import struct
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from predictors.errors import ArtifactError
from predictors.id_map import IdMap

FORMAT = 2  # 1 had all ids in ids.json
READABLE = (1, FORMAT)
# Files are mapped into the memory of those who serve them: one that gets shorter kills them (SIGBUS). So
# nothing writes to a file that is there; a new one is renamed into its place, and the old one stays mapped.
READ_ONLY = 0o444
WEIGHTS, META = "weights.safetensors", "meta.json"
INT_IDS, IDS = "ids.safetensors", "ids.json"

# The types that safetensors writes for numpy, little-endian as the format has them.
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    **{f"U{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"I{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}

# Verified files that are in use, by their sha256.
_mapped: weakref.WeakValueDictionary[str, mmap.mmap] = weakref.WeakValueDictionary()


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
    """Write an artifact so that it appears completely or not at all. Raises ArtifactError when it cannot."""
    if directory.exists():
        raise ArtifactError(f"{directory} exists already; an artifact is never overwritten")
    building = directory.parent / f".{directory.name}.{uuid.uuid4().hex}"
    try:
        building.mkdir(parents=True)
        write_tensors(building / WEIGHTS, tensors)
        arrays = ids.arrays()
        if arrays is None:
            (building / IDS).write_text(json.dumps(list(ids), ensure_ascii=False), encoding="utf-8")
        else:
            write_tensors(building / INT_IDS, arrays)
        extra(building)
        files = {path.name: sha256_of(path) for path in sorted(building.iterdir())}
        described = {**meta, "format": FORMAT, "created": datetime.now(UTC).isoformat(), "files": files}
        (building / META).write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
        for path in building.iterdir():
            path.chmod(READ_ONLY)
        os.replace(building, directory)  # noqa: PTH105 - os.replace is the atomic one on every system
    except (OSError, SafetensorError) as error:
        shutil.rmtree(building, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ArtifactError(f"{directory} cannot be written: {reason}") from error
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def read_meta(directory: Path) -> dict[str, Any]:
    """Read the facts of an artifact, unverified. Raises ArtifactError when they cannot be read."""
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{directory} holds no {META}: not an artifact, or one half-copied") from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{directory / META} cannot be read: {error}") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found not in READABLE:
        raise ArtifactError(
            f"{directory / META} has format {found!r}; this release reads {' and '.join(map(str, READABLE))}"
        )
    return meta


def annotate(directory: Path, facts: Mapping[str, Any]) -> None:
    """Add facts to an artifact's meta.json, in one step; its files stay as they are. Raises ArtifactError."""
    meta = {**read_meta(directory), **facts}
    writing = directory / f".{META}.{uuid.uuid4().hex}"
    writing.write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    writing.chmod(READ_ONLY)
    os.replace(writing, directory / META)  # noqa: PTH105 - os.replace is the atomic one on every system


def recorded_hashes(directory: Path, meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of every file by its name, as the facts have them. Raises ArtifactError."""
    files = meta.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(sha256, str) for sha256 in files.values()):
        raise ArtifactError(f"{directory / META}: files is no table of names and hashes")
    for filename in files:
        if filename == ".." or Path(filename).name != filename or not filename.isprintable():
            raise ArtifactError(f"{directory / META} names a file outside the artifact: {filename!r}")
    return files


def verify(directory: Path) -> dict[str, Any]:
    """Compare every file with its recorded sha256 and return the facts. Raises ArtifactError."""
    meta = read_meta(directory)
    for filename, expected in recorded_hashes(directory, meta).items():
        path = directory / filename
        if not path.is_file():
            raise ArtifactError(f"{path} is missing")
        if sha256_of(path) != expected:
            raise ArtifactError(f"{path} is damaged: its sha256 is not the recorded one")
    return meta


def read(directory: Path, *, expected_name: str | None = None) -> Loaded:
    """Verify and read an artifact. Raises ArtifactError on anything missing, damaged or foreign."""
    meta = verify(directory)
    if expected_name is not None and meta.get("name") != expected_name:
        raise ArtifactError(f"{directory} holds {meta.get('name')!r}, expected {expected_name!r}")
    files = meta.get("files", {})
    if WEIGHTS not in files:
        raise ArtifactError(f"{directory / META} does not name {WEIGHTS}")
    return Loaded(read_tensors(directory / WEIGHTS, files[WEIGHTS]), read_ids(directory, files), meta)


def read_ids(directory: Path, files: Mapping[str, str]) -> IdMap:
    """Read the ids of a verified artifact with these files; ints are mapped into memory.

    Raises ArtifactError on ids that cannot be read.
    """
    try:
        if INT_IDS in files:
            return IdMap.from_arrays(read_tensors(directory / INT_IDS, files[INT_IDS]))
        return IdMap(json.loads((directory / IDS).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{directory} cannot be read: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write one safetensors file; equal arrays make equal bytes."""
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)


def read_tensors(path: Path, sha256: str, *, lock: bool = False) -> dict[str, np.ndarray]:
    """Map the arrays of a file with this sha256, verified before, into memory, read-only.

    Processes that serve the same artifact share its pages, and files of equal content are mapped once for
    as long as anything holds their arrays: a model that is also a member of a blend is in memory once.
    `lock` holds a shared lock of the file for as long, by which others see that it is in use. Raises
    ArtifactError on a file that cannot be read.
    """
    try:
        mapped = _mapped.get(sha256) or _mapped.setdefault(sha256, _map(path, lock=lock))
        (length,) = struct.unpack_from("<Q", mapped)
        described = json.loads(mapped[8 : 8 + length])
        described.pop("__metadata__", None)
        return {name: _array(mapped, 8 + length, **facts) for name, facts in described.items()}
    except (OSError, ValueError, KeyError, TypeError, struct.error, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def _map(path: Path, *, lock: bool) -> mmap.mmap:
    with safe_open(path, framework="numpy"):  # refuses a header that does not fit the file
        pass
    with path.open("rb") as file:
        if lock:
            import fcntl  # not on every system that reads artifacts

            fcntl.flock(file, fcntl.LOCK_SH)  # the mapping has the file open, and so the lock
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _array(
    mapped: mmap.mmap, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]
) -> np.ndarray:
    """Return one tensor of a safetensors file whose data begins at `start`, as a view of the mapping."""
    count = math.prod(shape)
    if not count:
        return np.empty(shape, _DTYPES[dtype])
    return np.frombuffer(mapped, _DTYPES[dtype], count, start + data_offsets[0]).reshape(shape)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
