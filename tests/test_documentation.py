"""The documents as a site: every page has its place, links and anchors lead somewhere, messages are real."""

import re
import subprocess
import sys
import tomllib
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")])
ROOT_PAGES = {"release-notes.md", "contributing.md", "reporting.md"}  # deploy/docs_hooks.py brings them in
FENCED = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


class AnyTag(yaml.SafeLoader):
    """Reads mkdocs.yml; what MkDocs would construct from a tag is left out."""


AnyTag.add_multi_constructor("", lambda loader, suffix, node: None)


def prose_of(path: Path) -> str:
    """Return a document without its fenced blocks and inline code."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda code: "x" * len(code[0]), text)


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """Return the anchors of a document's headings, as GitHub and the site make them."""
    found: list[str] = []
    for heading in re.findall(
        r"^#{1,6} +(.+?) *#*$", FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE
    ):
        text = unicodedata.normalize("NFC", re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading)).lower()
        slug = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return frozenset(found)


def pages_of(part: object) -> list[str]:
    """Return the pages of a part of the navigation, in order."""
    if isinstance(part, str):
        return [part]
    values = part.values() if isinstance(part, dict) else part
    return [page for each in values for page in pages_of(each)]


def broken_links(path: Path) -> list[str]:
    broken = []
    for link in LINK.findall(prose_of(path)):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or link.startswith("/"):
            continue
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    return broken


def test_every_page_has_one_place_in_the_navigation():
    pages = pages_of(yaml.load(CONFIGURATION, AnyTag)["nav"])  # noqa: S506 - a safe loader
    assert sorted(pages) == sorted([*(path.name for path in ROOT.glob("docs/*.md")), *ROOT_PAGES])


def test_the_navigation_is_by_reader():
    navigation = yaml.load(CONFIGURATION, AnyTag)["nav"]  # noqa: S506 - a safe loader
    readers = [next(iter(each)) for each in navigation]
    assert readers == ["Home", "Visitors", "Adopters", "Operators", "Researchers", "Contributors"]
    for each in navigation[1:]:
        kinds = [next(iter(kind)) for kind in next(iter(each.values()))]
        assert kinds == ["Tutorial", "How-to", "Reference", "Explanation"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(document):
    assert broken_links(document) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n## A & B\n\n[a](#a--b) [b](#c) [c](none.md) `[d](none.md)`\n\n```md\n[e](no.md)\n```\n"
    )
    assert broken_links(page) == ["#c", "none.md"]


def test_messages_of_the_troubleshooting_page_are_printed_by_the_project():
    """Each part of a message, between the places for names, stands in the code."""
    sources = [ROOT / "Makefile"]
    for package in ("movie", "webapp"):
        sources += [path for path in (ROOT / package).rglob("*.py") if "tests" not in path.parts]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = [
        message.replace("\\|", "|")
        for row in re.findall(r"^\| (`.+?`) \| ", text, re.MULTILINE)
        for message in re.findall(r"`([^`]+)`", row)
    ]
    assert len(messages) > 25
    missing = [
        (message, part)
        for message in messages
        for part in re.split(r"[…“”]", message)
        if len(part) > 5 and part not in code
    ]
    assert missing == []


@pytest.mark.parametrize("form", [r"\breelgraph:(\d[\w.]*\w)", r"\breelgraph-(\d[\w.]*)-py3"])
def test_images_and_wheels_that_documents_name_are_of_this_version(form):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    assert set(re.findall(form, text)) == {version}


def test_the_client_has_one_version():
    client = ROOT / "clients/python"
    version = tomllib.loads((client / "pyproject.toml").read_text())["project"]["version"]
    assert f'__version__ = "{version}"' in (client / "reelgraph_client/__init__.py").read_text()
    assert f'"reelgraph-client/{version}"' in (client / "reelgraph_client/sending.py").read_text()


@pytest.mark.skipif(
    not find_spec("material"), reason="mkdocs-material is not installed; make docs installs it"
)
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "search/search_index.json").stat().st_size > 100_000
    for page in tmp_path.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//', text) == []
        assert 'class="mermaid"' not in text
        assert (
            re.findall(r'<link rel="?(?:stylesheet|preconnect|preload)[^>]* href="?(?:https?:)?//', text)
            == []
        )
