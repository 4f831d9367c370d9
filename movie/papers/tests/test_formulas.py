"""Formulas become MathML that browsers draw, or are refused with the reason."""

from xml.etree import ElementTree

import pytest

from movie.papers.formulas import MATHML, FormulaError, mathml


def parsed(markup):
    return ElementTree.fromstring(markup)  # noqa: S314 - our own


def elements(markup, tag):
    return parsed(markup).findall(f".//{{{MATHML}}}{tag}")


def said(markup):
    return "".join(parsed(markup).itertext())


def test_a_fraction_with_roots_and_indices():
    markup = mathml(r"\sum_{i \in \mathcal{N}_u} \frac{1}{\sqrt{|\mathcal{N}_u|}} e_i^{(k)}", block=True)
    assert parsed(markup).get("display") == "block"
    assert len(elements(markup, "mfrac")) == len(elements(markup, "msqrt")) == 1
    assert said(markup) == "∑i∈𝒩u1|𝒩u|ei(k)"


def test_an_inline_formula_keeps_what_was_written_as_its_alternative():
    root = parsed(mathml(r"a < b"))
    assert (root.get("display"), root.get("alttext")) == ("inline", "a < b")


@pytest.mark.parametrize(
    ("written", "letters"),
    [
        (r"\mathbf{e}", "𝐞"),
        (r"\boldsymbol{\Theta}", "𝜣"),
        (r"\bm{y}", "𝒚"),
        (r"\mathbb{1}", "𝟙"),
        (r"\mathbb{R}", "ℝ"),
    ],
)
def test_styles_are_letters_because_browsers_know_no_variants(written, letters):
    markup = mathml(written)
    assert said(markup) == letters
    assert "mathvariant" not in markup


def test_aligned_lines_are_a_table_with_sides():
    cells = elements(mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", block=True), "mtd")
    assert [cell.get("class") for cell in cells] == ["align-right", "align-left"] * 2


def test_bars_enclose_and_do_not_stretch_away():
    bars = [each for each in elements(mathml(r"\lVert x \rVert_2^2"), "mo") if each.text == "‖"]
    assert [(bar.get("lspace"), bar.get("rspace"), bar.get("stretchy")) for bar in bars] == [
        ("0", "0", "false")
    ] * 2


def test_a_named_function_stands_close_to_its_bracket_and_apart_from_a_letter():
    (softmax,) = [
        each for each in elements(mathml(r"\operatorname{softmax}(x)"), "mo") if each.text == "softmax"
    ]
    (diag,) = [each for each in elements(mathml(r"\operatorname{diag} x"), "mo") if each.text == "diag"]
    assert softmax.get("rspace") == "0" != diag.get("rspace")


def test_arg_max_is_known():
    assert said(mathml(r"\arg\max_x f")) == "argmaxxf"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "empty"),
        (r"\foo{x}", r"\\foo is not known"),
        ("a_{", "missing"),
        (r"\frac{a}", "missing"),
        (r"\left( a", "missing right"),
        ("a & b", "&"),
        (r"a \\ b", "line break"),
        (r"\begin{aligned} a &= b \\[2pt] c &= d \end{aligned}", "distance"),
        (r"\href{javascript:alert(1)}{x}", "href"),
        (r"\style{background:url(//evil)}{x}", "style"),
        (r"\color{red}{x}", "mathcolor"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_reason(written, reason):
    with pytest.raises(FormulaError, match=reason):
        mathml(written)
