import csv
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.data import encoding
from bequest.data.csv_files import MISSING, read_csv
from bequest.errors import DataError


@pytest.fixture
def read(tmp_path):
    def written_and_read(content, name="a.csv", encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(content.encode(encoding))
        return {name: c.to_pylist() for name, c in read_csv(path, **options).items()}

    return written_and_read


@pytest.mark.parametrize("word", MISSING)
def test_every_word_for_missing_is_null_in_numbers_and_text(read, word):
    columns = read(f'age,ward\n1,a\n{word},{word}\n{word} ,"{word}"\n')
    # Arrow reads "nan " as a number that is none.
    columns["age"] = [None if age != age else age for age in columns["age"]]
    assert columns == {"age": [1, None, None], "ward": ["a", None, None]}


@pytest.mark.parametrize("word", ["None", "none", "missing", "-", "0"])
def test_other_words_are_no_missing_values(read, word):
    assert read(f"ward,x\na,1\n{word},2\n")["ward"] == ["a", word]


@pytest.mark.parametrize(
    ("delimiter", "name"),
    [(",", "a.csv"), (";", "a.csv"), ("|", "a.csv"), ("\t", "a.csv"), ("\t", "a.tsv")],
)
def test_the_delimiter_is_told_from_the_first_row(read, delimiter, name):
    text = "age,ward\n1,a\n2,b\n".replace(",", delimiter)
    assert read(text, name) == {"age": [1, 2], "ward": ["a", "b"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_is_read_with_and_without_a_mark(read, encoding):
    assert read("âge,x\nzwölf,1\n", encoding=encoding) == {"âge": ["zwölf"], "x": [1]}


def test_another_encoding_is_refused_with_the_byte_and_the_way_out(read):
    with pytest.raises(DataError) as caught:
        read("age,ward\n1,a\n2,Malmö\n", encoding="latin-1")
    assert "is not UTF-8: byte 0xf6 at position 19, line 3." in str(caught.value)
    assert "iconv -f WINDOWS-1252 -t UTF-8 a.csv > utf8-a.csv" in str(caught.value)


def test_a_bad_byte_is_placed_right_where_blocks_cut_a_character(read, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 5)
    assert read("abcd€,b\nö,2\n") == {"abcd€": ["ö"], "b": [2]}
    for text, place in (("abc,ddd\n1,ö\n", 10), ("ab,d€e\n1,ö\n", 9)):
        path_text = text.replace("€", "e")
        with pytest.raises(DataError, match=f"position {path_text.index('ö')},"):
            read(path_text, encoding="latin-1")
        assert place >= path_text.index("ö") - 1


def test_a_character_cut_by_the_end_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,ö".encode()[:-1])
    with pytest.raises(DataError, match="byte 0xc3 at position 6, line 2"):
        read_csv(path)


def test_damaged_utf16_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match="damaged UTF-16"):
        read_csv(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way_and_blank_ones_are_passed_over(read, newline):
    text = "age,ward\n1,a\n\n2,b".replace("\n", newline)
    assert read(text) == {"age": [1, 2], "ward": ["a", "b"]}


def test_quoted_cells_hold_delimiters_quotes_and_line_ends(read):
    text = 'a,b\n"x, y","say ""hi"""\n"two\nlines",z\n'
    assert read(text) == {"a": ["x, y", "two\nlines"], "b": ['say "hi"', "z"]}


def test_a_quote_inside_a_cell_is_a_quote(read):
    assert read('size,b\n5" pipe,1\n6 pipe,2\n')["size"] == ['5" pipe', "6 pipe"]


def test_blanks_around_names_numbers_and_text_are_dropped(read):
    assert read("age , ward\n 39, a\n ?, ?\n 41 ,b \n") == {
        "age": [39.0, None, 41.0],
        "ward": ["a", None, "b"],
    }


def test_a_decimal_comma_is_read_where_semicolons_delimit(read):
    assert read("x;y\n1,5;a\n2;b\n")["x"] == [1.5, 2.0]
    assert read('x,y\n"1,5",a\n"2,5",b\n')["x"] == ["1,5", "2,5"]


def test_text_columns_keep_their_leading_zeros(read):
    assert read("code,x\n007,1\n012,2\n", text=["code"])["code"] == ["007", "012"]
    assert read(" code ,x\n007,1\n012,2\n", text=["code"])["code"] == ["007", "012"]


def mixed(numbers, words):
    cells = [*(str(i) for i in range(numbers)), *words]
    return "age,x\n" + "".join(f"{cell},1\n" for cell in cells)


def test_a_few_words_in_a_column_of_numbers_are_refused_with_the_first(read):
    with pytest.raises(DataError) as caught:
        read(mixed(30, ["n.d.", "-"]))
    assert "column 'age' of" in str(caught.value)
    assert "text in 2 of 32 rows: 'n.d.' in row 32, the header being row 1" in str(caught.value)


def test_codes_that_are_mostly_numbers_stay_text(read):
    assert read(mixed(20, ["3A"]))["age"][-1] == "3A"
    assert read(mixed(30, [f"{i}A" for i in range(4)]))["age"][0] == "0"
    assert read(mixed(30, ["3A"]), loose=lambda name: name == "age")["age"][-1] == "3A"
    assert read(mixed(30, ["3A"]), text=["age"])["age"][0] == "0"


def test_types_are_told_from_all_rows_of_a_large_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,w\n" + "1,2\n" * 500_000 + "1.5,b\n" * 500_000)
    columns = read_csv(path)
    assert pa.types.is_floating(columns["x"].type)
    assert columns["w"][-1].as_py() == "b"


def test_a_first_row_with_an_unclosed_quote_is_refused(read):
    with pytest.raises(DataError, match="a quote in its first row that never closes"):
        read('a,"b\n1,2\n')


NAMES = st.lists(
    st.text(st.characters(categories=["L"]), min_size=1, max_size=5).filter(
        lambda n: n not in MISSING and n.casefold() not in ("infinity", "inf")
    ),
    min_size=2,
    max_size=4,
    unique=True,
)
PRINTED = st.characters(exclude_categories=["Cs", "Cc"])
WORDS = st.text(PRINTED | st.sampled_from(',;"\n|'), max_size=6).map(str.strip)
TEXT = WORDS.map(lambda word: f"w{word}w")
COLUMN = st.sampled_from(
    [
        st.one_of(st.none(), st.integers(-(2**53), 2**53)),
        st.one_of(st.none(), st.floats(-1e300, 1e300)),
        st.one_of(st.none(), TEXT),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.dates()),
    ]
)


@st.composite
def tables(draw):
    names = draw(NAMES)
    rows = draw(st.integers(1, 6))
    return {name: draw(st.lists(draw(COLUMN), min_size=rows, max_size=rows)) for name in names}


@settings(deadline=None)
@given(table=tables(), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_any_table_that_is_written_is_read_back_equal(tmp_path_factory, table, quoting):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    back = {name: column.to_pylist() for name, column in read_csv(path).items()}
    assert back == table
