"""A knowledge graph on disk: arrays as safetensors, words as JSON, switched atomically."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

from datasets.knowledge_graph.graph import MOVIE, KnowledgeGraph, KnowledgeGraphError, read_only
from datasets.knowledge_graph.statistics import graph_statistics

FORMAT = 1
META = "graph.json"
_READS = 5  # tries to read a graph that is replaced at the same time


def save_graph(graph: KnowledgeGraph, directory: Path, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a graph into a folder, in place of the graph that lies there, if any.

        graph.json                  facts (`about`, statistics), names and sha256 of the other two
        arrays-<hash>.safetensors   the arrays
        words-<hash>.json           keys and names

    `graph.json` is switched last and atomically: a reader finds the old graph or the new one.
    Raises KnowledgeGraphError when the folder holds other things.
    """
    _refuse_foreign(directory)
    directory.mkdir(parents=True, exist_ok=True)
    arrays = bytes_of({name: np.ascontiguousarray(array) for name, array in graph_arrays(graph).items()})
    words = json.dumps(graph_words(graph), ensure_ascii=False).encode()
    files = {}
    for stem, suffix, content in (("arrays", "safetensors", arrays), ("words", "json", words)):
        digest = hashlib.sha256(content).hexdigest()
        files[f"{stem}-{digest[:12]}.{suffix}"] = digest
        _write(directory / f"{stem}-{digest[:12]}.{suffix}", content)
    meta = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(),
        **(about or {}),
        "statistics": graph_statistics(graph),
        "files": files,
    }
    _write(directory / META, json.dumps(meta, indent=1, ensure_ascii=False).encode())
    for path in _own_files(directory):
        if path.name not in files:
            path.unlink()


def load_graph(directory: Path) -> KnowledgeGraph:
    """Read and verify a saved graph. Raises KnowledgeGraphError; runs no code from the files."""
    for _ in range(_READS):
        files = read_about(directory)["files"]
        contents = _contents(directory, files)
        if contents is not None:
            break
    else:
        raise KnowledgeGraphError(f"{directory} lacks a file that {META} names: {', '.join(files)}")
    try:
        arrays = tensors_of(contents["arrays"])
        words = json.loads(contents["words"])
    except (KeyError, ValueError, SafetensorError) as error:
        raise KnowledgeGraphError(f"{directory} cannot be read: {error}") from error
    return graph_from_parts({name: read_only(array) for name, array in arrays.items()}, words)


def read_about(directory: Path) -> dict[str, Any]:
    """Return the facts of a saved graph: format, created, source, ids, statistics, files.

    Raises KnowledgeGraphError when the folder holds no graph of this format.
    """
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise KnowledgeGraphError(f"{directory} holds no {META}: not a knowledge graph") from error
    except (OSError, ValueError) as error:
        raise KnowledgeGraphError(f"{directory / META} cannot be read: {error}") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT or not isinstance(meta.get("files"), dict):
        raise KnowledgeGraphError(f"{directory / META} has format {found!r}, expected {FORMAT}")
    return meta


def graph_arrays(graph: KnowledgeGraph) -> dict[str, np.ndarray]:
    """Return the arrays of a graph by name: types, indptr, tails, relations."""
    return {
        "types": graph.types,
        "indptr": graph.indptr,
        "tails": graph.tails,
        "relations": graph.relations,
    }


def graph_words(graph: KnowledgeGraph) -> dict[str, list[str]]:
    """Return the words of a graph by name: keys, names, type_names, relation_names."""
    return {
        "keys": list(graph.keys),
        "names": list(graph.names),
        "type_names": list(graph.type_names),
        "relation_names": list(graph.relation_names),
    }


def graph_from_parts(arrays: Mapping[str, np.ndarray], words: Mapping[str, Sequence[str]]) -> KnowledgeGraph:
    """Build a graph from its arrays and names.

    Raises KnowledgeGraphError when the parts do not fit together.
    """
    try:
        graph = KnowledgeGraph(
            tuple(words["keys"]),
            tuple(words["names"]),
            tuple(words["type_names"]),
            arrays["types"],
            tuple(words["relation_names"]),
            arrays["indptr"],
            arrays["tails"],
            arrays["relations"],
        )
    except (KeyError, TypeError) as error:
        raise KnowledgeGraphError(f"a part of the graph is missing: {error}") from error
    _check(graph)
    return graph


def _check(graph: KnowledgeGraph) -> None:
    n = graph.n_entities
    sound = (
        len(graph.names) == len(graph.types) == n
        and len(set(graph.keys)) == n
        and graph.type_names[:1] == (MOVIE,)
        and graph.indptr.shape == (n + 1,)
        and graph.indptr[0] == 0
        and graph.indptr[-1] == len(graph.tails) == len(graph.relations)
        and bool((np.diff(graph.indptr) >= 0).all())
        and bool((np.diff(graph.types.astype(np.int16)) >= 0).all())
        and (n == 0 or int(graph.types.max()) < len(graph.type_names))
        and (len(graph.tails) == 0 or (int(graph.tails.min()) >= 0 and int(graph.tails.max()) < n))
        and (len(graph.tails) == 0 or int(graph.relations.max()) < 2 * graph.n_relations)
    )
    if not sound:
        raise KnowledgeGraphError("the parts of the graph do not fit together")


def _write(path: Path, content: bytes) -> None:
    building = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        building.write_bytes(content)
        os.replace(building, path)  # noqa: PTH105 - os.replace is the atomic one on every system
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _contents(directory: Path, files: Mapping[str, str]) -> dict[str, bytes] | None:
    """Return the verified files by stem; None when one is missing, as while a new graph replaces them."""
    contents = {}
    for name, expected in files.items():
        if Path(name).name != name:
            raise KnowledgeGraphError(f"{directory / META} names a file outside the folder: {name!r}")
        try:
            content = (directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KnowledgeGraphError(f"{directory / name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise KnowledgeGraphError(f"{directory / name} is damaged: its sha256 is not the recorded one")
        contents[name.partition("-")[0]] = content
    return contents


def _own_files(directory: Path) -> list[Path]:
    return [*directory.glob("arrays-*.safetensors"), *directory.glob("words-*.json")]


def _refuse_foreign(directory: Path) -> None:
    """Raise KnowledgeGraphError unless the folder is new, empty or holds a graph."""
    if directory.exists() and not directory.is_dir():
        raise KnowledgeGraphError(f"{directory} is no folder")
    if not directory.is_dir() or (directory / META).is_file():
        return
    # What a first writing that was interrupted left behind is ours as well.
    own = {*_own_files(directory), *directory.glob(".*")}
    if any(path not in own for path in directory.iterdir()):
        raise KnowledgeGraphError(f"{directory} holds other things; name a folder of its own for the graph")
