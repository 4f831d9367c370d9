"""Drawn posters: always well-formed, readable, and a series."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from django.core.cache import cache
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from movie.catalogue.models import Movie
from movie.catalogue.posters.brush import Brush
from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.drawing import draw_poster
from movie.catalogue.posters.inks import ACCENTS, FIELDS, OTHER_FIELDS, RARITY, contrast, inks_for
from movie.catalogue.posters.meanings import GENRES, PLAIN, WORDS, motif_of, motifs_for, without_repeats
from movie.catalogue.posters.motifs import MOTIFS
from movie.catalogue.posters.sheet import FOOT_RULE, HEIGHT, MARGIN, MEASURE, WIDTH
from movie.catalogue.tests.films import make_film
from movie.pages.templatetags.reelgraph import poster_url

SVG = "{http://www.w3.org/2000/svg}"
TITLES = [f"{first} {second}" for first in ("The Last", "Red", "A Quiet", "Two", "Night of the") for second in
          ("Train", "River", "Witness", "Summer", "House", "Mirror", "Voyage", "Stranger")]  # fmt: skip


def draw(title="Heat", year=1995, genres=("Crime",), director="Michael Mann"):
    return draw_poster(title, year, list(genres), director)


def parsed(poster):
    return ElementTree.fromstring(poster)  # noqa: S314 - our own drawing


def texts(poster):
    return [element.text for element in parsed(poster).iter(f"{SVG}text")]


def colours(poster):
    return set(re.findall(r"#[0-9a-f]{6}", poster))


def field_of(poster):
    return re.search(r'<rect width="240" height="360" fill="(#[0-9a-f]{6})"', poster)[1]


def test_the_same_facts_give_the_same_poster():
    assert draw() == draw()


def test_title_director_and_year_are_set():
    poster = draw("Once Upon a Time in the West", 1968, ["Western"], "Sergio Leone")
    assert " ".join(texts(poster)[:-2]) == "Once Upon a Time in the West"
    assert texts(poster)[-2:] == ["Sergio Leone", "1968"]


def test_a_screen_reader_hears_title_and_year():
    assert parsed(draw()).findtext(f"{SVG}title") == "Heat (1995)"
    assert parsed(draw(year=None)).findtext(f"{SVG}title") == "Heat"


def test_a_long_title_is_set_as_name_and_the_rest():
    poster = draw("Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb", 1963)
    sizes = [float(size) for size in re.findall(r'<g font-size="([\d.]+)"', poster)]
    assert len(sizes) == 2
    assert sizes[0] > 1.5 * sizes[1]
    words = " ".join(texts(poster)[:-2])
    assert words == "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb"


def test_markup_in_a_title_is_text():
    poster = draw('<script>alert("&")</script>', director="A & B <i>")
    assert "<script" not in poster
    assert "A & B <i>" in texts(poster)


@given(st.text(max_size=255), st.none() | st.integers(0, 9999), st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_title_gives_a_well_formed_poster_inside_its_frame(title, year, director):
    poster = draw(title, year, [], director)
    root = parsed(poster)
    assert root.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    *title_lines, _foot = [float(text.get("y")) for text in root.iter(f"{SVG}text")] + [0.0]
    assert all(0 < y < HEIGHT for y in title_lines)
    assert len(poster.encode()) < 6000


def test_a_usual_poster_is_small():
    assert max(len(draw(title).encode()) for title in TITLES) <= 4096


def test_no_line_of_a_title_is_wider_than_the_measure():
    for title in [
        *TITLES,
        "Koyaanisqatsi",
        "The Unbelievably Long Title of a Film That Never Seems to End",
        "기생충",
    ]:
        widths = [float(width) for width in re.findall(r'textLength="([\d.]+)"', draw(title))]
        assert all(width <= MEASURE for width in widths), title


def test_chinese_and_korean_titles_break_between_letters_and_stay_upright():
    poster = draw("卧虎藏龙之青冥宝剑重出江湖传奇", 2000, ["Action"], "李安")
    lines = texts(poster)[:-2]
    assert len(lines) > 1
    assert "".join(lines) == "卧虎藏龙之青冥宝剑重出江湖传奇"
    assert max(map(len, lines)) - min(map(len, lines)) <= 1
    assert "italic" not in poster


def test_the_title_stays_clear_of_the_foot():
    for title in TITLES:
        root = parsed(draw(title))
        *lines, _director, _year = [float(text.get("y")) for text in root.iter(f"{SVG}text")]
        assert max(lines) < FOOT_RULE


def test_words_are_readable_on_every_field():
    for genre, fields in [*FIELDS.items(), ("", OTHER_FIELDS)]:
        for title in TITLES:
            poster = draw(title, 1995, [genre])
            assert field_of(poster) in fields
            text = re.search(r'<g fill="(#[0-9a-f]{6})" font-family', poster)[1]
            assert contrast(text, field_of(poster)) >= 4.5


def test_the_rarest_genre_gives_the_field_whatever_their_order():
    for genres in (["Western", "Comedy"], ["Comedy", "Western"], ["Drama", "Comedy", "Western"]):
        assert field_of(draw(genres=genres)) in FIELDS["western"]
    assert set(RARITY) == FIELDS.keys()
    assert field_of(draw(genres=["Science Fiction"])) in FIELDS["sci-fi"]
    assert field_of(draw(genres=["Nobody knows this", "War"])) in FIELDS["war"]


def test_no_two_films_look_the_same():
    pictures = [re.sub(r"<text.*?</text>|<title>.*?</title>", "", draw(title)) for title in TITLES]
    assert all(one != other for one, other in combinations(pictures, 2))


def test_many_motifs_are_in_use():
    assert len(MOTIFS) >= 40
    known = {*MOTIFS}
    assert {*WORDS} | {name for names in GENRES.values() for name in names} | {*PLAIN} <= known
    assert GENRES.keys() == FIELDS.keys()


@pytest.mark.parametrize("tall", [110, 160, 230, 280])
@pytest.mark.parametrize("motif", MOTIFS.values(), ids=MOTIFS)
def test_every_motif_is_well_formed_in_every_box(motif, tall):
    for number in range(12):
        art = motif(
            Dice(number), Brush(inks_for("#24505a", number % 8), 'fill="#d8432b"', 'fill="#24505a"'), tall
        )
        drawn = list(ElementTree.fromstring(f"<svg>{art}</svg>").iter())[1:]  # noqa: S314 - our own drawing
        assert 2 <= len(drawn) <= 60
        assert "nan" not in art and "inf" not in art and len(art) < 3000


@pytest.mark.parametrize(
    ("title", "genre", "motif"),
    [
        ("Rear Window", "Thriller", "windows"),
        ("A River Runs Through It", "Drama", "waves"),
        ("Road to Perdition", "Crime", "road"),
        ("The Hustlers", "Drama", "chequers"),
        ("Schindler's List", "War", "letter"),
        ("The King’s Speech", "Drama", "crown"),
        ("Jaws", "Horror", "fin"),
        ("Once Upon a Time in the West", "Western", "clock"),
    ],
)
def test_a_word_of_the_title_chooses_the_motif(title, genre, motif):
    assert motifs_for(title, (genre,))[0] == motif


def test_without_such_a_word_the_rarest_genre_does():
    assert motifs_for("Unnamed", ("Drama", "Western"))[0] in GENRES["western"]
    assert motifs_for("Unnamed", ("Sci-Fi", "Action", "Drama"))[0] in GENRES["sci-fi"]
    assert motifs_for("Unnamed", ())[0] in PLAIN


@given(
    st.lists(
        st.tuples(st.sampled_from(TITLES), st.lists(st.sampled_from([*FIELDS, "?"]), max_size=4)), max_size=40
    )
)
@settings(max_examples=60, deadline=None)
def test_no_motif_is_seen_twice_in_a_row_of_neighbours(films):
    chosen = without_repeats(films)
    motifs = [motif_of(title, genres, choice) for (title, genres), choice in zip(films, chosen, strict=True)]
    for start in range(len(motifs)):
        row = motifs[start : start + 8]
        assert len(set(row)) == len(row)
    if films:
        assert chosen[0] == 0, "the first film of a list has the motif that suits it best"


def test_a_subtitle_is_legible_on_a_card_115_pixels_wide():
    for title in (
        "Star Trek: The Wrath of Khan",
        "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb",
        "The Assassination: " + "a very long subtitle that never comes to its end and goes on " * 3,
    ):
        for director in ("Michael Mann", "Stanley Kubrick", "Nicholas Meyer"):
            poster = draw(title, director=director)
            sizes = [float(size) for size in re.findall(r'<g font-size="([\d.]+)"', poster)]
            assert len(sizes) == 2 and min(sizes) * 115 / WIDTH >= 10.5
            lines = [float(text.get("y")) for text in parsed(poster).iter(f"{SVG}text")][:-2]
            assert max(lines) < FOOT_RULE
            box = int(re.search(r'<svg y="[\d.]+" width="240" height="(\d+)"', poster)[1])
            assert box >= 110


def test_an_italic_title_stays_within_the_measure_with_its_lean():
    italic = [draw("The Unbelievably Wide Wanderers", director=f"D {n}") for n in range(40)]
    italic = [poster for poster in italic if "italic" in poster and 'text-anchor="start"><g' in poster]
    assert italic
    for poster in italic:
        size = float(re.search(r'<g font-size="([\d.]+)"', poster)[1])
        for x, width in re.findall(r'<text x="([\d.]+)" y="\d+" textLength="([\d.]+)"', poster):
            assert float(x) < MARGIN, "moved back to where upright letters stand"
            assert float(x) + float(width) + 0.1 * size <= MARGIN + MEASURE + 0.5


def test_films_of_one_director_are_related():
    def habits(posters):
        return {
            (re.search(r'text-anchor="(\w+)"><g', poster)[1], "italic" in poster, "url(#h)" in poster)
            for poster in posters
        }

    def accents(posters):
        return {frozenset(colours(poster) & set(ACCENTS)) for poster in posters}

    one = [draw(title, 1995, ["Film-Noir"], "Fritz Lang") for title in TITLES]
    many = [draw(title, 1995, ["Film-Noir"], f"Director {title}") for title in TITLES]
    assert len({habit[0] for habit in habits(one)}) == 1
    assert len(habits(one)) < len(habits(many))
    assert len(accents(one)) < len(accents(many))


def test_each_decade_has_a_texture():
    tiles = {re.search(r'<pattern id="t".*?</pattern>', draw(year=year))[0] for year in range(1915, 2030, 10)}
    assert len(tiles) == 12
    assert 'id="t"' not in draw(year=None)


# -- the address -----------------------------------------------------------------------------------


@pytest.fixture
def heat(db):
    cache.clear()
    return make_film("Heat", 1995, genres=["Crime"], directors=["Michael Mann"])


def test_browsers_keep_a_poster_for_good(client, heat):
    response = client.get(poster_url(heat))
    assert response["Content-Type"] == "image/svg+xml"
    assert "immutable" in response["Cache-Control"]
    assert texts(response.content.decode()) == ["Heat", "Michael Mann", "1995"]


def test_a_poster_is_drawn_once(client, heat, django_assert_num_queries):
    client.get(poster_url(heat))
    with django_assert_num_queries(0):
        client.get(poster_url(heat))


def test_a_browser_that_has_it_gets_it_not_again(client, heat):
    address = poster_url(heat).partition("?")[0]
    etag = client.get(address)["ETag"]
    again = client.get(address, headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert not again.content


def test_a_changed_film_has_another_address(client, heat):
    before = poster_url(heat)
    client.get(before)
    heat.title = "Heat and Dust"
    heat.save()
    assert poster_url(heat) != before
    assert "Dust" in client.get(poster_url(heat)).content.decode()


def test_another_choice_of_motif_has_an_address_of_its_own(client, heat):
    first, second = client.get(poster_url(heat)), client.get(poster_url(heat, choice=1))
    assert first.content != second.content
    assert "immutable" in second["Cache-Control"]
    for wrong in ("99", "-1", "x", "1.5"):
        assert client.get(poster_url(heat) + f"&c={wrong}").content == first.content


@pytest.mark.parametrize("query", ["", "?v=0ld", "?v=<script>"])
def test_an_address_without_the_right_version_is_asked_for_again(client, heat, query):
    response = client.get(reverse("pages:poster", args=[heat.pk]) + query)
    assert response.status_code == 200
    assert "immutable" not in response["Cache-Control"]


def test_an_opened_poster_runs_and_loads_nothing(client, heat):
    assert client.get(poster_url(heat))["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_a_hidden_film_has_no_poster(client, heat):
    Movie.objects.filter(pk=heat.pk).update(is_visible=False)
    assert client.get(reverse("pages:poster", args=[heat.pk])).status_code == 404


def test_configured_posters_come_from_their_host(heat, settings):
    settings.POSTER_BASE_URL = "https://images.example.org/w342/"
    assert poster_url(heat).startswith("/posters/")
    heat.poster_path = "/heat.jpg"
    assert poster_url(heat) == "https://images.example.org/w342/heat.jpg"
