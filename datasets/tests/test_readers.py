"""Every file format of the field gives the same interactions."""

import gzip
import hashlib
import lzma
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.readers.dataset import DatasetError, named_columns, read_dataset, read_interactions


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request, monkeypatch):
    """Every file is read twice: at once, and as a large one is, in blocks and by shards on the disk."""
    if request.param == "in pieces":
        monkeypatch.setattr("datasets.readers.source.BLOCK", 48)
        monkeypatch.setattr("datasets.readers.parquet.ROWS_AT_ONCE", 2)
        monkeypatch.setattr("datasets.shards.ROWS_IN_MEMORY", 3)


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# user, item, stars, seconds: out of order in time, and user 7 before user 3
ROWS = [(7, 30, 4.0, 200), (7, 10, 3.5, 100), (3, 20, 5.0, 300), (3, 10, 1.0, 300), (7, 20, 2.0, 150)]
IN_ORDER = [(3, 20), (3, 10), (7, 10), (7, 20), (7, 30)]  # by user and time, ties as in the file


def lines(separator: str, rows=ROWS) -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def pairs(interactions) -> list[tuple]:
    users, items = interactions.user_ids[interactions.users], interactions.item_ids[interactions.items]
    return list(zip(users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.csv", "userId,movieId,rating,timestamp\n" + lines(",")),
        ("log.csv", '"rating","user","item","time"\n' + "".join(f"{r},{u},{i},{t}\n" for u, i, r, t in ROWS)),
        ("semicolons.csv", "user_id;item_id;rating;timestamp\n" + lines(";")),
        ("bom.csv", "\ufeffuser_id,item_id,rating,timestamp\n" + lines(",")),
        ("crlf.csv", ("user_id,item_id,rating,timestamp\n" + lines(",")).replace("\n", "\r\n")),
        ("no-header.csv", lines(",")),
        ("ratings.dat", lines("::")),
        ("u.data", lines("\t")),
        ("ml.train.rating", lines("\t")),
        ("ml.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + lines("\t")),
        ("table.tsv", "uid\tiid\tstars\tdate\n" + lines("\t")),
        ("tabs.txt", lines("\t")),
        ("blank-lines.csv", "user,item,rating,timestamp\n\n" + lines(",").replace("\n", "\n\n")),
    ],
)
@pytest.mark.usefixtures("pieces")
def test_formats_with_ratings_and_times_agree(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    data = read_dataset(tmp_path / name)
    assert pairs(data.interactions) == IN_ORDER
    np.testing.assert_array_equal(data.interactions.values, np.float32([5, 1, 3.5, 2, 4]))
    np.testing.assert_array_equal(data.interactions.at, [300, 300, 100, 150, 200])
    assert data.interactions.item_ids.tolist() == [10, 20, 30]
    assert data.has_time


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.usefixtures("pieces")
def test_packed_files_are_read_directly(tmp_path, suffix, pack):
    content = ("userId,movieId,rating,timestamp\n" + lines(",")).encode()
    (tmp_path / "ratings.csv").write_bytes(content)
    packed = tmp_path / f"other.csv{suffix}"
    packed.write_bytes(pack(content))
    plain, unpacked = read_dataset(tmp_path / "ratings.csv"), read_dataset(packed)
    assert pairs(unpacked.interactions) == IN_ORDER
    assert unpacked.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert plain.sha256 == plain.content_sha256 == unpacked.content_sha256 != unpacked.sha256


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "ratings.csv.xz").write_bytes(lzma.compress(b"user,item\n1,2\n")[:-9])
    with pytest.raises(DatasetError, match=r"whole \.xz file"):
        read_interactions(tmp_path / "ratings.csv.xz")


@pytest.mark.usefixtures("pieces")
def test_parquet_with_named_columns_string_ids_and_dates(tmp_path):
    pl.DataFrame(
        {
            "customer": ["ann", "ann", "bob"],
            "sku": ["B-2", "A-1", "A-1"],
            "bought": pl.Series(["2024-03-02", "2024-03-01", "1969-12-31"]).str.to_datetime(),
        }
    ).write_parquet(tmp_path / "sales.parquet")
    sales = read_interactions(
        tmp_path / "sales.parquet", columns={"user": "customer", "item": "sku", "timestamp": "bought"}
    )
    assert pairs(sales) == [("ann", "A-1"), ("ann", "B-2"), ("bob", "A-1")]
    assert sales.at.tolist() == [1709251200, 1709337600, -86400]
    assert np.isnan(sales.values).all()


@pytest.mark.usefixtures("pieces")
def test_ids_that_are_not_plain_numbers_stay_as_they_are(tmp_path):
    (tmp_path / "imdb.csv").write_text("user,item\n1,0113277\n1,0068646\n2,0113277\n", encoding="utf-8")
    films = read_interactions(tmp_path / "imdb.csv")
    assert films.item_ids.tolist() == ["0068646", "0113277"]
    assert films.user_ids.tolist() == [1, 2]


def test_iso_dates_and_milliseconds_keep_their_order(tmp_path):
    (tmp_path / "dates.csv").write_text(
        "user,item,timestamp\n1,5,2024-01-01T10:00:00.900Z\n1,4,2024-01-01T10:00:00.100Z\n", encoding="utf-8"
    )
    (tmp_path / "ms.csv").write_text(
        "user,item,timestamp\n1,5,1704103200900\n1,4,1704103200100\n", encoding="utf-8"
    )
    for name, columns in (("dates.csv", None), ("ms.csv", {"unit": "ms"}), ("dates.csv", {"unit": "ms"})):
        read = read_interactions(tmp_path / name, columns=columns)
        assert pairs(read) == [(1, 4), (1, 5)], name
        assert read.at.tolist() == [1704103200, 1704103200], name


@pytest.mark.parametrize(("unit", "zeros"), [("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)])
def test_the_unit_of_times_is_found_on_a_sample_and_said(tmp_path, unit, zeros):
    rows = "".join(f"1,{n},{1704103200 + n}{'0' * zeros}\n" for n in range(5))
    (tmp_path / "fine.csv").write_text(f"user,item,timestamp\n1,9,0\n{rows}", encoding="utf-8")
    said: list[str] = []
    read = read_interactions(tmp_path / "fine.csv", say=said.append)
    assert read.at.tolist() == [0, *(1704103200 + n for n in range(5))]
    assert len(said) == 1 and unit in said[0] and "unit=" in said[0]


def test_the_time_of_reading_stays_with_the_rows(tmp_path):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,5,4\n1,6,3\n", encoding="utf-8")
    before = datetime.now(UTC)
    read = read_interactions(tmp_path / "r.csv")
    after = datetime.now(UTC)
    assert before <= read.select(read.values > 3).read_at <= after


def test_ratings_may_have_decimal_commas(tmp_path):
    (tmp_path / "r.csv").write_text("user;item;rating\n1;5;4,5\n1;6;3.5\n1;7;2\n1;8;\n", encoding="utf-8")
    assert read_interactions(tmp_path / "r.csv").values.tolist()[:3] == [4.5, 3.5, 2.0]
    (tmp_path / "w.csv").write_text("user;item;rating\n1;5;4,5,6\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="a rating of '4,5,6'"):
        read_interactions(tmp_path / "w.csv")


def test_seconds_and_dates_need_no_word(tmp_path):
    for name, times in (("s.csv", ("1704103200", "5")), ("dates.csv", ("2024-01-01", "2023-01-01"))):
        rows = "".join(f"1,{n},{at}\n" for n, at in enumerate(times))
        (tmp_path / name).write_text(f"user,item,timestamp\n{rows}", encoding="utf-8")
        said: list[str] = []
        read_interactions(tmp_path / name, say=said.append)
        assert said == []


def test_a_stated_unit_counts_over_what_the_sample_says(tmp_path):
    (tmp_path / "ms.csv").write_text("user,item,timestamp\n1,5,1704103200900\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"line 2: a time of '1704103200900'.*unit=ms, us or ns"):
        read_interactions(tmp_path / "ms.csv", columns={"unit": "s"})
    (tmp_path / "early.csv").write_text("user,item,timestamp\n1,5,70900\n", encoding="utf-8")
    assert read_interactions(tmp_path / "early.csv", columns={"unit": "ms"}).at.tolist() == [70]
    with pytest.raises(DatasetError, match="unknown unit 'weeks'"):
        read_interactions(tmp_path / "ms.csv", columns={"unit": "weeks"})


def test_the_columns_of_a_file_without_header_are_stated_by_their_number(tmp_path):
    (tmp_path / "log.tsv").write_text("7\t30\t200000000\n7\t10\t100000000\n", encoding="utf-8")
    read = read_interactions(tmp_path / "log.tsv", columns={"timestamp": "3"})
    assert pairs(read) == [(7, 10), (7, 30)]
    assert read.has_time and np.isnan(read.values).all()
    turned = read_interactions(tmp_path / "log.tsv", columns={"user": "2", "item": "1"})
    assert pairs(turned) == [(10, 7), (30, 7)] and not turned.has_time
    with pytest.raises(DatasetError, match="line 1: no column 9 for the timestamp; expected a number from 1"):
        read_interactions(tmp_path / "log.tsv", columns={"timestamp": "9"})
    with pytest.raises(DatasetError, match="timestamp=3"):
        read_interactions(tmp_path / "log.tsv")


@pytest.mark.parametrize(
    ("text", "has_time"), [("user,item,time\n1,2,9\n", True), ("user,item\n1,2\n", False)]
)
def test_interactions_know_whether_they_have_times(tmp_path, text, has_time):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    rows = read_interactions(tmp_path / "a.csv")
    assert rows.has_time == rows.select(np.array([True])).has_time == has_time


@pytest.mark.usefixtures("pieces")
def test_latin_1_is_understood(tmp_path):
    (tmp_path / "u.csv").write_bytes("user,item\nRené,Amélie\n".encode("latin-1"))
    assert pairs(read_interactions(tmp_path / "u.csv")) == [("René", "Amélie")]


def test_sequence_text_keeps_the_order_of_its_lines(tmp_path):
    (tmp_path / "ml.txt").write_text("2 9\n2 4\n1 4\n2 7\n", encoding="utf-8")
    data = read_dataset(tmp_path / "ml.txt")
    assert data.format == "sequence"
    assert pairs(data.interactions) == [(1, 4), (2, 9), (2, 4), (2, 7)]
    assert not data.has_time
    assert data.sort == "file order"


@pytest.mark.parametrize("training", ["train.txt", "training.txt"])
@pytest.mark.usefixtures("pieces")
def test_a_train_and_test_folder_is_a_given_split(tmp_path, training):
    (tmp_path / training).write_text("0 5 6 7\n1 6\n2\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("0 9\n1 5 7\n", encoding="utf-8")
    data = read_dataset(tmp_path)
    assert pairs(data.train) == [(0, 5), (0, 6), (0, 7), (1, 6)]
    assert pairs(data.test) == [(0, 9), (1, 5), (1, 7)]
    assert pairs(data.interactions) == [(0, 5), (0, 6), (0, 7), (0, 9), (1, 6), (1, 5), (1, 7)]
    assert data.train.item_ids is data.test.item_ids
    assert [file.name for file in data.files] == [training, "test.txt"]


@pytest.mark.parametrize(
    "names",
    [("ratings.csv", "movies.csv", "tags.csv"), ("small.csv", "README.txt"), ("ml.txt", "ml_items.txt")],
)
def test_a_folder_is_read_by_its_interaction_file(tmp_path, names):
    folder = tmp_path / "ml-small"
    folder.mkdir()
    text = "user,item,rating,timestamp\n" + lines(",") if names[0].endswith("csv") else "3 20\n3 10\n"
    (folder / names[0]).write_text(text, encoding="utf-8")
    for other in names[1:]:
        (folder / other).write_text("nothing to see\n", encoding="utf-8")
    assert pairs(read_interactions(folder))[:2] == [(3, 20), (3, 10)]


def test_a_folder_of_several_candidates_asks_for_one(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("user,item\n1,2\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"a\.csv, b\.csv.*name the file itself"):
        read_interactions(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user,item,rating\n1,2,3\n1,3,good\n", r"line 3: a rating of 'good'; expected a number"),
        ("a.csv", "user,item,rating\n1,2,3\n\n1,,3\n", "line 4: no item"),
        ("a.csv", "user,item,timestamp\n1,2,yesterday\n", "line 2: a time of 'yesterday'"),
        ("a.csv", "user,item,timestamp\n1,2,5\n1,2,\n", "line 3: a time of nothing"),
        ("a.csv", "user,item\n1,2\n1,2,3\n", "line 3: 3 fields; expected 2 as in line 1"),
        ("a.csv", 'user,item\n1,"2\n3"\n4,5\n\n6,\n', "line 6: no item"),
        ("a.csv", 'user,item\n1,"2\n3"\n4,', "line 4: no item"),
        ("a.csv", 'user,item\n1,2\n3,a"b\n4,5\n6,7\n', "line 3: a quote without an end"),
        ("a.csv", 'user,item\n1,2\n3,"a ""b"""\n4,a"b\n6,a"b\n7,8\n', "line 4: CSV malformed"),
        ("a.csv", "user,price\n1,2\n", "no item column among user, price"),
        ("a.csv", "user,item\n", "no interactions"),
        ("a.csv", "", "the file is empty"),
        ("a.dat", "1,2,3\n", "expected user::item::rating::timestamp"),
        ("a.inter", "user:token\tname:token\n1\t2\n", "no item column"),
        ("u.data", "1\t2\t3\t4\n1\t\t3\t4\n", "line 2: no item"),
        ("a.parquet", "not parquet", "expected a parquet file"),
    ],
)
@pytest.mark.usefixtures("pieces")
def test_errors_name_file_line_and_what_was_expected(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message) as raised:
        read_interactions(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_a_sequence_with_a_stray_field_names_its_line(tmp_path):
    (tmp_path / "s.txt").write_text("1 2\n1 3 4\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2: 3 fields"):
        read_interactions(tmp_path / "s.txt", format="sequence")


def test_a_missing_file_and_unknown_words_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_interactions(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("user,item\n1,2\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no column 'sku'"):
        read_interactions(tmp_path / "a.csv", columns={"item": "sku"})
    with pytest.raises(DatasetError, match="roles user"):
        read_interactions(tmp_path / "a.csv", columns={"film": "item"})
    with pytest.raises(DatasetError, match="unknown format"):
        read_interactions(tmp_path / "a.csv", format="xml")
    assert named_columns(["user=uid", "item=sku=1"]) == {"user": "uid", "item": "sku=1"}
    with pytest.raises(ValueError, match="ROLE=NAME"):
        named_columns(["uid"])


TEXT_ID = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"'),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(TEXT_ID, TEXT_ID | st.integers(-5, 5).map(str), st.integers(0, 2_000_000_000)),
        min_size=1,
        max_size=30,
    )
)
def test_any_ids_survive_a_csv(tmp_path, rows):
    quoted = "".join(f'"{user}","{item}",{at}\n' for user, item, at in rows)
    (tmp_path / "any.csv").write_text("user,item,timestamp\n" + quoted, encoding="utf-8", newline="")
    read = read_interactions(tmp_path / "any.csv")
    found = [(str(user), str(item)) for user, item in pairs(read)]
    assert sorted(zip(found, read.at.tolist(), strict=True)) == sorted(
        ((user, item), at) for user, item, at in rows
    )
    assert len(set(read.item_ids.tolist())) == read.n_items
    for user in range(read.n_users):
        assert (np.diff(read.at[read.indptr[user] : read.indptr[user + 1]]) >= 0).all()


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data folder is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "rows", "users", "items", "test_rows"),
    [
        ("ml-latest-small", 100_836, 610, 9_724, None),
        ("ml-100k", 100_000, 943, 1_682, None),
        ("ml-1m-sasrec", 999_611, 6_040, 3_416, None),
        ("ml-1m-ncf", 1_000_209, 6_040, 3_706, 6_040),
        ("gowalla", 1_027_370, 29_858, 40_981, 217_242),
    ],
)
def test_known_data_sets_have_their_published_size(name, rows, users, items, test_rows):
    data = read_dataset(DATA / name)
    read = data.interactions
    assert (len(read), read.n_users, read.n_items) == (rows, users, items)
    assert (None if data.test is None else len(data.test)) == test_rows


def test_a_file_that_unpacks_to_far_more_than_a_table_does_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.readers.source.SMALL", 1_000_000)
    monkeypatch.setattr("datasets.readers.source.MOST_TIMES", 100)
    for suffix, pack in ((".gz", gzip.compress), (".xz", lzma.compress)):
        path = tmp_path / f"ratings.csv{suffix}"
        path.write_bytes(pack(b"user,item\n" + b"1" * 20_000_000))
        with pytest.raises(DatasetError, match="unpacked"):
            read_interactions(path)


def test_a_line_has_a_limit_and_the_refusal_its_number(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"user,item\n1,2\n" + b"3" * 200_000 + b",4\n5,6\n")
    with pytest.raises(DatasetError, match="line 3: a line without an end"):
        read_interactions(path)
    path.write_bytes(b"user,item\n1,2\n" + b"3" * 90_000 + b",4\n5,6\n")
    assert len(read_interactions(path)) == 3


def test_a_quote_without_an_end_is_refused_at_once(tmp_path, monkeypatch):
    path = tmp_path / "ratings.csv"
    path.write_text('user,item\n1,a"b\n' + '2,"3"\n' * 200_000, encoding="utf-8")
    began = process_time()
    with pytest.raises(DatasetError, match=r"line 2: a quote without an end; .* 1,048,576 bytes"):
        read_interactions(path)
    assert process_time() - began < 5, "each quote is looked at once"
    monkeypatch.setattr("datasets.readers.source.LONGEST_QUOTED", 100)
    monkeypatch.setattr("datasets.readers.source.BLOCK", 64)
    path.write_text('user,item\n1,2\n3,"' + "4\n" * 100 + '"\n', encoding="utf-8")
    with pytest.raises(DatasetError, match="line 3: a quote without an end"):
        read_interactions(path)


@pytest.mark.parametrize("end", ["\n", "", "\n\n\n\n"])
def test_a_file_reads_the_same_wherever_its_blocks_end(tmp_path, monkeypatch, end):
    path = tmp_path / "ratings.csv"
    rows = ["1,2,3,4", "5,6", "", '7,"8\n9",1', '"1\n\n0",2,5,6', "", "3,4"]
    for shift in range(64):
        text = "user,item,rating,note\n" + "x" * shift + "\n".join(rows) + end
        path.write_text(text, encoding="utf-8")
        whole = read_interactions(path)
        with monkeypatch.context() as patch:
            patch.setattr("datasets.readers.source.BLOCK", 64)
            assert read_interactions(path).fingerprint() == whole.fingerprint(), shift
        assert len(whole) == 5
