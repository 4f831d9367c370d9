"""Fixtures for the tests of the API: a client of the small site."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from movie.api.models import ApiClient, create_key


@pytest.fixture
def connect(client: Client, api_site: list) -> Callable[..., Callable[..., Any]]:
    """Return a function that makes a key with some scopes, and returns a function that sends with it."""

    def with_key(*scopes: str, slug: str = "shop") -> Callable[..., Any]:
        owner, _ = ApiClient.objects.get_or_create(slug=slug)
        token = create_key(owner, list(scopes)).token

        def send(method, path, body=None, status=200, key=token):
            response = client.generic(
                method,
                f"/api/v1/{path}",
                json.dumps(body) if body is not None else "",
                content_type="application/json",
                headers={"authorization": f"Bearer {key}"} if key else {},
            )
            assert response.status_code == status, response.content
            return response.json()

        return send

    return with_key
