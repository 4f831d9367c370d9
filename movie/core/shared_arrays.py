"""Arrays that the processes of this machine share: one copy in memory, however many workers have them.

A file is named by the sha256 of what it holds, so none is ever out of date: a process makes its arrays, and
keeps in their place the file of the one that made the same before.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from django.conf import settings
from safetensors import SafetensorError
from safetensors.numpy import save

from predictors.errors import ArtifactError
from predictors.serving.artifact import read_tensors, sha256_of

log = logging.getLogger(__name__)

MIN_SHARED_BYTES = 256 * 1024  # of arrays; a file of fewer saves too little
# A file that no process has mapped is kept for so long after one asked for it: the others make the same now.
# Not for longer, as DATA_DIR may be in memory, and while films are imported each look at the catalogue makes
# files.
UNUSED_SECONDS = 60


def share(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays mapped from a shared file.

    Return the given arrays where they have fewer than `MIN_SHARED_BYTES` or no file can be written. `name`
    says what they are.
    """
    if sum(array.nbytes for array in arrays.values()) < MIN_SHARED_BYTES:
        return dict(arrays)
    folder: Path = settings.SHARED_ARRAYS_DIR
    try:
        content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
        sha256 = hashlib.sha256(content).hexdigest()
        path = folder / f"{name}-{sha256}"
        if path.exists() and sha256_of(path) != sha256:  # damaged
            path.unlink()
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, content)
            _delete_unused(folder)
        with suppress(PermissionError):  # another user wrote it
            os.utime(path)
        return read_tensors(path, sha256, lock=True)
    except (OSError, SafetensorError, ArtifactError) as error:
        log.warning("each worker has its own %s, they cannot be shared: %s", name, error)
        return dict(arrays)


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, if no other process did meanwhile: that one may be mapped already.

    It need not be on the disk: one that a crash cut off is written again.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)


def _delete_unused(folder: Path) -> None:
    """Delete the files that no process has mapped, those that a killed one left unfinished among them."""
    for path in folder.iterdir():
        with suppress(OSError):  # it is locked, another process deletes it too, or another user wrote it
            if time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
