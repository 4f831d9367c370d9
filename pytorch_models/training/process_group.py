"""Several processes that train one model together: who they are, and what they tell each other.

Every process holds the whole model and takes its part of each batch; the sums of the gradients over all
parts make the step of the whole batch. Models that are solved share out rows, and gather what each found.
`torchrun` starts the processes and says where they meet. One process is a group of its own, in which every
call returns at once; torch is loaded for several alone.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

# For which a process waits for another: longer than the first one reads, validates or publishes alone.
# A process that ended is noticed by its closed connection; only a machine that is cut off takes so long.
TIMEOUT = timedelta(hours=2)
REDUCED_ALONE = 1_000_000  # elements of a tensor from which it is added up in place, not copied beside others


class ProcessGroupError(Exception):
    """Reports that another process ended, cannot be reached, or trains something else."""


@dataclass(frozen=True)
class ProcessGroup:
    """Holds the number of this process, from 0, and of all. The first one writes files and reports."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def part(self) -> slice:
        """The rows of a batch that this process takes: every `size`-th, so that long ones are spread."""
        return slice(self.rank, None, self.size)

    @property
    def parts(self) -> list[slice]:
        """The parts of all processes."""
        return [slice(rank, None, self.size) for rank in range(self.size)]

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors, one dtype and the same shapes in every process, by their sums over all.

        Raises ProcessGroupError.
        """
        if self.size == 1:
            return
        import torch
        from torch import distributed

        small = [tensor for tensor in tensors if tensor.numel() < REDUCED_ALONE]
        large = [tensor for tensor in tensors if tensor.numel() >= REDUCED_ALONE]
        joined = [torch.cat([tensor.reshape(-1) for tensor in small])] if small else []
        with _errors():
            for tensor in (*joined, *large):
                distributed.all_reduce(tensor)
        if not small:
            return
        parts = joined[0].split([tensor.numel() for tensor in small])
        torch._foreach_copy_(small, [part.view_as(tensor) for part, tensor in zip(parts, small, strict=True)])

    def any(self, flag: bool) -> bool:
        """Return whether a flag is up in some process. Raises ProcessGroupError."""
        if self.size == 1:
            return flag
        import torch
        from torch import distributed

        up = torch.tensor([float(flag)], device=_device())
        with _errors():
            distributed.all_reduce(up)
        return bool(up.item())

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of the arrays of all processes, of one shape. Raises ProcessGroupError."""
        if self.size == 1:
            return array
        import torch

        total = torch.from_numpy(array.copy()).to(_device())
        self.add_up([total])
        return total.cpu().numpy()

    def gather(self, array: np.ndarray, rows: Sequence[np.ndarray]) -> None:
        """Write the rows that each process computed into the array of all others, in place.

        rows  of each process, int64 indices: every row that is computed belongs to one. Raises
        ProcessGroupError.
        """
        if self.size == 1:
            return
        import torch
        from torch import distributed

        own = torch.from_numpy(array[rows[self.rank]])
        sent = own.new_zeros(
            (max(map(len, rows)), *own.shape[1:]), device=_device()
        )  # Gloo: one size for all
        sent[: len(own)] = own
        received = [torch.empty_like(sent) for _ in rows]
        with _errors():
            distributed.all_gather(received, sent)
        for of_one, found in zip(rows, received, strict=True):
            array[of_one] = found[: len(of_one)].cpu().numpy()

    def from_first(self, value: Value) -> Value:
        """Return the value of the first process, which can be pickled. Raises ProcessGroupError.

        Its arrays are sent from where they are: a pickle that held them would take as much memory again.
        """
        if self.size == 1:
            return value
        import torch
        from torch import distributed

        arrays: list[np.ndarray] = []
        sent: list[tuple[bytes, list[int]]] = [(b"", [])]
        if self.is_first:
            buffers: list[pickle.PickleBuffer] = []
            pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
            arrays = [np.require(np.frombuffer(each.raw(), np.uint8), requirements="W") for each in buffers]
            sent = [(pickled, [len(array) for array in arrays])]
        with _errors():
            distributed.broadcast_object_list(sent, src=0, device=_device())
        pickled, sizes = sent[0]
        if not self.is_first:
            arrays = [np.empty(size, np.uint8) for size in sizes]
        self.copy_first([torch.from_numpy(array) for array in arrays if len(array)])
        return value if self.is_first else pickle.loads(pickled, buffers=arrays)  # noqa: S301 - of this training

    def copy_first(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by those of the first process, in place. Raises ProcessGroupError."""
        if self.size == 1:
            return
        from torch import distributed

        for tensor in tensors:
            sent = tensor.detach().to(_device())
            with _errors():
                distributed.broadcast(sent, src=0)
            tensor.detach().copy_(sent)

    def check_same(self, values: Mapping[str, object]) -> None:
        """Raise ProcessGroupError in every process unless the values by name are the same in all."""
        first = self.from_first(dict(values))
        differences = [
            f"{name} is {value} in process {self.rank}, {first.get(name)} in the first"
            for name, value in values.items()
            if value != first.get(name)
        ]
        if self.any(bool(differences)):
            raise ProcessGroupError("the processes train different things: " + ", ".join(differences))


ALONE = ProcessGroup()


def current() -> ProcessGroup:
    """Return the group that this process has joined, or one of its own."""
    distributed = sys.modules.get("torch.distributed")  # a process that has joined one has loaded it
    if distributed and distributed.is_available() and distributed.is_initialized():
        return ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    return ALONE


@contextmanager
def joined(rank: int, size: int, *, device: str) -> Iterator[ProcessGroup]:
    """Meet the other processes for the time of the block: by NCCL on "cuda", by Gloo on "cpu".

    On a GPU each process takes the one of its number on its machine. The address of the first process
    comes from where `torchrun` puts it. Raises ProcessGroupError.
    """
    if size == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    with _errors():
        if device == "cuda":
            torch.cuda.set_device(distributed.get_node_local_rank(fallback_rank=rank))
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo", rank=rank, world_size=size, timeout=TIMEOUT
        )
    try:
        yield current()
    finally:
        distributed.destroy_process_group()


def _device() -> torch.device:
    """Return the device whose tensors the group exchanges."""
    import torch
    from torch import distributed

    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what torch raises when a process cannot be reached into a ProcessGroupError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]  # the rest is advice
        raise ProcessGroupError(
            f"another process of this training ended or cannot be reached ({reason}); start all of them "
            "again with --resume"
        ) from error
