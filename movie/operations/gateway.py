"""Lead from RSGI, granian's own interface, to the site's WSGI application, so that no slow body stops it.

A body is read before a thread is taken for its request, within `settings.BODY_SECONDS`; later ones get 408.
A body that ends before its stated length reaches no view, nor does one of unknown length that is not JSON.
Probes have threads of their own. So neither senders that dawdle nor requests that compute keep anybody from
the probes, and only the latter from pages. Requests to `POST /api/v1/recommend` that come while others are
answered are answered together by one thread (`movie.recommendations.micro_batching`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from granian.rsgi import ProtocolClosed

from movie.core.request_limits import longest_body
from movie.operations.probes import PROBES
from movie.recommendations.micro_batching import MAX_TOGETHER, run_together

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from granian.rsgi import Headers, HTTPProtocol, Scope

log = logging.getLogger(__name__)

PROBE_THREADS = 2
WATCH_SECONDS, END_SECONDS = 1.0, 10.0
IN_MEMORY = 256 * 1024  # bytes of a body; a longer one is kept on the disk
LONGEST_NUMBER = 19  # digits
WITHOUT_BODY = ("GET", "HEAD")
GROUPED_PATH = "/api/v1/recommend"  # the address whose requests are answered together
PATIENCE_SECONDS = 0.05  # after which a group takes no further request, but another thread does
HeaderList = list[tuple[str, str]]
Stream = tuple[int, HeaderList, Iterable[bytes]]  # status, headers, and parts that are sent one by one
Answered = asyncio.Future[Stream | None]  # None once the answer is sent
Waiting = tuple[dict[str, Any], "HTTPProtocol", Answered]  # a request, with its WSGI environment


class Gateway:
    """Answers RSGI requests by a WSGI application in `settings.WEB_THREADS` threads, two at least.

    One of them is for groups.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application
        self.threads = ThreadPoolExecutor(max(settings.WEB_THREADS - 1, 1), "web")
        # Of all threads each would take a group in turn, and find nothing of its own in the caches.
        self.group_thread = ThreadPoolExecutor(1, "group")
        self.is_group_thread_busy = False
        self.probe_threads = ThreadPoolExecutor(PROBE_THREADS, "probe")
        self.waiting: deque[Waiting] = deque()
        self.group_timer: asyncio.TimerHandle | None = None  # of the group that takes requests now

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch the server's main process, of which this is a worker."""
        self.watching = loop.create_task(_end_with(os.getppid()))

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Read the body, answer in a thread, send the answer."""
        if scope.proto != "http":
            return
        try:
            body, length = await _receive(protocol, scope)
        except ProtocolClosed:  # the sender has gone
            return
        except _RefusedError as error:
            _refuse(protocol, error, is_api=scope.path.startswith("/api/"))
            return
        with body:
            threads = self.probe_threads if scope.path in PROBES else self.threads
            loop = asyncio.get_running_loop()
            variables = _environ(scope, body, length)
            if scope.path == GROUPED_PATH:
                answer = self._answer_together(loop, variables, protocol)
            else:
                answer = loop.run_in_executor(threads, self._answer, variables, protocol)
            stream = await answer
            if stream is None:
                return
            status, answer_headers, content = stream
            transport = protocol.response_stream(status, answer_headers)
            chunks = iter(content)
            try:
                while (chunk := await loop.run_in_executor(threads, next, chunks, None)) is not None:
                    await transport.send_bytes(chunk)
            except ProtocolClosed:
                log.debug("%s: the reader has gone", scope.path)
            finally:
                await loop.run_in_executor(threads, content.close)  # type: ignore[attr-defined]

    def _answer_together(
        self, loop: asyncio.AbstractEventLoop, variables: dict[str, Any], protocol: HTTPProtocol
    ) -> Answered:
        """Return the answer that a request will have, with those that come before a thread is free for it."""
        answer: Answered = loop.create_future()
        self.waiting.append((variables, protocol, answer))
        if self.group_timer is None:
            self._start_group(loop)
        return answer

    def _start_group(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a thread answer those who wait, if any do; it is the only one, unless it takes long."""
        if not self.waiting:
            self.group_timer = None
            return
        self.group_timer = loop.call_later(PATIENCE_SECONDS, self._start_group, loop)
        is_first = not self.is_group_thread_busy
        self.is_group_thread_busy = True
        threads = self.group_thread if is_first else self.threads
        threads.submit(self._answer_group, loop, self.group_timer, is_first)

    def _answer_group(
        self, loop: asyncio.AbstractEventLoop, timer: asyncio.TimerHandle, is_first: bool
    ) -> None:
        """Answer those who wait, each as soon as its answer is made; the loop hears of all at the end.

        `is_first` where the thread for groups does it, and no other because that one takes long.
        """
        taken: list[Answered] = []
        sent: set[Answered] = set()

        def end() -> None:
            for answer in taken:
                if answer in sent:
                    _deliver(answer, None)
                else:
                    _fail(answer)
            if is_first:
                self.is_group_thread_busy = False
            if self.group_timer is timer:  # nobody has taken over
                timer.cancel()
                self._start_group(loop)

        try:
            run_together(self._take(loop, taken, sent))
        except BaseException:
            log.exception("a group of requests failed")
        finally:
            loop.call_soon_threadsafe(end)

    def _take(
        self, loop: asyncio.AbstractEventLoop, taken: list[Answered], sent: set[Answered]
    ) -> Iterator[Callable[[], None]]:
        """Yield what answers a request, one after another for `PATIENCE_SECONDS`, while any waits."""
        until = time.monotonic() + PATIENCE_SECONDS
        while len(taken) < MAX_TOGETHER and time.monotonic() < until:
            try:
                variables, protocol, answer = self.waiting.popleft()
            except IndexError:
                return
            taken.append(answer)
            yield partial(self._answer_one, loop, variables, protocol, answer, sent)

    def _answer_one(
        self,
        loop: asyncio.AbstractEventLoop,
        variables: dict[str, Any],
        protocol: HTTPProtocol,
        answer: Answered,
        sent: set[Answered],
    ) -> None:
        try:
            stream = self._answer(variables, protocol)
        except BaseException:  # of any kind: else the sender would wait for ever
            log.exception("a request failed")
            loop.call_soon_threadsafe(_fail, answer)
        else:
            if stream is None:
                sent.add(answer)
            else:
                loop.call_soon_threadsafe(_deliver, answer, stream)

    def _answer(self, variables: dict[str, Any], protocol: HTTPProtocol) -> Stream | None:
        """Send the answer from this thread, or return what is to be streamed."""
        begun: list[Any] = []  # what the application told start_response
        content: Any = self.application(variables, lambda *arguments: begun.extend(arguments))  # type: ignore[arg-type]
        status, headers = int(begun[0].partition(" ")[0]), begun[1]
        if getattr(content, "streaming", False) or not hasattr(content, "content"):
            return status, headers, content
        try:
            protocol.response_bytes(status, headers, content.content)
        finally:
            content.close()
        return None


def _deliver(answer: Answered, made: Stream | None) -> None:
    if not answer.done():  # as it is once the sender has gone
        answer.set_result(made)


def _fail(answer: Answered) -> None:
    if not answer.done():
        answer.set_exception(RuntimeError("The request failed; the log says how."))


async def _end_with(parent: int) -> None:
    """End this worker once its parent has died, however it did: an orphan would keep the port."""
    while os.getppid() == parent:
        await asyncio.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(END_SECONDS)
    os._exit(1)


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


async def _receive(protocol: HTTPProtocol, scope: Scope) -> tuple[IO[bytes], int]:
    """Return the body and its length. Raises ProtocolClosed once the sender has gone, and _RefusedError."""
    headers = scope.headers
    stated = headers.get("content-length") or "0"
    length = int(stated) if stated.isdecimal() and len(stated) < LONGEST_NUMBER else 0
    if length > longest_body():
        return BytesIO(), length  # unread: no view takes it, and Django refuses it by its length
    if not length and not _has_unknown_length(scope):
        return BytesIO(), 0
    # Granian does not say whether a body of unknown length came whole. JSON does; a part of a file would
    # pass for it.
    most = longest_body() if length or _is_json(headers) else 0
    try:
        async with asyncio.timeout(settings.BODY_SECONDS):
            body, n_read = await _read(protocol, length, most)
    except TimeoutError:
        detail = f"The body did not arrive within {settings.BODY_SECONDS:g} seconds."
        raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    if n_read < length:
        body.close()
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "The body ended before its stated length.")
    if n_read and not most:
        body.close()
        raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "Only JSON may come without Content-Length.")
    return body, n_read


def _has_unknown_length(scope: Scope) -> bool:
    """Return whether a body may come whose length is not stated; HTTP/2 does not say beforehand."""
    if scope.http_version == "2":
        return "content-length" not in scope.headers and scope.method not in WITHOUT_BODY
    return "transfer-encoding" in scope.headers


def _is_json(headers: Headers) -> bool:
    return (headers.get("content-type") or "").partition(";")[0].strip().lower() == "application/json"


async def _read(protocol: HTTPProtocol, length: int, most: int) -> tuple[IO[bytes], int]:
    """Return the body, to somewhat above `most` bytes, and its length.

    One that is long or of unknown length is kept in a file.
    """
    if 0 < length <= IN_MEMORY:
        content = await protocol()
        return BytesIO(content), len(content)
    length = 0
    body = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it outlives this function
    try:
        async for chunk in protocol:
            length += len(chunk)
            if length > most:
                break
            body.write(chunk)
    except BaseException:
        body.close()
        raise
    body.seek(0)
    return body, length


def _environ(scope: Scope, body: IO[bytes], length: int) -> dict[str, Any]:
    """Return the WSGI environment of a request (PEP 3333)."""
    host, _, port = scope.server.rpartition(":")
    variables: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.authority:
        variables["HTTP_HOST"] = scope.authority  # HTTP/2 has it in place of the header
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            variables[key] = value
        elif key != "CONTENT_LENGTH":
            earlier = variables.get(f"HTTP_{key}")
            variables[f"HTTP_{key}"] = value if earlier is None else f"{earlier},{value}"
    if length:
        variables["CONTENT_LENGTH"] = str(length)
    return variables


def _refuse(protocol: HTTPProtocol, error: _RefusedError, *, is_api: bool) -> None:
    kind, text = "text/plain; charset=utf-8", f"{error.detail}\n"
    if is_api:  # as movie.api.problems has it
        kind = "application/problem+json"
        problem = {"type": "about:blank", "title": error.status.phrase, "status": error.status}
        text = json.dumps({**problem, "detail": error.detail, "errors": []})
    protocol.response_str(error.status, [("content-type", kind), ("connection", "close")], text)
