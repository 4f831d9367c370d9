"""Runs a function in several processes that have joined a group, for tests."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from pytorch_models.training.process_group import ProcessGroup, joined

SECONDS = 60
KILLED = "killed"


def in_processes(function: Callable[[ProcessGroup], Any], n: int = 2) -> list[Any]:
    """Return what each process returned, or the exception it raised; KILLED where it did not end by itself.

    Raises TimeoutError when one has not ended in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("fork")  # torch is loaded already
    processes, results = [], []
    for rank in range(n):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(function, rank, n, port, sender))
        process.start()
        sender.close()
        processes.append(process)
        results.append(receiver)
    try:
        return [_result(receiver) for receiver in results]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _run(function: Callable[[ProcessGroup], Any], rank: int, n: int, port: int, sender: Connection) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    try:
        with joined(rank, n, device="cpu") as group:
            result = function(group)
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        traceback.print_exc()
        result = error
    sender.send(result)


def _result(receiver: Connection) -> Any:
    if not receiver.poll(SECONDS):
        raise TimeoutError("a process has not ended")
    try:
        return receiver.recv()
    except EOFError:
        return KILLED
