import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie.catalogue.titles import match_key, parse_title, search_key, sort_title


@pytest.mark.parametrize(
    ("raw", "title", "filed", "year", "others"),
    [
        (
            "Shawshank Redemption, The (1994)",
            "The Shawshank Redemption",
            "Shawshank Redemption, The",
            1994,
            (),
        ),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "The City of Lost Children",
            "City of Lost Children, The",
            1995,
            ("La Cité des enfants perdus",),
        ),
        (
            "Star Maker, The (Uomo delle stelle, L') (1995)",
            "The Star Maker",
            "Star Maker, The",
            1995,
            ("L'Uomo delle stelle",),
        ),
        (
            "Fist of Fury (Chinese Connection, The) (Jing wu men) (1972)",
            "Fist of Fury",
            "Fist of Fury",
            1972,
            ("The Chinese Connection", "Jing wu men"),
        ),
        ("Seven (a.k.a. Se7en) (1995)", "Seven", "Seven", 1995, ("Se7en",)),
        ("Crow, The: Salvation (2000)", "The Crow: Salvation", "Crow: Salvation, The", 2000, ()),
        ("(500) Days of Summer (2009)", "(500) Days of Summer", "(500) Days of Summer", 2009, ()),
        (
            "Birdman: Or (The Unexpected Virtue of Ignorance) (2014)",
            "Birdman: Or (The Unexpected Virtue of Ignorance)",
            "Birdman: Or (The Unexpected Virtue of Ignorance)",
            2014,
            (),
        ),
        ("Dune (Part One) (2021)", "Dune (Part One)", "Dune (Part One)", 2021, ()),
        ("Land Before Time III (1995) (V)", "Land Before Time III", "Land Before Time III", 1995, ()),
        ("Death Note (2006–2007)", "Death Note", "Death Note", 2006, ()),
        ("2001: A Space Odyssey", "2001: A Space Odyssey", "2001: A Space Odyssey", None, ()),
        ("1984 (1984)", "1984", "1984", 1984, ()),
        ("The Darkest Minds (2018)", "The Darkest Minds", "Darkest Minds, The", 2018, ()),
        ("Die Hard (1988)", "Die Hard", "Die Hard", 1988, ()),
        ("  기생충   (2019) ", "기생충", "기생충", 2019, ()),
        (
            "Wonderful, Horrible Life, The",
            "The Wonderful, Horrible Life",
            "Wonderful, Horrible Life, The",
            None,
            (),
        ),
    ],
)
def test_titles_of_catalogues_are_read(raw, title, filed, year, others):
    parsed = parse_title(raw)
    assert (parsed.title, parsed.sort_title, parsed.year, parsed.alternatives) == (title, filed, year, others)


@given(st.text(max_size=80))
def test_any_text_gives_a_title_that_can_be_stored_and_read_again(text):
    parsed = parse_title(text)
    for title in (parsed.title, parsed.sort_title, *parsed.alternatives):
        assert unicodedata.is_normalized("NFC", title)
        assert title == title.strip()
        assert not {"\0", "\n", "\t"} & set(title)
    assert bool(parsed.title) == bool("".join(text.split()).strip("\0")) or not any(
        c.isprintable() and not c.isspace() for c in text
    )


@given(st.text(max_size=60))
def test_a_search_key_is_the_same_for_every_unicode_form_and_is_stable(text):
    key = search_key(text)
    assert search_key(unicodedata.normalize("NFD", text)) == key
    assert search_key(key) == key


def test_hangul_typed_in_parts_is_found():
    assert search_key(unicodedata.normalize("NFD", "올드보이")) == search_key("올드보이")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("M*A*S*H", "MASH"),
        ("8½", "8 1/2"),
        ("Haine, La", "La haine"),
        ("Fast & Furious", "Fast and Furious"),
        ("Amélie", "AMELIE"),
        ("Ulee's Gold", "Ulees Gold"),
        ("Jungle2Jungle", "Jungle 2 Jungle"),
    ],
)
def test_spellings_of_one_title_meet(one, other):
    assert match_key(one) == match_key(other) != ""


def test_titles_of_other_scripts_do_not_all_meet():
    assert match_key("기생충") != match_key("올드보이")


def test_only_english_articles_are_moved_from_the_front():
    assert sort_title("A Separation") == "Separation, A"
    assert sort_title("La La Land") == "La La Land"


@pytest.mark.parametrize(
    ("raw", "title", "year"),
    [
        ("Walk, Run, Die (2003)", "Walk, Run, Die", 2003),
        ("You, Yourself, I (1998)", "You, Yourself, I", 1998),
        ("Blechtrommel, Die (1979)", "Die Blechtrommel", 1979),
        ("Quatrilho, O (1995)", "O Quatrilho", 1995),
        ("Good, the Bad and the Ugly, The (1966)", "The Good, the Bad and the Ugly", 1966),
        ("Serial (1995 - 1999)", "Serial", 1995),
        ("Serial (1995-1999)", "Serial", 1995),
        ("Serial (2006–)", "Serial", 2006),
        ("Serial (1995- )", "Serial", 1995),
        ("Evening (TV Movie 2003)", "Evening", 2003),
        ("Evening (TV Mini-Series 2001-2003)", "Evening", 2001),
        ("Evening (Jan 1995)", "Evening", 1995),
        ("Tom (1999/II)", "Tom", 1999),
        ("Film (2010) (2011)", "Film (2010)", 2011),
        ("1984 (1984)", "1984", 1984),
        ("(1995)", "(1995)", None),
    ],
)
def test_years_and_articles_as_lists_write_them(raw, title, year):
    parsed = parse_title(raw)
    assert (parsed.title, parsed.year, parsed.alternatives) == (title, year, ())
