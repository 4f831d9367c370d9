"""Copies active models between a store on the disk and a remote, so that machines need share no folder.

    <remote>/<name>/<version>/...   artifacts, file by file, as on the disk
    <remote>/active.json            the active version of each model, and the sha256 of its meta.json

A writer sends `active.json` last, and a reader switches its own pointer last: whatever is cut off in between
leaves the version of before. From `active.json` to the weights every file is checked by its sha256.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from predictors.durable_files import flush
from predictors.errors import ArtifactError, PredictorError
from predictors.plugins import MODELS
from predictors.progress import Progress, ProgressEvent, silent
from predictors.serving import artifact
from predictors.serving.registry import ModelStore, is_version
from predictors.serving.remote import NotInRemote, Remote, RemoteError

INDEX, FORMAT = "active.json", 1
KEPT = 3  # newest versions of each model that a copy keeps, beside those in use
PULLING = ".pulling-"  # begins the name of a folder that is not complete yet
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class ActiveVersion:
    """The active version of a model in a remote; `meta_sha256` is that of its meta.json."""

    version: str
    meta_sha256: str


@dataclass(frozen=True, slots=True)
class ReplicationResult:
    """Result of a push or a pull: (model, version) that became active, and an error for each that did not."""

    activated: list[tuple[str, str]]
    errors: list[str]


def read_index(remote: Remote) -> dict[str, ActiveVersion]:
    """Return the active version of each model in a remote. Raises RemoteError."""
    try:
        index = json.loads(remote.read(INDEX))
        if index["format"] != FORMAT:
            raise RemoteError(f"{remote.address(INDEX)} has format {index['format']!r}, expected {FORMAT}")
        active = {name: ActiveVersion(**entry) for name, entry in index["active"].items()}
        if wrong := [entry.version for entry in active.values() if not is_version(entry.version)]:
            raise RemoteError(f"{remote.address(INDEX)}: {wrong[0]!r} is not a version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RemoteError(f"{remote.address(INDEX)} is no index of models: {error}") from error
    return active


def push(
    store: ModelStore, remote: Remote, *, keep: int = KEPT, progress: Progress = silent
) -> ReplicationResult:
    """Copy the active versions of a store to a remote, and make them the active ones there.

    Models that are active in the remote alone stay. Old versions in the remote are deleted but for the
    `keep` newest. One process writes to a remote at a time. Raises RemoteError where the index cannot be
    read or written.
    """
    try:
        index = read_index(remote)
    except NotInRemote:
        index = {}
    activated, errors = [], []
    for name in store.names():
        version = store.current(name)
        try:
            active = ActiveVersion(version, artifact.sha256_of(store.path(name, version) / artifact.META))
            if index.get(name) == active:
                continue
            _upload(store, name, version, remote, progress)
        except (PredictorError, OSError) as error:
            errors.append(f"{name} {version}: {error}")
            continue
        index[name] = active
        activated.append((name, version))
    if activated:
        described = {"format": FORMAT, "active": {name: asdict(entry) for name, entry in index.items()}}
        remote.put(INDEX, json.dumps(described, indent=1).encode())
    for name, version in activated:
        try:
            _delete_old(remote, name, version, keep)
        except RemoteError as error:
            errors.append(f"{name}: an old version was not deleted: {error}")
    return ReplicationResult(activated, errors)


def pull(
    store: ModelStore, remote: Remote, *, keep: int = KEPT, verify: bool = True, progress: Progress = silent
) -> ReplicationResult:
    """Copy the active versions of a remote into a store, and activate each once it is complete.

    A model that cannot be copied goes on with the version of before, and the next pull goes on with the files
    that are missing. With `verify`, files of active versions that are here already are compared with their
    sha256, and a damaged version is copied again; without it meta.json alone is. Models that this
    installation does not know are left out. Old versions are deleted but for the active one, the one before
    and the `keep` newest. Raises RemoteError if the index cannot be read.
    """
    activated, errors = [], []
    for name, active in read_index(remote).items():
        if name not in MODELS:
            continue
        is_here = store.current(name) == active.version and _is_whole(store, name, active, verify=verify)
        staging = _staging(store, name, active.version)
        leftovers = (store.root / name).glob(f"{PULLING}*")
        errors += _delete_folders(name, (path for path in leftovers if is_here or path != staging))
        if is_here:
            continue
        try:
            if not _is_whole(store, name, active, verify=True):
                _replace(store, name, active, remote, progress)
            store.activate(name, active.version)
        except (PredictorError, OSError) as error:
            errors.append(f"{name} {active.version}: {error}")
            continue
        activated.append((name, active.version))
        errors += _delete_folders(name, (store.path(name, old) for old in store.superseded(name, keep)))
    return ReplicationResult(activated, errors)


def _upload(store: ModelStore, name: str, version: str, remote: Remote, progress: Progress) -> None:
    """Copy a version to a remote, its meta.json last, unless it is there."""
    meta = store.verify(name, version)
    folder = store.path(name, version)
    facts = (folder / artifact.META).read_bytes()
    key = f"{name}/{version}"
    try:
        if remote.read(f"{key}/{artifact.META}") == facts:
            return
    except NotInRemote:
        pass
    files = list(meta["files"])
    for done, filename in enumerate(files):
        progress(ProgressEvent(done / len(files), f"{name} {version}: {filename}"))
        remote.put(f"{key}/{filename}", folder / filename)
    remote.put(f"{key}/{artifact.META}", facts)


def _delete_old(remote: Remote, name: str, current: str, keep: int) -> None:
    by_version: dict[str, list[str]] = {}
    for key in remote.keys(name):
        _name, version, *rest = key.split("/")
        if rest and is_version(version):
            by_version.setdefault(version, []).append(key)
    for version in sorted(by_version, reverse=True)[keep:]:
        if version != current:
            remote.delete(f"{name}/{version}/{artifact.META}")  # first: without it the rest is no version
            for key in by_version[version]:
                remote.delete(key)


def _staging(store: ModelStore, name: str, version: str) -> Path:
    """Return the folder in which a version is before it is complete."""
    return store.path(name, version).with_name(f"{PULLING}{version}")


def _is_whole(store: ModelStore, name: str, active: ActiveVersion, *, verify: bool) -> bool:
    """Return whether the store has a version of a remote: by its meta.json, with `verify` by every file."""
    try:
        if artifact.sha256_of(store.path(name, active.version) / artifact.META) != active.meta_sha256:
            return False
        if verify:
            store.verify(name, active.version)
    except (ArtifactError, OSError):
        return False
    return True


def _replace(store: ModelStore, name: str, active: ActiveVersion, remote: Remote, progress: Progress) -> None:
    """Copy a version of a remote into the store, in place of a damaged one, which stays until then."""
    folder, staging = store.path(name, active.version), _staging(store, name, active.version)
    damaged = folder.with_name(f"{PULLING}.damaged")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        _download(remote, f"{name}/{active.version}", active.meta_sha256, staging, progress)
        if folder.exists():
            folder.rename(damaged)
        store.take_in(name, active.version, staging)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)  # a full disk is no fuller for the attempt
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}") from error
    shutil.rmtree(damaged, ignore_errors=True)


def _download(remote: Remote, key: str, meta_sha256: str, folder: Path, progress: Progress) -> None:
    """Copy an artifact into a folder, except for files that an earlier attempt left there complete.

    Raises ArtifactError on a file whose sha256 is not the recorded one, RemoteError, and OSError of the disk.
    """
    facts = remote.read(f"{key}/{artifact.META}")
    if sha256(facts).hexdigest() != meta_sha256:
        raise _damaged(remote, f"{key}/{artifact.META}")
    (folder / artifact.META).unlink(missing_ok=True)  # of an earlier attempt, and read-only
    (folder / artifact.META).write_bytes(facts)
    files = artifact.recorded_hashes(folder, artifact.read_meta(folder))
    for done, (filename, recorded) in enumerate(files.items()):
        path = folder / filename
        if path.is_file() and artifact.sha256_of(path) == recorded:
            continue
        digest = sha256()
        with path.open("wb") as file:
            for chunk in remote.chunks(f"{key}/{filename}"):
                file.write(chunk)
                digest.update(chunk)
                text = f"{key}: {filename}, {file.tell() / MEGABYTE:,.0f} MB"
                progress(ProgressEvent(done / len(files), text))
        if digest.hexdigest() != recorded:
            path.unlink()
            raise _damaged(remote, f"{key}/{filename}")
    for path in folder.iterdir():
        flush(path)
        path.chmod(artifact.READ_ONLY)
    flush(folder)


def _damaged(remote: Remote, key: str) -> ArtifactError:
    return ArtifactError(f"{remote.address(key)} is damaged: its sha256 is not the recorded one")


def _delete_folders(name: str, folders: Iterable[Path]) -> list[str]:
    """Delete folders, and return an error for each that cannot be."""
    errors = []
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            errors.append(f"{name}: {folder} was not deleted: {error.strerror or error}")
    return errors
