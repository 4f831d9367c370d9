"""sync_papers: one way, idempotent, and who wins; and the files that come with the site."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from movie.papers.models import PaperReview
from movie.papers.rendering import RENDERER
from movie.papers.source_code import find_source
from movie.papers.sync import check_files
from movie.papers.tests.writing import draw, make_review, write_review


@pytest.fixture
def folder(tmp_path, settings):
    settings.PAPERS_DIR = tmp_path
    return tmp_path


def synced(**options):
    out = StringIO()
    call_command("sync_papers", stdout=out, stderr=StringIO(), **options)
    return out.getvalue().splitlines()


def refused(folder, *files, **options):
    """What the command says about each problem, without the folder."""
    errors = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("sync_papers", *files, stdout=StringIO(), stderr=errors, **options)
    return errors.getvalue().replace(f"{folder}/", "").splitlines(), str(caught.value)


# -- one way ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_file_becomes_a_review(folder):
    write_review(folder, "ease", "## The rule\n\nSome $x$.\n")
    assert synced() == ["ease: added", "0 unchanged"]
    review = PaperReview.objects.get()
    assert (review.slug, review.title, review.authors, review.year) == (
        "ease",
        "A title",
        ["A. One", "B. Two"],
        2019,
    )
    assert (review.model, review.tags, str(review.published)) == ("ease", ["linear models"], "2026-01-31")
    assert "<math" in review.html
    assert review.headings == [[2, "s-the-rule", "The rule"]]
    assert not review.is_draft


@pytest.mark.django_db
def test_a_second_time_nothing_changes(folder):
    path = write_review(folder, "ease")
    before = path.read_bytes()
    synced()
    updated = PaperReview.objects.get().updated
    assert synced() == ["1 unchanged"]
    assert PaperReview.objects.get().updated == updated
    assert path.read_bytes() == before


@pytest.mark.django_db
def test_changes_of_the_text_of_a_figure_and_of_the_renderer_arrive(folder):
    draw(folder, "x.svg")
    write_review(folder, "ease", '![a](figures/x.svg "c")\n')
    synced()
    shown = PaperReview.objects.get().html
    draw(folder, "x.svg", (folder / "figures" / "x.svg").read_text().replace('r="4"', 'r="5"'))
    assert synced()[0] == "ease: changed"
    assert PaperReview.objects.get().html != shown
    write_review(folder, "ease", "Other words.\n", title='"Another"', draft="true")
    assert synced()[0] == "ease: changed"
    assert PaperReview.objects.get().title == "Another"
    assert PaperReview.objects.get().is_draft
    PaperReview.objects.update(renderer=0, html="old")
    assert synced()[0] == "ease: changed"
    assert PaperReview.objects.get().renderer == RENDERER
    assert "Other words" in PaperReview.objects.get().html


@pytest.mark.django_db
def test_a_review_whose_file_is_gone_becomes_a_draft_and_comes_back(folder):
    path = write_review(folder, "ease")
    text = path.read_text()
    synced()
    PaperReview.objects.update(views=7)
    path.unlink()
    assert synced() == ["ease: made a draft, because its file is gone", "0 unchanged"]
    assert synced() == ["0 unchanged"]
    assert (PaperReview.objects.get().is_draft, PaperReview.objects.get().views) == (True, 7)
    path.write_text(text)
    assert synced() == ["ease: changed", "0 unchanged"]
    assert not PaperReview.objects.get().is_draft


@pytest.mark.django_db
def test_what_was_edited_on_the_site_is_kept_until_it_is_overwritten(folder):
    path = write_review(folder, "ease", "From the file.\n")
    synced()
    PaperReview.objects.update(edited_at=timezone.now(), body="From the site.")
    write_review(folder, "ease", "From the file, newer.\n")
    kept = "ease: kept, because it was edited on the site (--overwrite takes the file)"
    assert synced() == [kept, "0 unchanged"]
    assert PaperReview.objects.get().body == "From the site."
    path.rename(folder / "aside")
    synced()
    assert not PaperReview.objects.get().is_draft
    (folder / "aside").rename(path)
    assert synced(overwrite=True)[0] == "ease: changed"
    assert PaperReview.objects.get().body == "From the file, newer."
    assert synced() == ["1 unchanged"]


@pytest.mark.django_db
def test_a_review_written_on_the_site_is_nobody_elses(folder):
    make_review("own")
    synced()
    assert not PaperReview.objects.get().is_draft
    write_review(folder, "own")
    assert "kept" in synced()[0]
    assert PaperReview.objects.get().title == "All about own"


@pytest.mark.django_db
def test_a_file_with_problems_is_left_out_and_the_others_come_in(folder):
    write_review(folder, "good")
    write_review(folder, "bad", "Some $\\foo$.\n")
    lines, message = refused(folder)
    assert lines == ["bad.md:13: the formula \\foo cannot be shown: \\foo is not known"]
    assert message == "1 problems in 1 files, which are left as they were"
    assert [review.slug for review in PaperReview.objects.all()] == ["good"]
    write_review(folder, "good", "Broken $\\foo$.\n")
    refused(folder)
    assert PaperReview.objects.get().body == "Some words."


# -- checking ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_checking_changes_nothing_and_names_file_and_line(folder):
    write_review(
        folder, "ease", "One.\n\n[x](code:movie.catalogue.models.Nothing)\n", title=None, model="abacus"
    )
    lines, message = refused(folder, check=True)
    assert lines[0] == "ease.md:1: title is missing"
    assert lines[1].startswith("ease.md:7: there is no model 'abacus'; known: for_you")
    assert (
        lines[2]
        == "ease.md:14: code:movie.catalogue.models.Nothing: movie/catalogue/models.py defines no Nothing"
    )
    assert message == "3 problems in 1 files, which are not sound"
    assert not PaperReview.objects.exists()


@pytest.mark.parametrize(
    ("matter", "line", "message"),
    [
        ({"year": '"2019"'}, 6, "year is no whole number"),
        ({"published": '"soon"'}, 11, "published is no date"),
        ({"authors": '"A. One"'}, 4, "authors is no list"),
        ({"tags": "[]"}, 9, "tags is no list"),
        ({"link": '"javascript:alert(1)"'}, 7, "link is no https"),
        ({"summary": f'"{"x" * 301}"'}, 10, "summary is longer than 300"),
        ({"draft": '"perhaps"'}, 12, "draft is neither"),
        ({"extra": "1"}, 12, "extra is no key"),
        ({"title": "[1"}, 3, "not YAML"),
    ],
)
def test_front_matter_is_checked(folder, matter, line, message):
    write_review(folder, "ease", **matter)
    (found,) = [problem for each in check_files() for problem in each.problems]
    assert found.line == line, found
    assert message in found.message


@pytest.mark.parametrize("name", ["feed", "code", "Ease", "two words", "a_b", "x" * 65])
def test_a_file_needs_a_name_that_can_be_an_address(folder, name):
    write_review(folder, name)
    (found,) = check_files()[0].problems
    assert "cannot be an address" in found.message


@pytest.mark.parametrize(
    "content", [b"no front matter", b"\xff\xfe", b"---\n- a\n---\n", b"", b"---\ntitle: x\n"]
)
def test_a_file_that_is_something_else_is_said_to_be(folder, content):
    (folder / "ease.md").write_bytes(content)
    (checked,) = check_files()
    assert checked.file is None
    assert len(checked.problems) == 1


def test_links_between_reviews_and_to_their_parts_are_checked(folder):
    write_review(folder, "one", "[a](paper:two#there) [b](paper:two#nowhere) [c](paper:three)\n")
    write_review(folder, "two", "## There\n")
    messages = [problem.message for problem in check_files()[0].problems]
    assert messages == [
        "paper:three: there is no such review",
        "paper:two#nowhere: that review has no such heading",
    ]


def test_only_named_files_are_checked(folder):
    good, bad = write_review(folder, "good"), write_review(folder, "bad", year="1")
    assert [each.path for each in check_files([good])] == [good]
    assert [bool(each.problems) for each in check_files([bad])] == [True]


# -- the files of this site -------------------------------------------------------------------

WRITTEN = {"sasrec", "ngcf", "lightgcn", "kprn", "ease", "implicit-als", "gf-cf", "one-more-node"}


@pytest.fixture(scope="module")
def content():
    return {each.path.stem: each for each in check_files()}


def test_every_review_is_there_and_sound(content):
    assert set(content) >= WRITTEN
    wrong = {slug: each.problems for slug, each in content.items() if each.problems}
    assert wrong == {}


@pytest.mark.parametrize("slug", sorted(WRITTEN))
def test_a_review_is_as_long_as_promised_and_shows_figure_formula_and_code(content, slug):
    done = content[slug].rendered
    assert 900 <= done.words <= 1800
    assert done.figures
    assert done.formulas
    assert done.code_links
    assert content[slug].file.meta["model"]


def test_every_link_to_code_leads_to_its_source(content):
    links = {link for each in content.values() for link in each.rendered.code_links}
    assert len(links) > len(WRITTEN)
    for link in links:
        assert find_source(link).text


def test_every_drawing_is_used(content, settings):
    used = {
        re.search(r"([a-z0-9-]+\.svg)", each)[1] for one in content.values() for each in one.rendered.figures
    }
    assert {path.name for path in (settings.PAPERS_DIR / "figures").glob("*")} == used
