"""Render the Markdown of a review as HTML, once, when the review is saved.

CommonMark with tables, ~~struck out~~ text, footnotes and formulas between dollar signs; raw HTML is
printed as text. Everything that could not be shown as meant (a formula, a link, a figure) is a `RenderError`
with its line.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve, reverse
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from movie.papers.code_styles import highlighted
from movie.papers.figures import FigureError, read_figure
from movie.papers.formulas import FormulaError, mathml
from movie.papers.rendered import Heading, PaperLink, Rendered, RenderError
from movie.papers.sanitize import sanitize
from movie.papers.source_code import SourceNotFound, find_source

RENDERER = 1  # count up when what is made here changes: `sync_papers` then renders every review again
HIGHEST, DEEPEST = 2, 4  # levels of headings: the page's title is 1
HEADING_PREFIX = "s-"  # keeps a heading "Training" away from the page's own id "training"

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_LOOSE_DOLLAR = re.compile(r"\$(?!\d)")
_LOOSE_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]")

Env = MutableMapping[str, Any]


def render(text: str, *, known_reviews: Container[str] | None = None) -> Rendered:
    """Render a review's Markdown. `known_reviews` are slugs that `paper:` links may name; None: any."""
    done = Rendered()
    env: Env = {"done": done, "known_reviews": known_reviews}
    markdown = _markdown()
    tokens = markdown.parse(text, env)
    _check_footnotes(env, text)
    _check_anchors(tokens, done)
    done.html = sanitize(markdown.renderer.render(tokens, markdown.options, env))
    done.code_links = list(dict.fromkeys(done.code_links))
    done.problems = sorted(set(done.problems))
    return done


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=ReviewRenderer)
    markdown.enable(["table", "strikethrough"])
    markdown.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False)
    markdown.use(footnote_plugin, inline=False)
    markdown.core.ruler.push("figures", _figures)
    markdown.core.ruler.push("headings", _headings)
    markdown.core.ruler.push("links", _links)
    markdown.core.ruler.push("reading", _reading)
    for name, rule in vars(ReviewRenderer).items():  # the plugins have put theirs in; ours come last
        if callable(rule):
            markdown.add_render_rule(name, rule)
    return markdown


# -- what is found out before rendering -------------------------------------------------------


def _figures(state: StateCore) -> None:
    """Turn paragraphs that are one image into figures; the title of the image is the caption, in Markdown."""
    kept: list[Token] = []
    place = 0
    while place < len(state.tokens):
        token = state.tokens[place]
        inline = _only_image(state.tokens, place) if token.type == "paragraph_open" else None
        if inline is None:
            kept.append(token)
            place += 1
            continue
        image = (inline.children or [])[0]
        caption: list[Token] = []
        state.md.inline.parse(str(image.attrs.get("title", "")), state.md, state.env, caption)
        meta = {"src": str(image.attrs.get("src", "")), "alt": image.content}
        kept.append(Token("figure", "figure", 0, map=inline.map, block=True, children=caption, meta=meta))
        place += 3  # the paragraph's begin, the image, the paragraph's end
    state.tokens = kept


def _only_image(tokens: Sequence[Token], place: int) -> Token | None:
    inline = tokens[place + 1]
    children = [child for child in inline.children or [] if child.type != "text" or child.content.strip()]
    if len(children) == 1 and children[0].type == "image":
        inline.children = children
        return inline
    return None


def _headings(state: StateCore) -> None:
    done: Rendered = state.env["done"]
    taken: dict[str, int] = {}
    for place, token in enumerate(state.tokens):
        if token.type != "heading_open":
            continue
        level, inline = int(token.tag[1]), state.tokens[place + 1]
        if not HIGHEST <= level <= DEEPEST:
            done.problems.append(
                RenderError(_line(token), f"headings go from {'#' * HIGHEST} to {'#' * DEEPEST}")
            )
        title = _plain(inline)
        name = slugify(title, allow_unicode=True) or "section"
        taken[name] = taken.get(name, 0) + 1
        anchor = HEADING_PREFIX + (name if taken[name] == 1 else f"{name}-{taken[name]}")
        token.attrSet("id", anchor)
        done.headings.append(Heading(level, anchor, title))


def _links(state: StateCore) -> None:
    for line, token in _inline_tokens(state.tokens):
        if token.type == "link_open":
            _resolve(token, line, state.env)
        elif token.type == "image":
            problem = "an image stands in a paragraph of its own, with a caption in quotation marks"
            state.env["done"].problems.append(RenderError(line, problem))


def _resolve(link: Token, line: int, env: Env) -> None:
    """Turn `code:` and `paper:` links into addresses, and note links to things that do not exist."""
    done: Rendered = env["done"]
    target = str(link.attrs.get("href", ""))
    scheme, _colon, rest = target.partition(":")
    if scheme == "code":
        try:
            find_source(rest)
        except SourceNotFound as error:
            done.problems.append(RenderError(line, f"code:{rest}: {error}"))
            return
        done.code_links.append(rest)
        link.attrs = {"href": reverse("papers:code", args=[rest]), "class": "code-link"}
    elif scheme == "paper":
        slug, _hash, anchor = rest.partition("#")
        known = env["known_reviews"]
        if not re.fullmatch(r"[a-z0-9-]+", slug) or (known is not None and slug not in known):
            done.problems.append(RenderError(line, f"paper:{slug}: there is no such review"))
            return
        done.paper_links.append(PaperLink(line, slug, anchor))
        address = reverse("papers:detail", args=[slug])
        link.attrs = {"href": f"{address}#{HEADING_PREFIX}{anchor}" if anchor else address}
    elif target.startswith("/"):
        try:
            resolve(urlsplit(target).path)
        except Resolver404:
            done.problems.append(RenderError(line, f"{target}: this site has no such page"))
    elif target.startswith("#"):
        link.attrs["href"] = f"#{HEADING_PREFIX}{target[1:]}"
    elif scheme not in ("http", "https", "mailto"):
        done.problems.append(
            RenderError(line, f"{target!r} is no link to code:, paper:, /page/, #heading or https:")
        )


def _reading(state: StateCore) -> None:
    """Count words and formulas, and note dollar signs and footnotes that were not rendered."""
    done: Rendered = state.env["done"]
    done.formulas += sum(token.type == "math_block" for token in state.tokens)
    for line, token in _inline_tokens(state.tokens):
        if token.type == "math_inline":
            done.formulas += 1
            token.meta = {"line": line}
        if token.type != "text":
            continue
        done.words += len(_WORD.findall(token.content))
        if _LOOSE_DOLLAR.search(token.content):
            message = (
                "a $ that begins or ends no formula; a formula has no space just inside its dollar signs"
            )
            done.problems.append(RenderError(line, message))
        for note in _LOOSE_FOOTNOTE.findall(token.content):
            done.problems.append(RenderError(line, f"{note} has no text"))


def _check_footnotes(env: Env, text: str) -> None:
    for label, number in env.get("footnotes", {}).get("refs", {}).items():
        if number < 0:
            name = f"[^{label.removeprefix(':')}]"
            place = text.find(f"{name}:")
            env["done"].problems.append(
                RenderError(text.count("\n", 0, place) + 1, f"{name} is never referred to")
            )


def _check_anchors(tokens: Sequence[Token], done: Rendered) -> None:
    anchors = {f"#{heading.anchor}" for heading in done.headings}
    for line, token in _inline_tokens(tokens):
        target = str(token.attrs.get("href", ""))
        if token.type == "link_open" and target.startswith("#") and target not in anchors:
            name = target.removeprefix(f"#{HEADING_PREFIX}")
            done.problems.append(RenderError(line, f"#{name}: there is no such heading"))


def _inline_tokens(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Yield every token within a paragraph, heading or cell, with its line."""
    for token in tokens:
        line = _line(token)
        for child in token.children or []:
            yield line, child
            if child.type == "math_inline":
                line += child.content.count("\n")
            elif child.type in ("softbreak", "hardbreak"):
                line += 1


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _plain(inline: Token) -> str:
    """Return the plain text of a heading, for the table of contents."""
    return "".join(
        child.content if child.content else " " for child in inline.children or [] if _says(child)
    ).strip()


def _says(token: Token) -> bool:
    return token.type in ("text", "code_inline", "math_inline", "softbreak")


# -- rendering --------------------------------------------------------------------------------


class ReviewRenderer(RendererHTML):
    """Renders the tokens that differ from plain CommonMark."""

    def math_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return _formula(tokens[idx], env, block=False)

    def math_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        tokens[idx].meta = {"line": _line(tokens[idx])}
        return f'<div class="formula">{_formula(tokens[idx], env, block=True)}</div>\n'

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        language, text = tokens[idx].info.strip(), tokens[idx].content
        try:
            inside = highlighted(text, language or "text")
        except KeyError:
            _report(env, f"{language!r} is no language that can be highlighted", _line(tokens[idx]))
            inside = escape(text)
        return f'<pre class="highlight"><code>{inside}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return f'<pre class="highlight"><code>{escape(tokens[idx].content)}</code></pre>\n'

    def figure(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        token = tokens[idx]
        line, meta = _line(token), token.meta
        folder, _slash, name = meta["src"].rpartition("/")
        if folder != "figures":
            _report(env, f"{meta['src']!r}: an image is figures/<name>.svg", line)
            return ""
        if not meta["alt"].strip():
            _report(env, f"{meta['src']} has no alternative text", line)
        if not token.children:
            _report(env, f"{meta['src']} has no caption", line)
        if any(child.type == "footnote_ref" for child in token.children or []):
            _report(env, f"{meta['src']}: a caption can have no footnote", line)
        try:
            figure = read_figure(name)
        except FigureError as error:
            _report(env, str(error), line)
            return ""
        address = f"{reverse('papers:figure', args=[name])}?v={figure.version}"
        env["done"].figures.append(address)
        size = f'width="{figure.width}" height="{figure.height}"'
        image = f'<img src="{address}" alt="{escape(meta["alt"])}" {size} loading="lazy" decoding="async">'
        caption = self.renderInline(token.children or [], options, env)
        return f'<figure class="figure">{image}<figcaption>{caption}</figcaption></figure>\n'

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return '<div class="table-scroll"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return f'<th scope="col"{_alignment(tokens[idx])}>'

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return f"<td{_alignment(tokens[idx])}>"

    def footnote_block_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return '<section class="footnotes" aria-label="Notes"><ol class="footnotes-list">\n'

    def footnote_caption(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return _number(tokens[idx])

    def footnote_anchor(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        back = f"fnref{_number(tokens[idx], with_repeat=True)}"
        return f' <a class="footnote-backref" href="#{back}" aria-label="Back to the text">↩\ufe0e</a>'


def _formula(token: Token, env: Env, *, block: bool) -> str:
    try:
        return mathml(token.content, block=block)
    except FormulaError as error:
        shown = " ".join(token.content.split())
        _report(env, f"the formula {shown[:60]} cannot be shown: {error}", token.meta["line"])
        return f"<code>{escape(token.content)}</code>"


def _report(env: Env, message: str, line: int) -> None:
    env["done"].problems.append(RenderError(line, message))


def _alignment(token: Token) -> str:
    side = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f' class="align-{side}"' if side else ""


def _number(token: Token, *, with_repeat: bool = False) -> str:
    number, repeat = token.meta["id"] + 1, token.meta.get("subId", 0)
    return f"{number}:{repeat}" if with_repeat and repeat else str(number)
