"""Arrays that the processes of this machine share: one copy in memory, however many workers have them.

A file is named by the sha256 of what it holds, so none is ever out of date: a process makes its arrays, and
keeps in their place the file of the one that made the same before.
"""

from __future__ import annotations

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
# A file that is deleted stays mapped where it is. One is kept for `MAX_UNUSED_SECONDS` after a process asked
# for it, and for `MIN_UNUSED_SECONDS` where later ones of its name have `MAX_UNUSED_BYTES`: DATA_DIR may be
# in memory, and while films are imported each look at the catalogue makes files.
MAX_UNUSED_SECONDS, MIN_UNUSED_SECONDS = 3600, 60
MAX_UNUSED_BYTES = 32 * 2**20


def share(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays mapped from a shared file.

    Return the given arrays where they have fewer than `MIN_SHARED_BYTES` or no file can be written. `name`
    says what they are: files are deleted by name.
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
            _delete_unused(folder, name)
        with suppress(PermissionError):  # another user wrote it
            os.utime(path)
        return read_tensors(path, sha256)
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


def _delete_unused(folder: Path, name: str) -> None:
    """Delete the files of a name that are unused, those that a killed process left unfinished among them."""
    now, later_bytes = time.time(), 0
    with suppress(OSError):  # another process deletes them too, or another user wrote them
        files = [(path.stat(), path) for path in folder.glob(f"*{name}-*")]
        for status, path in sorted(files, key=lambda file: file[0].st_mtime, reverse=True):
            kept_seconds = MAX_UNUSED_SECONDS if later_bytes < MAX_UNUSED_BYTES else MIN_UNUSED_SECONDS
            if now - status.st_mtime > kept_seconds:
                path.unlink()
            later_bytes += status.st_size
