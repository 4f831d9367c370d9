"""Hooks of MkDocs: pages of the project's root join the site; links to files outside it become plain text."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# a document of the root -> its page
ROOT_PAGES = {
    "CHANGELOG.md": "release-notes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    for document, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / document).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    folder = PurePosixPath("." if page.file.src_uri in ROOT_PAGES.values() else "docs")
    pages = {file.src_uri for file in files}
    return LINK.sub(lambda link: _site_link(link, folder, pages), markdown)


def _site_link(link: re.Match[str], folder: PurePosixPath, pages: set[str]) -> str:
    """Return a link of a document as the site needs it; its text where the file is not in the site.

    A link to a file that does not exist stays as it is, for MkDocs to report.
    """
    text, path, anchor = link[1], link[2], link[3] or ""
    target = (ROOT / folder / path).resolve()
    if not target.is_relative_to(ROOT) or not target.exists():
        return link[0]
    name = target.relative_to(ROOT).as_posix()
    page = ROOT_PAGES.get(name, name.removeprefix("docs/"))
    return f"[{text}]({page}{anchor})" if page in pages else text
