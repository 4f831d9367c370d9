"""Markdown to a page: what is supported, which line is wrong, and what never gets through."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from movie.papers.rendered import Heading, RenderError
from movie.papers.rendering import render
from movie.papers.sanitize import sanitize
from movie.papers.tests.writing import DRAWING, draw


@pytest.fixture
def folder(tmp_path, settings):
    settings.PAPERS_DIR = tmp_path
    return tmp_path


def html(text, **options):
    done = render(text, **options)
    assert done.problems == []
    return done.html


def problems(text, **options):
    return [(each.line, each.message) for each in render(text, **options).problems]


# -- what a review can hold -------------------------------------------------------------------


def test_formulas_become_mathml_and_prices_stay_text():
    page = html("A user $u$ pays $5 or $10.\n\n$$\nx^2\n$$\n")
    assert page.count("<math") == 2
    assert '<div class="formula"><math display="block"' in page
    assert "pays $5 or $10." in page


def test_headings_make_the_contents_with_anchors_of_their_own():
    done = render("## Training\n\n### A *small* `k`\n\n## Training\n\n#### Deep\n\n[up](#training-2)\n")
    assert done.contents == [
        Heading(2, "s-training", "Training"),
        Heading(3, "s-a-small-k", "A small k"),
        Heading(2, "s-training-2", "Training"),
    ]
    assert 'id="s-training-2"' in done.html
    assert 'href="#s-training-2"' in done.html
    assert done.problems == []


def test_footnotes_lead_there_and_back():
    page = html("One[^a], two[^b], one again[^a].\n\n[^a]: First.\n[^b]: Second, with $x$.\n")
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r' id="([^"]+)"', page))
    assert {"fn1", "fn2", "fnref1", "fnref2", "fnref1:1"} <= targets


def test_code_is_highlighted_with_classes_only():
    page = html("```python\ndef score(x):\n    return x < 2  # why\n```\n")
    assert '<pre class="highlight"><code><span class="k">def</span>' in page
    assert "&lt;" in page
    assert "style=" not in page


def test_a_table_scrolls_and_keeps_its_columns_aligned_without_inline_styles():
    page = html("| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    assert '<div class="table-scroll"><table>' in page
    assert '<th scope="col" class="align-right">b</th>' in page
    assert "style=" not in page


def test_a_figure_has_its_size_its_words_and_a_version(folder):
    draw(folder, "ease-x.svg")
    text = 'Before.\n\n![Two dots.](figures/ease-x.svg "With $x$ and *care*.")\n\nAfter.\n'
    page = html(text)
    assert re.search(
        r'<figure class="figure"><img src="/papers/figures/ease-x\.svg\?v=[0-9a-f]{8}" alt="Two dots\."'
        r' width="640" height="320"[^>]*><figcaption>With <math.*?</math> and <em>care</em>\.</figcaption>',
        page,
    )
    assert "<p><img" not in page


def test_links_to_code_and_to_reviews():
    done = render(
        "[here](code:pytorch_models.graph.lightgcn.LightGCN.forward), [there](paper:ease#the-rule), "
        "[c](/compare/)",
        known_reviews={"ease"},
    )
    assert done.problems == []
    assert 'href="/papers/code/pytorch_models.graph.lightgcn.LightGCN.forward/"' in done.html
    assert 'href="/papers/ease/#s-the-rule"' in done.html
    assert done.code_links == ["pytorch_models.graph.lightgcn.LightGCN.forward"]
    assert [(link.slug, link.anchor) for link in done.paper_links] == [("ease", "the-rule")]


def test_reading_time_counts_words_and_formulas_but_no_code():
    words = "word " * 440
    assert render(words).minutes == 2
    assert render(f"```\n{words}\n```\n").minutes == 1
    assert render(words + " $x$ " * 30).minutes == 6


def test_the_same_text_gives_the_same_page():
    text = "## A\n\nOne[^1] $x$.\n\n[^1]: Note.\n"
    assert render(text) == render(text)


# -- what is wrong, and where -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("One.\n\nTwo $\\foo$.", 3, r"\foo is not known"),
        ("One\ntwo\nthree $\\foo$.", 3, r"\foo is not known"),
        ("One.\n\n$$\na_{\n$$\n", 3, "cannot be shown"),
        ("- a\n- b\n- $\\foo$\n", 3, r"\foo is not known"),
        ("Costs $ x$ more.", 1, "a $ that begins or ends no formula"),
        (
            "One\n\n[x](code:movie.catalogue.models.Nothing)",
            3,
            "movie/catalogue/models.py defines no Nothing",
        ),
        ("[x](code:os.path.join)", 1, "is not a name in"),
        ("[x](code:movie.no_such_module.x)", 1, "there is no module movie.no_such_module"),
        ("[x](paper:nothing)", 1, "no such review"),
        ("[x](/no/such/page/)", 1, "no such page"),
        ("[x](#nowhere)", 1, "no such heading"),
        ("[x](other.html)", 1, "is no link to"),
        ("# Too high", 1, "headings go from"),
        ("One[^1].", 1, "[^1] has no text"),
        ("One.\n\n[^1]: Unused.", 3, "[^1] is never referred to"),
        ("```klingon\nx\n```", 1, "no language"),
        ('![a](figures/none.svg "c")', 1, "there is no figure none.svg"),
        ('![a](https://evil.example/x.png "c")', 1, "an image is figures/<name>.svg"),
        ('![a](figures/../../settings.py "c")', 1, "an image is figures/<name>.svg"),
        ('Within ![a](figures/x.svg "c") a line.', 1, "paragraph of its own"),
    ],
)
def test_a_problem_names_its_line(text, line, message):
    (found,) = problems(text, known_reviews=set())
    assert found[0] == line
    assert message in found[1]


def test_a_figure_needs_words(folder):
    draw(folder, "x.svg")
    messages = [message for _line, message in problems("![](figures/x.svg)")]
    assert messages == ["figures/x.svg has no alternative text", "figures/x.svg has no caption"]


@pytest.mark.parametrize(
    ("drawing", "reason"),
    [
        (DRAWING.replace("<circle", "<script>alert(1)</script><circle"), "script"),
        (DRAWING.replace("<circle", '<circle onclick="alert(1)"'), "onclick"),
        (DRAWING.replace("<circle", "<foreignObject/><circle"), "foreignObject"),
        (DRAWING.replace("<circle", '<image href="https://evil.example/x.png"/><circle'), "refers to"),
        ('<!DOCTYPE svg [<!ENTITY x "y">]>' + DRAWING, "document type"),
        (DRAWING.replace("viewBox", "box"), "no viewBox"),
        ("<svg", "not well formed"),
    ],
)
def test_a_drawing_that_does_more_than_draw_is_refused(folder, drawing, reason):
    draw(folder, "x.svg", drawing)
    (found,) = problems('![a](figures/x.svg "c")')
    assert reason in found[1]


# -- hostile text -----------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    '![x](figures/a.svg"onerror="alert(1) "c")',
    '![" onerror="alert(1)](figures/a.svg "c")',
    '[x](/compare/ "\\" onmouseover=\\"alert(1)")',
    "## <svg onload=alert(1)>",
    '## x" onmouseover="alert(1)',
    "```python onload=alert(1)\nx\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "$<script>alert(1)</script>$",
    r"$\text{<script>alert(1)</script>}$",
    r"$\text{<img src=x onerror=alert(1)>}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\unicode{<b>}$",
    '$$\n</math><script>alert(1)</script>\n$$',
    "| <script>alert(1)</script> |\n|---|\n| <iframe src=//evil> |\n",
    "[^<script>]: x\n\nx[^<script>]",
    "x[^1]\n\n[^1]: <style>*{display:none}</style>",
    "<!-- <script> -->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x](code:movie.catalogue.models.Movie\"onclick=alert(1))",
    "[x](paper:../../admin)",
    "<details open ontoggle=alert(1)>",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<form action=//evil><input name=csrfmiddlewaretoken>",
    '<p id="content" class="masthead" style="position:fixed">x</p>',
    "[a]: javascript:alert(1)\n\n[x][a]",
]  # fmt: skip
ALLOWED_SCHEMES = ("http:", "https:", "mailto:", "/", "#")
UNWANTED = {
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "svg",
    "link",
    "meta",
    "base",
}


class Inspection(HTMLParser):
    """Parses as a browser does and complains about everything that acts."""

    def __init__(self):
        super().__init__()
        self.complaints = []

    def handle_starttag(self, tag, attrs):
        if tag in UNWANTED or tag in ("details", "video", "audio", "annotation-xml", "maction"):
            self.complaints.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc", "formaction", "xlink:href", "srcset"):
                self.complaints.append((tag, name))
            if name in ("href", "src") and not (value or "").startswith(ALLOWED_SCHEMES):
                self.complaints.append((tag, name, value))
            if name == "id" and not re.match(r"s-|fn", value or ""):
                self.complaints.append((tag, name, value))
            if name == "src" and not (value or "").startswith("/papers/figures/"):
                self.complaints.append((tag, name, value))

    def handle_comment(self, data):
        self.complaints.append("comment")


def complaints(markup):
    inspection = Inspection()
    inspection.feed(markup)
    inspection.close()
    return inspection.complaints


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_does_nothing(text):
    assert complaints(render(text).html) == []


@pytest.mark.parametrize("markup", HOSTILE)
def test_the_sanitiser_alone_would_hold(markup):
    """The second line of defence, given as HTML what the first prints as text."""
    assert complaints(sanitize(markup)) == []


def test_the_inspection_sees_what_is_wrong():
    assert complaints('<p onclick="x"><script></script><a href="javascript:x">') == [
        ("p", "onclick"),
        "script",
        ("a", "href", "javascript:x"),
    ]


def test_the_sanitiser_keeps_all_that_the_renderer_makes(folder):
    draw(folder, "x.svg")
    text = (
        "## A `b`\n\nOne[^1] $\\mathbf{x}_i^2$ ~~no~~ **yes** [c](code:movie.catalogue.models.Movie).\n\n"
        "$$\n\\begin{aligned} a &= \\frac{b}{c} \\\\ d &= \\left( e \\right) \\end{aligned}\n$$\n\n"
        '![alt](figures/x.svg "cap")\n\n| a |\n|--:|\n| 1 |\n\n> q\n'
        "\n1. x\n2. y\n\n```python\nx = 1\n```\n\n[^1]: N.\n"
    )
    done = render(text)
    assert done.problems == []
    for tag in (
        "h2",
        "sup",
        "math",
        "mfrac",
        "mtd",
        "figure",
        "figcaption",
        "table",
        "blockquote",
        "ol",
        "pre",
    ):
        assert f"<{tag}" in done.html, tag
    for name in ("align-right", "formula", "code-link", "footnote-backref", "table-scroll", "highlight"):
        assert name in done.html, name
    assert sanitize(done.html) == done.html


@effort(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*HOSTILE, "$", "`", "*", "[", "](", ")", "<", ">", '"', "\n\n", "## ", "| ", "word "]
        ),
        max_size=8,
    ).map("".join)
)
def test_no_mixture_of_hostile_pieces_does_anything(text):
    done = render(text)
    assert complaints(done.html) == []
    assert all(isinstance(each, RenderError) and each.line >= 1 for each in done.problems)
