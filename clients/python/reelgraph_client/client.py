"""The clients of the API: `Client` sends a call and waits, `AsyncClient` awaits it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from reelgraph_client import calls
from reelgraph_client.answers import MoviesWritten, Recorded
from reelgraph_client.calls import Call, PageOf, page_after
from reelgraph_client.chunks import (
    interaction_chunks,
    merge_recorded,
    merge_written,
    movie_chunks,
    refused_interactions,
    refused_movies,
)
from reelgraph_client.errors import Invalid
from reelgraph_client.requests import Interaction, MovieUpdate
from reelgraph_client.sending import TIMEOUT, Attempt, Retries, http_settings, read_answer, request_arguments

T = TypeVar("T")
P = ParamSpec("P")


def _copy_signature(build: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Copy the signature and the docstring of a call to a method, for help()."""
    functools.update_wrapper(method, build)
    method.__name__ = build.__name__
    del method.__dict__["__wrapped__"]
    signature = inspect.signature(build)
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[me, *signature.parameters.values()], return_annotation=answer
    )


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    _copy_signature(build, method)
    return method


def _awaiting(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    _copy_signature(build, method)
    return method


def _iterating(build: Callable[P, Call[PageOf[T]]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        call: Call[PageOf[T]] | None = build(*args, **kwargs)
        while call is not None:
            page = self._send(call)
            yield from page._items
            call = page_after(call, page)

    _describe_iterator(build, method)
    return method


def _iterating_async(
    build: Callable[P, Call[PageOf[T]]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        call: Call[PageOf[T]] | None = build(*args, **kwargs)
        while call is not None:
            page = await self._send(call)
            for item in page._items:
                yield item
            call = page_after(call, page)

    _describe_iterator(build, method)
    return method


def _describe_iterator(build: Callable[..., Any], method: Callable[..., Any]) -> None:
    _copy_signature(build, method)
    method.__doc__ = f"Iterate over all that `{build.__name__}` returns; pages are requested when needed."
    signature = inspect.signature(method).replace(return_annotation="iterator")
    method.__signature__ = signature  # type: ignore[attr-defined]


class Client:
    """A client of one site's API. Safe to share between threads; close it, or use it in a `with` block.

    base_url   of the site: https://films.example.org
    key        rg_...; without it only what every visitor of the site may read
    timeout    seconds for each of connecting, sending and waiting for an answer
    retries    see Retries
    transport  of httpx, for a proxy or a socket of your own
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.Client(**http_settings(base_url, key, timeout), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    recommend = _blocking(calls.recommend)
    recommend_to = _blocking(calls.recommend_to)
    recommend_batch = _blocking(calls.recommend_batch)
    movies_page = _blocking(calls.movies_page)
    movie = _blocking(calls.movie)
    change_movie = _blocking(calls.change_movie)
    hide_movie = _blocking(calls.hide_movie)
    genres = _blocking(calls.genres)
    people_page = _blocking(calls.people_page)
    similar = _blocking(calls.similar)
    search = _blocking(calls.search)
    record = _blocking(calls.record)
    history_page = _blocking(calls.history_page)
    forget = _blocking(calls.forget)
    users_page = _blocking(calls.users_page)
    models = _blocking(calls.models)
    activate = _blocking(calls.activate)
    experiments = _blocking(calls.experiments)
    experiment = _blocking(calls.experiment)
    create_experiment = _blocking(calls.create_experiment)
    start_experiment = _blocking(calls.start_experiment)
    stop_experiment = _blocking(calls.stop_experiment)
    delete_experiment = _blocking(calls.delete_experiment)
    promote = _blocking(calls.promote)
    movies = _iterating(calls.movies_page)
    people = _iterating(calls.people_page)
    search_movies = _iterating(calls.search)
    history = _iterating(calls.history_page)
    users = _iterating(calls.users_page)

    def put_movies(self, films: Iterable[MovieUpdate]) -> MoviesWritten:
        """Add or change films, MAX_MOVIES at a time. Sent again it changes nothing.

        Invalid ones are refused in their place of `results`, and the others are written.
        """
        written = []
        for some in movie_chunks(films):
            try:
                written.append(self._send(calls.put_some(some)))
            except Invalid as problem:
                written.append(refused_movies(problem, len(some)))
        return merge_written(written)

    def record_all(self, interactions: Iterable[Interaction], *, atomic: bool = False) -> Recorded:
        """Store many, MAX_INTERACTIONS at a time. Invalid ones are in `refused`, the others are stored.

        With `atomic` all are stored or none, and Invalid is raised; then they must fit in one request.
        """
        recorded = []
        for start, some in interaction_chunks(interactions, atomic):
            try:
                recorded.append((start, self._send(calls.record_some(some, atomic=atomic))))
            except Invalid as problem:
                if atomic:
                    raise
                recorded.append((start, refused_interactions(problem)))
        return merge_recorded(recorded)

    def _send(self, call: Call[T]) -> T:
        attempt = Attempt(call, self._retries)
        while True:
            try:
                response = self._http.request(**request_arguments(call))
                wait = attempt.wait_after(response)
                if wait is None:
                    return read_answer(call, response)
            except httpx.HTTPError as error:
                wait = attempt.wait_after_failure(error)
            time.sleep(wait)


class AsyncClient:
    """An asynchronous `Client`, with methods to await and iterators for `async for`.

    Close it with `aclose`, or use it in an `async with` block.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(**http_settings(base_url, key, timeout), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    recommend = _awaiting(calls.recommend)
    recommend_to = _awaiting(calls.recommend_to)
    recommend_batch = _awaiting(calls.recommend_batch)
    movies_page = _awaiting(calls.movies_page)
    movie = _awaiting(calls.movie)
    change_movie = _awaiting(calls.change_movie)
    hide_movie = _awaiting(calls.hide_movie)
    genres = _awaiting(calls.genres)
    people_page = _awaiting(calls.people_page)
    similar = _awaiting(calls.similar)
    search = _awaiting(calls.search)
    record = _awaiting(calls.record)
    history_page = _awaiting(calls.history_page)
    forget = _awaiting(calls.forget)
    users_page = _awaiting(calls.users_page)
    models = _awaiting(calls.models)
    activate = _awaiting(calls.activate)
    experiments = _awaiting(calls.experiments)
    experiment = _awaiting(calls.experiment)
    create_experiment = _awaiting(calls.create_experiment)
    start_experiment = _awaiting(calls.start_experiment)
    stop_experiment = _awaiting(calls.stop_experiment)
    delete_experiment = _awaiting(calls.delete_experiment)
    promote = _awaiting(calls.promote)
    movies = _iterating_async(calls.movies_page)
    people = _iterating_async(calls.people_page)
    search_movies = _iterating_async(calls.search)
    history = _iterating_async(calls.history_page)
    users = _iterating_async(calls.users_page)

    async def put_movies(self, films: Iterable[MovieUpdate]) -> MoviesWritten:
        """Add or change films, as `Client.put_movies`."""
        written = []
        for some in movie_chunks(films):
            try:
                written.append(await self._send(calls.put_some(some)))
            except Invalid as problem:
                written.append(refused_movies(problem, len(some)))
        return merge_written(written)

    async def record_all(self, interactions: Iterable[Interaction], *, atomic: bool = False) -> Recorded:
        """Store many, as `Client.record_all`."""
        recorded = []
        for start, some in interaction_chunks(interactions, atomic):
            try:
                recorded.append((start, await self._send(calls.record_some(some, atomic=atomic))))
            except Invalid as problem:
                if atomic:
                    raise
                recorded.append((start, refused_interactions(problem)))
        return merge_recorded(recorded)

    async def _send(self, call: Call[T]) -> T:
        attempt = Attempt(call, self._retries)
        while True:
            try:
                response = await self._http.request(**request_arguments(call))
                wait = attempt.wait_after(response)
                if wait is None:
                    return read_answer(call, response)
            except httpx.HTTPError as error:
                wait = attempt.wait_after_failure(error)
            await asyncio.sleep(wait)
