"""Tests of the reference page, the OpenAPI document and the commands of the API's documents."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as site
from django.contrib.staticfiles import finders

from movie.api.models import SCOPES, ApiClient, create_key
from movie.api.v1 import description
from movie.training.registry import registry

MANUALS = [Path(site.BASE_DIR) / "docs" / name for name in ("api.md", "experiments.md")]
BLOCK = re.compile(r"```sh\n(?P<commands>.*?)```(?:\n```json\n(?P<answer>.*?)```)?", re.DOTALL)
LINE = re.compile(r"^curl .*?(?=^curl |\Z)", re.DOTALL | re.MULTILINE)
BLOCKS = [block for manual in MANUALS for block in BLOCK.finditer(manual.read_text(encoding="utf-8"))]


def call(client, command: str):
    """Send the request of a curl command through the test client."""
    _curl, *words = shlex.split(command.replace("\\\n", " "))
    address, body, method, headers = "", None, None, {}
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            body = words.pop(0)
        elif word == "-X":
            method = words.pop(0)
        else:
            address = word
    parts = urlsplit(address)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if body is not None:
        content_type = headers.pop("content-type")
        return client.generic(method or "POST", path, body, content_type=content_type, headers=headers)
    return client.generic(method or "GET", path, headers=headers)


@pytest.fixture
def key(api_site) -> str:
    return create_key(ApiClient.objects.create(slug="reader"), list(SCOPES)).token


def has(answer: Any, shown: Any) -> bool:
    """Whether the answer has every shown field, at the same path."""
    if isinstance(shown, dict):
        return all(name in answer and has(answer[name], value) for name, value in shown.items())
    if isinstance(shown, list) and shown:
        return bool(answer) and any(has(each, shown[0]) for each in answer)
    return True


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["commands"][30:80])
def test_every_line_of_the_manual_works(client, key, block):
    commands = block["commands"]
    variables = {"$KEY": key, "$VERSION": registry().store.current("popular")}
    if "$LIST" in commands:
        headers = {"authorization": f"Bearer {key}"}
        body = {"history": [1], "k": 2, "endless": True}
        first = client.post("/api/v1/recommend", body, content_type="application/json", headers=headers)
        variables["$LIST"] = first.json()["recommendation_id"]
    for name, value in variables.items():
        commands = commands.replace(name, value)
    lines = LINE.findall(commands)
    assert lines
    shown = json.loads(block["answer"]) if block["answer"] else {}
    for line in lines:
        response = call(client, line)
        assert response.status_code in ([shown["status"]] if "status" in shown else [200, 201]), line
        assert has(response.json(), shown), response.json()


def test_the_manual_was_read():
    assert len(BLOCKS) >= 8
    assert sum(bool(block["answer"]) for block in BLOCKS) >= 5


def bodies_shown() -> dict[str, Any]:
    """Return the examples of bodies in the document, by path."""
    schemas = description()["components"]["schemas"]
    named = {
        path: operation["post"]["requestBody"]["content"]["application/json"]["schema"].get("$ref", "")
        for path, operation in description()["paths"].items()
        if "requestBody" in operation.get("post", {})
    }
    named["/api/v1/interactions"] = "InteractionIn"  # or a list of it
    examples = {path: schemas[name.split("/")[-1]].get("examples") for path, name in named.items()}
    return {path: example for path, shown in examples.items() for example in shown or ()}


@pytest.mark.parametrize(("path", "body"), bodies_shown().items())
def test_every_body_that_the_reference_shows_works(client, key, path, body):
    headers = {"authorization": f"Bearer {key}"}
    response = client.post(path, body, content_type="application/json", headers=headers)
    assert response.status_code == 200, response.content
    assert response.json().get("failed", 0) == 0, response.content


def named(name: str, part: Any) -> Iterator[Any]:
    """Every value of this name in the document, at any depth."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in entries:
        if key == name:
            yield value
        yield from named(name, value)


def test_only_what_may_not_be_together_is_one_of():
    """Tools that make up values search in vain for one that has two types at once."""
    assert len(list(named("anyOf", description()))) >= 5
    choices = [choice for choices in named("oneOf", description()) for choice in choices]
    assert choices
    assert all(choice.keys() == {"required"} for choice in choices)


def test_the_bodies_were_found():
    assert set(bodies_shown()) == {
        "/api/v1/recommend", "/api/v1/recommend/batch", "/api/v1/interactions"
    }  # fmt: skip


def test_the_reference_shows_the_document(client, api_site):
    page = client.get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    options = json.loads(re.search(r'id="swagger-settings">(.*?)</script>', text, re.DOTALL).group(1))
    assert options["url"] == "/api/v1/openapi.json"
    assert client.get(options["url"]).json() == json.loads(json.dumps(description()))
    assert options["validatorUrl"] is None, "no question to a host elsewhere"
    without_script = re.search(r"<noscript>(.*?)</noscript>", text, re.DOTALL).group(1)
    assert f'href="{options["url"]}"' in without_script and "<h1>" in without_script


def test_the_reference_loads_nothing_from_elsewhere_and_nothing_inline(client, api_site):
    page = client.get("/api/docs/")
    text = page.content.decode()
    assert " style=" not in text
    assert "<style" not in text
    assert not re.findall(r"<script(?![^>]*\bsrc=|[^>]*type=\"application/json\")", text)
    loaded = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"', text)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)
    assert all(finders.find(address.removeprefix("/static/")) for address in loaded)
    assert "unsafe" not in page["Content-Security-Policy"]


def test_the_reference_is_where_people_look_for_it(client, api_site):
    response = client.get("/api/docs")
    assert response.status_code == 301
    assert response["Location"] == "/api/docs/"


def test_the_document_says_which_routes_need_a_key(client, api_site):
    response = client.get("/api/v1/openapi.json")
    assert response["Content-Type"] == "application/json"
    document = response.json()
    assert document["openapi"] == "3.1.0"
    paths = document["paths"]
    assert {} in paths["/api/v1/recommend"]["post"]["security"]
    activate = paths["/api/v1/models/{name}/activate"]["post"]
    assert activate["security"] == [{"ApiKeyAuth": []}]
    assert "Needs a key with the scope `models:activate`." in activate["description"]
    problem = paths["/api/v1/movies"]["get"]["responses"]["default"]["content"]
    assert list(problem) == ["application/problem+json"]
    entries = document["components"]["schemas"]["BatchRequest"]["properties"]["entries"]
    assert entries["items"] == {"$ref": "#/components/schemas/HistorySource"}
