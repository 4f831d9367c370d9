"""Checkpoints: one safetensors file each, with everything else as JSON in its header.

Being one file a checkpoint is replaced atomically. `last` continues a run, `best` is the one to keep.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from pytorch_models.training.process_group import ALONE, ProcessGroup

LAST, BEST = "last.safetensors", "best.safetensors"


class CheckpointError(Exception):
    """Reports a checkpoint that is damaged or belongs to another run; the message says how it differs."""


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write a checkpoint in place of the one that is there, atomically."""
    unfinished = path.with_name(f".{path.name}")
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, metadata=dict(header)
    )
    os.replace(unfinished, path)  # noqa: PTH105 - atomic on every system


def read_checkpoint(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the header and the tensors of a checkpoint. Raises CheckpointError when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_first(path: Path, group: ProcessGroup) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the header and the tensors of the first process's checkpoint, in every process.

    The others need no such file. Raises CheckpointError in all of them when it cannot be read.
    """
    if group.size == 1:
        return read_checkpoint(path)
    header: dict[str, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    problem = ""
    if group.is_first:
        try:
            header, tensors = read_checkpoint(path)
        except CheckpointError as error:
            problem = str(error)
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    problem, header, shapes = group.from_first((problem, header, shapes))
    if problem:
        raise CheckpointError(problem)
    if not group.is_first:
        tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
    group.copy_first(list(tensors.values()))
    return header, tensors


def load_weights(model: nn.Module, path: Path, group: ProcessGroup = ALONE) -> None:
    """Load the weights of a checkpoint. Raises CheckpointError when they do not fit or cannot be read."""
    set_weights(model, read_first(path, group)[1], path)


def set_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Set a model's weights from the tensors `model.*`. Raises CheckpointError when they do not fit."""
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds another model: {error}") from error
