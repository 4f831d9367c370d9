"""Arrays that the processes of this machine share: one copy in memory, however many workers have them.

A file is named by the sha256 of what it holds, so none is ever out of date: a process makes its arrays, and
keeps in their place the file of the one that made the same before.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from django.conf import settings
from safetensors import SafetensorError
from safetensors.numpy import save

from predictors.errors import ArtifactError
from predictors.serving.artifact import read_tensors

log = logging.getLogger(__name__)

LEAST_BYTES = 256 * 1024  # of arrays; a file of fewer saves too little
KEPT = 8  # files of a name, the latest ones; one that is deleted stays mapped where it is


def share(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return equal arrays that are mapped from a file; the same where they are few or no file can be had.

    `name` says what they are: of each name the latest files are kept.
    """
    if sum(array.nbytes for array in arrays.values()) < LEAST_BYTES:
        return dict(arrays)
    folder: Path = settings.SHARED_ARRAYS_DIR
    try:
        content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
        sha256 = hashlib.sha256(content).hexdigest()
        path = folder / f"{name}-{sha256}"
        if not (path.exists() and path.read_bytes() == content):
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, content)
            _delete_old(folder, name)
        path.touch()
        return read_tensors(path, sha256)
    except (OSError, SafetensorError, ArtifactError) as error:
        log.warning("each worker has its own %s, they cannot be shared: %s", name, error)
        return dict(arrays)


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step. It need not be on the disk: one that a crash cut off is written again."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _delete_old(folder: Path, name: str) -> None:
    with suppress(FileNotFoundError):  # another process deletes them too
        for old in sorted(folder.glob(f"{name}-*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            old.unlink()
