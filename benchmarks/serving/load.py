"""Load: closed loops by wrk where it is installed, else by a small loader of our own, and open ones by it.

In a closed loop a connection waits for its answer before it asks again, so a slow server is asked less. In an
open one requests come at their own rate, as people do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

try:
    from uvloop import run as _run  # it is late by less and takes a quarter less CPU than asyncio's loop
except ImportError:
    _run = asyncio.run

OURS = "a loader in Python (wrk is not installed: apt-get install wrk), which takes more of the machine"
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Load:
    """What a loader saw. `waits` counts requests by how long they took, in microseconds."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    waits: Counter[int] = field(default_factory=Counter)

    def __iadd__(self, other: Load) -> Load:
        self.requests += other.requests
        self.errors += other.errors
        self.seconds += other.seconds
        self.waits.update(other.waits)
        return self

    def percentile_ms(self, share: float) -> float:
        wanted, reached = share * sum(self.waits.values()), 0
        for wait, count in sorted(self.waits.items()):
            reached += count
            if reached >= wanted:
                return wait / 1000
        return float("nan")


def loader_name() -> str:
    return "wrk, one thread" if shutil.which("wrk") else OURS


def run_load(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Load:
    """Each connection sends the next of these requests as soon as it has its answer, over and over."""
    load = _by_wrk if shutil.which("wrk") else finish_load
    return load(port, requests, connections=connections, seconds=seconds)


def finish_load(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Load:
    """The same by Python, which does not cut off the last requests: for few long ones."""
    return _run(_by_python(port, requests, connections, seconds))


def run_at_rate(
    port: int, requests: Sequence[Request], *, rate: float, seconds: float, connections: int
) -> Load:
    """Send `rate` requests a second, each at its own moment, whether those before it are answered or not.

    A wait is counted from the moment at which the request was to be sent, also where no connection was free
    or this loader was late: what a server that falls behind makes people wait.
    """
    return _run(_at_rate(port, requests, rate, seconds, connections))


# -- wrk -------------------------------------------------------------------------------------------

_SCRIPT = """
local requests = {{}}
local place = 0
function init(arguments)
  {requests}
end
function request()
  place = place % #requests + 1
  return requests[place]
end
function done(summary, latency)
  local waits = {{}}
  for i = 1, #latency do
    local wait, count = latency(i)
    waits[i] = '[' .. wait .. ',' .. count .. ']'
  end
  local e = summary.errors
  io.write(string.format('\\nfigures {{"requests": %d, "micros": %d, "errors": %d, "waits": [%s]}}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    table.concat(waits, ',')))
end
"""


def _by_wrk(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", f"{_TIMEOUT_SECONDS}s"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_SCRIPT.format(requests="\n  ".join(map(_in_lua, requests))), encoding="utf-8")
        command += ["-s", str(script), f"http://127.0.0.1:{port}/"]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    if ended.stderr:
        raise RuntimeError(f"wrk: {ended.stderr}")
    figures = json.loads(ended.stdout.partition("\nfigures ")[2])
    return Load(
        figures["requests"], figures["errors"], figures["micros"] / 1e6, Counter(dict(figures["waits"]))
    )


def _in_lua(request: Request) -> str:
    headers = ", ".join(f"[ {_quoted(name)} ] = {_quoted(value)}" for name, value in _headers(request))
    body = _quoted(request.body) if request.body else "nil"
    call = f"wrk.format({_quoted(request.method)}, {_quoted(request.path)}, {{{headers}}}, {body})"
    return f"requests[#requests + 1] = {call}"


def _quoted(text: str) -> str:
    return f"[==[{text}]==]"


def _headers(request: Request) -> Iterable[tuple[str, str]]:
    yield from request.headers
    if request.body:
        yield "Content-Type", "application/json"


# -- by Python -------------------------------------------------------------------------------------


async def _by_python(port: int, requests: Sequence[Request], connections: int, seconds: float) -> Load:
    load = Load()
    sent = [_as_bytes(request) for request in requests]
    started = time.perf_counter()
    places = iter(range(10**12))

    async def loop() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - started < seconds:
            before = time.perf_counter()
            writer.write(sent[next(places) % len(sent)])
            status = await _status_of_answer(reader)
            load.waits[round((time.perf_counter() - before) * 1e6)] += 1
            load.requests += 1
            load.errors += status >= HTTPStatus.BAD_REQUEST
        writer.close()

    ended = await asyncio.gather(*(loop() for _ in range(connections)), return_exceptions=True)
    load.errors += sum(each is not None for each in ended)
    load.seconds = time.perf_counter() - started
    return load


async def _at_rate(
    port: int, requests: Sequence[Request], rate: float, seconds: float, connections: int
) -> Load:
    load = Load()
    sent = [_as_bytes(request) for request in requests]
    limit = asyncio.Semaphore(connections)
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(number: int, due: float) -> None:
        async with limit:
            try:
                reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent[number % len(sent)])
                status = await _status_of_answer(reader)
            except (OSError, TimeoutError, EOFError, ValueError):
                load.errors += 1
                return
            free.append((reader, writer))
        load.waits[round((time.perf_counter() - due) * 1e6)] += 1
        load.requests += 1
        load.errors += status >= HTTPStatus.BAD_REQUEST

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(round(rate * seconds)):
            due = started + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(send(number, due))
    load.seconds = time.perf_counter() - started
    for _reader, writer in free:
        writer.close()
    return load


async def _status_of_answer(reader: asyncio.StreamReader) -> int:
    """Reads one answer to its end. Raises ValueError on one that does not tell its length."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _TIMEOUT_SECONDS)).decode("latin-1").lower()
    _, found, rest = head.partition("\r\ncontent-length:")
    if not found:
        raise ValueError("an answer without Content-Length")
    await reader.readexactly(int(rest.partition("\r\n")[0]))
    return int(head.split()[1])


def _as_bytes(request: Request) -> bytes:
    body = request.body.encode()
    lines = [f"{request.method} {request.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in _headers(request)]
    return "\r\n".join([*lines, "", ""]).encode() + body
