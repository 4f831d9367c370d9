"""Artifacts on disk, and the live predictors that serve from them.

    <root>/<name>/<version>/   one artifact
    <root>/<name>/current      the version that serves (a text file, switched atomically)
    <root>/<name>/previous     the version to roll back to

`ModelStore` is the disk, `Registry` the memory of one serving process. A newly activated version is
loaded in the background while requests go on with the old one.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictors.devices import resolved
from predictors.durable_files import flush, whole_file
from predictors.errors import ArtifactError, PredictorError
from predictors.item_index import find_obstacle
from predictors.plugins import MODELS, predictor_class
from predictors.serving import artifact

if TYPE_CHECKING:
    from predictors.base import Predictor

logger = logging.getLogger(__name__)

NEVER = (0, 0)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_version(text: str) -> bool:
    """Return whether a text can name a version: it leads to no other folder."""
    return _VERSION.fullmatch(text) is not None


class ModelStore:
    """Artifacts by name and version in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        """Return the models with an active version, in the order of `MODELS`."""
        return [name for name in MODELS if self.current(name)]

    def path(self, name: str, version: str) -> Path:
        """Return the folder of a version. Raises PredictorError on a name that leads outside the store."""
        if name not in MODELS:
            raise PredictorError(f"there is no model {name!r}; known: {', '.join(MODELS)}")
        if not is_version(version):
            raise PredictorError(f"{version!r} is not a version")
        return self.root / name / version

    def versions(self, name: str) -> list[str]:
        """Complete artifacts of a kind, newest first."""
        folder = self.root / name
        if not folder.is_dir():
            return []
        found = (entry.name for entry in folder.iterdir() if (entry / artifact.META).is_file())
        return sorted((version for version in found if is_version(version)), reverse=True)

    def current(self, name: str) -> str:
        """Return the active version, or an empty string."""
        return self._read_pointer(name, "current")

    def previous(self, name: str) -> str:
        return self._read_pointer(name, "previous")

    def new_version(self) -> str:
        """Return a version name that sorts by time."""
        return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f") + f"-{uuid.uuid4().hex[:4]}"

    def publish(
        self,
        predictor: Predictor,
        *,
        data: Mapping[str, Any] | None = None,
        metrics: Sequence[Mapping[str, Any]] = (),
        activate: bool = False,
    ) -> str:
        """Save a predictor as a new version and return it."""
        version = self.new_version()
        predictor.save(self.path(predictor.name, version), version=version, data=data, metrics=metrics)
        if activate:
            self.activate(predictor.name, version)
        return version

    def take_in(self, name: str, version: str, directory: Path) -> None:
        """Make an artifact that lies elsewhere on the same disk a version, in one step."""
        target = self.path(name, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(directory, target)  # noqa: PTH105 - os.replace is the atomic one on every system
        flush(target.parent)

    def activate(self, name: str, version: str) -> None:
        """Verify a version, then switch to it atomically. Raises ArtifactError and changes nothing."""
        meta = artifact.verify(self.path(name, version))
        if meta.get("name") != name:
            raise ArtifactError(f"{self.path(name, version)} holds {meta.get('name')!r}, not {name!r}")
        if obstacle := find_obstacle(meta):
            raise ArtifactError(f"{name} {version} cannot be activated: {obstacle}")
        before = self.current(name)
        if before and before != version:
            self._write_pointer(name, "previous", before)
        self._write_pointer(name, "current", version)

    def roll_back(self, name: str) -> str:
        """Switch back to the version that was active before, and return it."""
        previous = self.previous(name)
        if not previous:
            raise ArtifactError(f"{name} has no earlier version to roll back to")
        self.activate(name, previous)
        return previous

    def verify(self, name: str, version: str) -> dict[str, Any]:
        return artifact.verify(self.path(name, version))

    def meta(self, name: str, version: str) -> dict[str, Any]:
        return artifact.read_meta(self.path(name, version))

    def delete(self, name: str, version: str) -> None:
        """Remove a version from the disk. Raises PredictorError when it is the active one."""
        if version == self.current(name):
            raise PredictorError(f"{name} {version} is active; activate another version first")
        shutil.rmtree(self.path(name, version))

    def superseded(self, name: str, keep: int) -> list[str]:
        """Return the versions beyond the `keep` newest that are neither active nor the one before."""
        needed = {self.current(name), self.previous(name)}
        return [version for version in self.versions(name)[keep:] if version not in needed]

    def load(self, name: str, version: str) -> Predictor:
        return predictor_class(name).load(self.path(name, version))

    def pointer_stamp(self, name: str) -> tuple[int, int]:
        """Return a stamp that changes with each activation; `NEVER` without one. Costs one stat call."""
        try:
            status = (self.root / name / "current").stat()
        except FileNotFoundError:
            return NEVER
        return status.st_mtime_ns, status.st_ino

    def _read_pointer(self, name: str, pointer: str) -> str:
        try:
            version = (self.root / name / pointer).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""
        return version if is_version(version) else ""

    def _write_pointer(self, name: str, pointer: str, version: str) -> None:
        with whole_file(self.root / name / pointer) as file:
            file.write(version.encode("ascii"))


@dataclass(slots=True)
class _Slot:
    """Holds the live predictor of one model in one process."""

    predictor: Predictor | None = None
    stamp: tuple[int, int] = NEVER
    checked: float = 0.0
    loading: bool = False
    refused: tuple[int, int] = NEVER  # the pointer stamp of a version that could not be loaded
    lock: threading.Lock = field(default_factory=threading.Lock)


class Registry:
    """Holds the live predictors of one process. Safe to use from many threads.

    The pointer of a kind is looked at no more than once every `check_seconds`. The first request for
    a kind loads it and waits; later versions are loaded beside the old one and swapped in when ready.
    A version that cannot be loaded is logged and refused, and the old one goes on serving.
    """

    def __init__(
        self,
        store: ModelStore,
        check_seconds: float = 1.0,
        device: str = "cpu",
        prepare: Callable[[Predictor], None] = lambda predictor: None,
    ) -> None:
        """`prepare` is called with each predictor before it serves; an exception of it is logged."""
        self.store = store
        self.check_seconds = check_seconds
        self.device = device
        self.prepare = prepare
        self._slots: dict[str, _Slot] = {name: _Slot() for name in MODELS}

    def names(self) -> list[str]:
        return self.store.names()

    def import_models(self) -> None:
        """Import the modules of the active models, so that processes forked from this one share them."""
        for name in self._slots:
            try:
                if self.store.current(name):
                    predictor_class(name).import_libraries()
            except Exception:  # whoever asks for the model hears of it; the others serve
                logger.exception("%s could not be imported", name)

    def get(self, name: str) -> Predictor:
        """Return the active predictor of a model.

        Raises ArtifactError when none is active or the first load fails, PredictorError on an unknown name.
        """
        try:
            slot = self._slots[name]
        except KeyError:
            raise PredictorError(f"there is no model {name!r}; known: {', '.join(MODELS)}") from None
        now = time.monotonic()
        if now - slot.checked >= self.check_seconds:
            self._look(name, slot, now)
        if slot.predictor is None:
            with slot.lock:  # the first load: everyone who asks waits for the same one
                if slot.predictor is None:
                    self._load(name, slot)
        predictor = slot.predictor
        if predictor is None:
            raise ArtifactError(f"{name} has no active version; train one with: manage.py train {name}")
        return predictor

    def _look(self, name: str, slot: _Slot, now: float) -> None:
        slot.checked = now
        stamp = self.store.pointer_stamp(name)
        if stamp == NEVER:
            slot.predictor, slot.stamp = None, NEVER
            return
        if stamp in (slot.stamp, slot.refused):
            return
        with slot.lock:
            if slot.predictor is None or slot.loading or stamp == slot.stamp:
                return
            slot.loading = True
        threading.Thread(target=self._swap, args=(name, slot), name=f"load-{name}", daemon=True).start()

    def _swap(self, name: str, slot: _Slot) -> None:
        try:
            self._load(name, slot)
        except PredictorError:
            logger.exception("the new version of %s was refused; the old one goes on serving", name)
        finally:
            slot.loading = False

    def _load(self, name: str, slot: _Slot) -> None:
        stamp = self.store.pointer_stamp(name)
        version = self.store.current(name)
        if not version:
            return
        try:
            predictor = self._on_device(self.store.load(name, version))
        except PredictorError:
            slot.refused = stamp
            if slot.predictor is None:
                slot.predictor = self._load_previous(name)
            if slot.predictor is None:
                raise
            logger.exception("%s %s was refused", name, version)
            return
        try:
            self.prepare(predictor)
        except Exception:  # the version serves without it
            logger.exception("%s %s could not be prepared", name, version)
        slot.predictor, slot.stamp = predictor, stamp

    def _on_device(self, predictor: Predictor) -> Predictor:
        """Move a predictor to this process's device; to the CPU where `auto` found a GPU it cannot use."""
        device = resolved(self.device)
        try:
            return predictor.to(device)
        except ValueError as error:
            if self.device != "auto":
                raise ArtifactError(f"{predictor.name} cannot run on {device}: {error}") from error
            logger.warning("%s runs on the CPU: %s", predictor.name, error)
            return predictor

    def _load_previous(self, name: str) -> Predictor | None:
        """Load the version before a damaged one, for a process that starts meanwhile; None without one."""
        previous = self.store.previous(name)
        try:
            return self.store.load(name, previous) if previous else None
        except PredictorError:
            return None
