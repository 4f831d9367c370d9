"""Requests that may read the catalogue from a replica, and those that read the primary."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from movie.catalogue.models import Movie, Rating
from movie.core.replicas import ReplicaMiddleware, ReplicaRouter, reading_primary


def database_of(request, model=Movie):
    asked = []

    def view(_request):
        asked.append(ReplicaRouter().db_for_read(model))
        return HttpResponse()

    ReplicaMiddleware(view)(request)
    return asked[0]


def test_the_catalogue_alone_is_read_from_the_replica():
    request = RequestFactory().get("/")
    assert database_of(request) == "replica"
    assert database_of(request, Rating) == "default"


@pytest.mark.parametrize(
    ("method", "path", "authorization", "expected"),
    [
        ("get", "/api/v1/movies/7", "", "replica"),
        ("get", "/browse/", "Basic dTpw", "replica"),
        ("get", "/api/v1/movies/7", "Bearer rg_key", "default"),
        ("get", "/api/v1/movies/7", "bearer rg_key", "default"),
        ("get", "/admin/catalogue/movie/", "", "default"),
        ("post", "/movies/7/rate/", "", "default"),
    ],
)
def test_those_who_may_have_written_read_the_primary(method, path, authorization, expected):
    headers = {"Authorization": authorization} if authorization else {}
    assert database_of(getattr(RequestFactory(), method)(path, headers=headers)) == expected


def test_the_admin_of_a_site_below_a_path_reads_the_primary():
    assert database_of(RequestFactory().get("/admin/", SCRIPT_NAME="/films")) == "default"
    assert database_of(RequestFactory().get("/browse/", SCRIPT_NAME="/admin")) == "replica"


def test_what_outlives_a_request_is_read_from_the_primary():
    @reading_primary()
    def read():
        return ReplicaRouter().db_for_read(Movie)

    def view(_request):
        asked.extend([read(), ReplicaRouter().db_for_read(Movie)])
        return HttpResponse()

    asked = []
    ReplicaMiddleware(view)(RequestFactory().get("/"))
    assert asked == ["default", "replica"]
