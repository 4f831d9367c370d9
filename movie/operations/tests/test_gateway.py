"""The gateway reads bodies with a deadline, before it takes a thread, and keeps threads for probes."""

import asyncio
import threading
from io import BytesIO
from types import SimpleNamespace

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from movie.api.problems import MEDIA_TYPE, ProblemDetails
from movie.operations.gateway import GROUPED_PATH, IN_MEMORY, Gateway

CHUNKED_JSON = {"transfer_encoding": "chunked", "content_type": "application/json"}


class Protocol:
    """Granian's side of a request: chunks that come, with pauses, and what was answered."""

    def __init__(self, *chunks: bytes, pause: float = 0.0) -> None:
        self.chunks, self.pause = chunks, pause
        self.status, self.headers, self.body = 0, [], b""
        self.was_read = False

    async def __call__(self) -> bytes:
        return b"".join([chunk async for chunk in self])

    async def __aiter__(self):
        self.was_read = True
        for chunk in self.chunks:
            await asyncio.sleep(self.pause)
            yield chunk

    def response_bytes(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def response_str(self, status, headers, body):
        self.response_bytes(status, headers, body.encode())

    def response_stream(self, status, headers):
        self.response_bytes(status, headers, b"")
        return self

    async def send_bytes(self, chunk):
        self.body += chunk


class Headers(dict):
    def items(self):
        return [(name, value) for name, values in super().items() for value in values]

    def get(self, name, default=None):
        return self[name][0] if name in self else default


def scope(path="/", method="POST", http_version="1.1", **headers):
    named = Headers({name.replace("_", "-"): [str(value)] for name, value in headers.items()})
    return SimpleNamespace(
        proto="http", http_version=http_version, scheme="http",
        server="127.0.0.1:8000", client="[2001:db8::1]:5000",
        method=method, path=path, query_string="a=%20", authority=None, headers=named,
    )  # fmt: skip


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    response = HttpResponse(body, headers={"Path": environ["PATH_INFO"], "Address": environ["REMOTE_ADDR"]})
    start_response("200 OK", list(response.items()))
    return response


def ask(application, asked, protocol) -> Protocol:
    asyncio.run(Gateway(application).__rsgi__(asked, protocol))
    return protocol


@pytest.mark.parametrize("size", [1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_any_size_arrives_whole(size, is_chunked):
    chunks = [b"x" * 1000] * (size // 1000) + [b"y" * (size % 1000)]
    headers = CHUNKED_JSON if is_chunked else {"content_length": size}
    answer = ask(echo, scope("/a b/é", **headers), Protocol(*chunks))
    assert (answer.status, answer.body) == (200, b"".join(chunks))
    assert dict(answer.headers)["Path"] == "/a b/é".encode().decode("latin-1")
    assert dict(answer.headers)["Address"] == "2001:db8::1"


@pytest.mark.parametrize("headers", [{"content_length": 9}, CHUNKED_JSON])
def test_a_body_that_does_not_arrive_in_time_is_refused_and_takes_no_thread(settings, headers):
    settings.BODY_SECONDS = 0.05
    answer = ask(
        lambda *_: pytest.fail("a thread was taken"), scope(**headers), Protocol(b"1", b"2", b"3", pause=0.04)
    )
    assert answer.status == 408


def test_a_body_that_no_view_takes_is_not_read(settings):
    settings.ADMIN_UPLOAD_MB = 1
    seen = {}

    def note(environ, start_response):
        seen.update(environ)
        return echo({**environ, "CONTENT_LENGTH": "0"}, start_response)

    answer = ask(note, scope(content_length=10**9), Protocol(b"x" * 1000))
    assert not answer.was_read
    assert seen["CONTENT_LENGTH"] == str(10**9), "by which Django refuses it"
    endless = ask(note, scope(**CHUNKED_JSON), Protocol(*[b"x" * 10**6] * 12))
    assert endless.was_read
    assert 5 * 1024**2 < int(seen["CONTENT_LENGTH"]) < 8 * 1024**2


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (400, {"content_length": 10**6}),
        (411, {"transfer_encoding": "chunked", "content_type": "text/csv"}),
        (411, {"transfer_encoding": "chunked", "content_type": "application/json-seq"}),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/recommend"])
def test_a_body_that_may_be_a_part_reaches_no_view(status, headers, path):
    answer = ask(lambda *_: pytest.fail("a view was asked"), scope(path, **headers), Protocol(b"1,2\n"))
    assert answer.status == status
    if path == "/":
        assert dict(answer.headers)["content-type"].startswith("text/plain")
        return
    assert dict(answer.headers)["content-type"] == MEDIA_TYPE
    problem = ProblemDetails.model_validate_json(answer.body)
    assert problem.status == status and problem.detail


def test_media_types_ignore_case():
    headers = {"transfer_encoding": "chunked", "content_type": "Application/JSON; charset=utf-8"}
    assert ask(echo, scope(**headers), Protocol(b"[]")).body == b"[]"


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ([b"[1,", b"2]"], {"content_type": "application/json"}, 200),
        ([b"[1,", b"2]"], {"content_type": "application/json", "content_length": 5}, 200),
        ([b"1,2\n", b"3,4\n"], {"content_type": "text/csv"}, 411),
        ([b"1,2\n"], {"content_type": "text/csv", "content_length": 4}, 200),
        ([], {"content_type": "text/csv"}, 200),
        ([], {}, 200),
    ],
)
def test_of_http_2_a_body_may_come_that_no_header_tells_of(chunks, headers, status):
    answer = ask(echo, scope(http_version="2", **headers), Protocol(*chunks))
    assert answer.status == status
    assert status == 411 or answer.body == b"".join(chunks)


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("HEAD", {}), ("POST", {"content_length": 0})])
def test_of_http_2_no_body_is_waited_for_where_none_comes(method, headers):
    answer = ask(echo, scope(method=method, http_version="2", **headers), Protocol())
    assert answer.status == 200 and not answer.was_read


def test_a_stream_is_sent_as_it_is_made():
    def stream(environ, start_response):
        response = StreamingHttpResponse([b"1", b"2", b"3"])
        start_response("200 OK", list(response.items()))
        return response

    assert ask(stream, scope(method="GET"), Protocol()).body == b"123"


def test_probes_are_answered_while_every_thread_is_taken(settings):
    settings.WEB_THREADS = 2
    done, n_busy = threading.Event(), threading.Semaphore(0)

    def work(environ, start_response):
        if not environ["PATH_INFO"].startswith("/health/"):
            n_busy.release()
            assert done.wait(20)
        return echo({**environ, "wsgi.input": BytesIO()}, start_response)

    async def scenario() -> list[int]:
        gateway = Gateway(work)
        busy = [asyncio.create_task(gateway.__rsgi__(scope("/"), Protocol())) for _ in range(5)]
        while not n_busy.acquire(blocking=False):
            await asyncio.sleep(0.01)
        probe = Protocol()
        await asyncio.wait_for(gateway.__rsgi__(scope("/health/live", "GET"), probe), 10)
        done.set()
        await asyncio.gather(*busy)
        return [probe.status]

    assert asyncio.run(scenario()) == [200]


def test_requests_for_lists_that_come_meanwhile_are_answered_together_by_one_thread(monkeypatch):
    monkeypatch.setattr("movie.operations.gateway.PATIENCE_SECONDS", 20)  # the loop may have its turn late
    begun, go_on, threads = threading.Event(), threading.Event(), []

    def work(environ, start_response):
        if not threads:
            begun.set()
            assert go_on.wait(20)
        threads.append(threading.current_thread())
        if environ["wsgi.input"].read() == b"fail":
            raise ZeroDivisionError
        return echo({**environ, "wsgi.input": BytesIO()}, start_response)

    async def scenario() -> list[int | BaseException]:
        gateway = Gateway(work)
        asked = scope(GROUPED_PATH, content_length=4)
        running = [asyncio.create_task(gateway.__rsgi__(asked, each)) for each in answers[:1]]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        running += [asyncio.create_task(gateway.__rsgi__(asked, each)) for each in answers[1:]]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*running, return_exceptions=True)
        return [each.status for each in answers]

    answers = [Protocol(b"good") for _ in range(4)] + [Protocol(b"fail")]
    assert asyncio.run(scenario()) == [200, 200, 200, 200, 0]
    assert len(set(threads[1:])) == 1


def test_answers_are_sent_by_the_threads_that_made_them():
    """So the event loop is woken once for a group, and nobody waits for it."""
    senders = []

    class Noted(Protocol):
        def response_bytes(self, status, headers, body):
            senders.append(threading.current_thread().name)
            super().response_bytes(status, headers, body)

    async def scenario() -> None:
        gateway = Gateway(echo)
        answers = [Noted() for _ in range(4)]
        paths = ("/", *[GROUPED_PATH] * 3)
        await asyncio.gather(
            *(gateway.__rsgi__(scope(path), answer) for path, answer in zip(paths, answers, strict=True))
        )
        assert [answer.status for answer in answers] == [200] * 4

    asyncio.run(scenario())
    assert len(senders) == 4 and all(name.startswith(("web", "group")) for name in senders)


def test_groups_are_answered_by_one_thread_unless_it_takes_long(monkeypatch):
    monkeypatch.setattr("movie.operations.gateway.PATIENCE_SECONDS", 1)  # a thread may begin late
    threads, go_on = [], threading.Event()

    def application(variables, start_response):
        threads.append(threading.current_thread().name)
        if "HTTP_SLOW" in variables:
            go_on.wait(10)
        return echo(variables, start_response)

    async def scenario() -> None:
        gateway = Gateway(application)
        for _ in range(3):
            await gateway.__rsgi__(scope(GROUPED_PATH), Protocol())
        slow = asyncio.create_task(gateway.__rsgi__(scope(GROUPED_PATH, slow=1), Protocol()))
        while len(threads) < 4:
            await asyncio.sleep(0.01)
        for _ in range(2):
            await asyncio.wait_for(gateway.__rsgi__(scope(GROUPED_PATH), Protocol()), 5)
        go_on.set()
        await slow
        await gateway.__rsgi__(scope(GROUPED_PATH), Protocol())

    asyncio.run(scenario())
    own, others = {*threads[:4], threads[6]}, threads[4:6]
    assert len(own) == 1 and not own & {*others}


@pytest.mark.parametrize("path", ["/", GROUPED_PATH])
def test_an_answer_that_cannot_be_sent_is_closed_and_is_an_error_of_its_own_request(path):
    class Broken(Protocol):
        def response_bytes(self, status, headers, body):
            raise OSError("the connection is gone")

    async def scenario() -> list:
        gateway = Gateway(closes_are_counted)
        asked = [gateway.__rsgi__(scope(path), each) for each in (Protocol(), Broken(), good)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

    closed = []

    def closes_are_counted(environ, start_response):
        response = echo({**environ, "wsgi.input": BytesIO()}, start_response)
        response.close = lambda: closed.append(environ["PATH_INFO"])
        return response

    good = Protocol()
    first, broken, third = asyncio.run(scenario())
    assert (first, third, good.status) == (None, None, 200)
    assert isinstance(broken, OSError if path == "/" else RuntimeError)
    assert closed == [path] * 3, "else connections to the database would be left open"


@pytest.mark.parametrize("path", ["/", GROUPED_PATH])
def test_a_sender_who_has_gone_leaves_the_others_their_answers(path):
    """Their request is cancelled; the thread that makes the answer goes on, and sends it to nobody."""
    begun, go_on = threading.Event(), threading.Event()

    def work(environ, start_response):
        begun.set()
        assert go_on.wait(20)
        return echo({**environ, "wsgi.input": BytesIO()}, start_response)

    async def scenario() -> None:
        unhandled = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        gateway, gone, other = Gateway(work), Protocol(), Protocol()
        leaving = asyncio.create_task(gateway.__rsgi__(scope(path), gone))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        staying = asyncio.create_task(gateway.__rsgi__(scope(path), other))
        await asyncio.sleep(0)
        leaving.cancel()
        go_on.set()
        await asyncio.wait_for(staying, 10)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        later = Protocol()
        await asyncio.wait_for(gateway.__rsgi__(scope(path), later), 10)
        assert (other.status, later.status, unhandled) == (200, 200, [])

    asyncio.run(scenario())


def test_a_request_for_a_list_that_hangs_does_not_keep_the_others_waiting():
    hangs, go_on = threading.Event(), threading.Event()

    def work(environ, start_response):
        if not hangs.is_set():
            hangs.set()
            assert go_on.wait(20)
        return echo({**environ, "wsgi.input": BytesIO()}, start_response)

    async def scenario() -> None:
        gateway = Gateway(work)
        first = asyncio.create_task(gateway.__rsgi__(scope(GROUPED_PATH), Protocol()))
        while not hangs.is_set():
            await asyncio.sleep(0.001)
        others = [gateway.__rsgi__(scope(GROUPED_PATH), Protocol()) for _ in range(3)]
        await asyncio.wait_for(asyncio.gather(*others), 10)
        assert not first.done()
        go_on.set()
        await first

    asyncio.run(scenario())


def test_each_of_a_group_is_answered_when_it_is_done_and_none_begins_after_a_slow_one():
    """The first holds the thread until all are there; the third is slow, the fourth has another thread."""
    begun, go_on, slow, threads = threading.Event(), threading.Event(), threading.Event(), {}

    def work(environ, start_response):
        name = environ["wsgi.input"].read()
        threads[name] = threading.current_thread()
        if name == b"1":
            begun.set()
            assert go_on.wait(20)
        if name == b"3":
            assert slow.wait(20)
        return echo({**environ, "wsgi.input": BytesIO()}, start_response)

    async def scenario() -> None:
        gateway = Gateway(work)

        running, answers = [], []

        def start(name):
            asked = scope(GROUPED_PATH, content_length=1)
            answers.append(Protocol(name))
            running.append(asyncio.create_task(gateway.__rsgi__(asked, answers[-1])))

        start(b"1")
        while not begun.is_set():
            await asyncio.sleep(0.001)
        for name in (b"2", b"3", b"4"):
            start(name)
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(10):
            while [each.status for each in answers] != [200, 200, 0, 200]:
                await asyncio.sleep(0.001)
        slow.set()
        await asyncio.gather(*running)
        assert answers[2].status == 200

    asyncio.run(scenario())
    assert threads[b"4"] is not threads[b"3"]


def test_an_application_that_breaks_in_whatever_way_leaves_nobody_without_an_answer(caplog, monkeypatch):
    def leave(environ, start_response):
        raise SystemExit

    async def scenario(gateway) -> list[BaseException | None]:
        asked = [gateway.__rsgi__(scope(GROUPED_PATH), Protocol()) for _ in range(3)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

    assert [type(each) for each in asyncio.run(scenario(Gateway(leave)))] == [RuntimeError] * 3
    assert "a request failed" in caplog.text

    def break_down(functions):
        next(functions)
        raise MemoryError

    monkeypatch.setattr("movie.operations.gateway.run_together", break_down)
    assert [type(each) for each in asyncio.run(scenario(Gateway(echo)))] == [RuntimeError] * 3
    assert "a group of requests failed" in caplog.text
