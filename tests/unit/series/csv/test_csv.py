"""CSV of every dialect: the same series as the plain table, or a refusal that names the option."""

import bz2
import csv
import datetime as dt
import gzip
import io
import itertools
import lzma

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gigacast.errors import ConfigError, CorruptedFileError, GigacastError, SchemaError
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames
from tests.unit.series.reading import read, source_of

ORDERS = {"year_first": "%Y-%m-%d", "day_first": "%d/%m/%Y", "month_first": "%m/%d/%Y"}
HEADER = ("item_id", "timestamp", "target")
DAY = dt.date(2024, 1, 10)


def number_text(value, decimal, thousands):
    """Spell a number with a mark for decimals and one between groups of three digits."""
    if value is None:
        return ""
    text = f"{value:,.2f}" if value % 1 else f"{value:,.0f}"
    return text.replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def written(rows, form, header=HEADER):
    """Write rows of id, date and number as the bytes of a CSV file."""
    buffer = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if form.get("quote_all") else csv.QUOTE_MINIMAL
    writer = csv.writer(
        buffer,
        delimiter=form["separator"],
        quotechar=form.get("quote", '"'),
        quoting=quoting,
        lineterminator=form.get("newline", "\n"),
    )
    if header:
        writer.writerow(header)
    for item, day, value in rows:
        moment = day.strftime(ORDERS[form.get("dates", "year_first")])
        number = number_text(value, form.get("decimal", "."), form.get("thousands", ""))
        writer.writerow([item, moment, number])
    return buffer.getvalue().encode(form.get("encoding", "utf-8"))


def series_in(content, **named):
    return read(source_of(content, "csv"), csv=CsvOptions(**named))


def series_or_refusal(content):
    try:
        return series_in(content)
    except GigacastError as error:
        return str(error)


moment = dt.datetime.fromisoformat


def canonical(rows):
    plain = {"separator": ","}
    return series_in(written(rows, plain))


ids = st.sampled_from(
    ["007", "1.10", "12E3", "NA", "null", "true", "9" * 20, "Zürich", "a;b", "a,b"]
)
values = st.one_of(
    st.none(), st.integers(0, 10**7), st.integers(1, 10**9).map(lambda cents: cents / 100)
)
forms = st.fixed_dictionaries(
    {
        "separator": st.sampled_from(",;\t|"),
        "decimal": st.sampled_from(".,"),
        "thousands": st.sampled_from(["", ".", ",", " ", "'"]),
        "encoding": st.sampled_from(
            ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]
        ),
        "dates": st.sampled_from(list(ORDERS)),
        "newline": st.sampled_from(["\n", "\r\n"]),
        "quote_all": st.booleans(),
    }
).filter(lambda form: form["decimal"] != form["thousands"])


@st.composite
def tables(draw):
    names = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    start = draw(st.dates(dt.date(2023, 1, 1), dt.date(2024, 12, 1)))
    length = draw(st.integers(3, 20))
    return [
        (name, start + dt.timedelta(days=day), draw(values))
        for name in names
        for day in range(length)
    ]


@settings(max_examples=100, deadline=None)
@given(tables(), forms)
def test_every_dialect_is_read_as_the_plain_table_or_refused_with_its_option(rows, form):
    # With commas between the columns, an unquoted 1.000 is one, as it has always been.
    assume((form["separator"], form["thousands"]) != (",", "."))
    series = series_or_refusal(written(rows, form))
    # The refusal says which part must be named, or that no column holds numbers at all.
    if isinstance(series, str):
        assert "csv_" in series or all(value is None for _, _, value in rows)
    else:
        assert series == canonical(rows)


@settings(max_examples=60, deadline=None)
@given(tables(), forms)
def test_a_named_dialect_is_read_as_the_plain_table(rows, form):
    if all(value is None for _, _, value in rows):
        return
    named = {
        "separator": form["separator"],
        "decimal": form["decimal"],
        "thousands": form["thousands"] or "none",
        "encoding": form["encoding"],
        "dates": form["dates"],
        "header": "present",
    }
    assert series_in(written(rows, form), **named) == canonical(rows)


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding"),
    [*itertools.product(",;\t|", ".,", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])],
)
def test_the_usual_dialects_are_found(separator, decimal, encoding):
    rows = [("Köln", DAY + dt.timedelta(days=n), 1000 * n + 0.5) for n in range(9)]
    form = {
        "separator": separator,
        "decimal": decimal,
        "thousands": "." if decimal == "," else ",",
        "encoding": encoding,
        "dates": "day_first",
    }
    assert series_in(written(rows, form)) == canonical(rows)


@pytest.mark.parametrize(
    ("lines", "flag"),
    [
        (["a;2024-01-01;1.234", "a;2024-01-02;2.345"], "csv_decimal="),
        (["a;2024-01-01;1,234", "a;2024-01-02;2,345"], "csv_decimal="),
        (['"a";"2024-01-01";"1,5"', '"a";"2024-01-02";"1.5"'], "csv_decimal="),
        (["a;01/02/2024;1", "a;02/02/2024;1"], "csv_dates="),
        (["a;13/02/2024;1", "a;02/14/2024;1"], "csv_dates="),
        (["a;01.02.2024;1", "a;02.02.2024;1"], "csv_dates="),
    ],
)
def test_what_has_two_meanings_is_refused_with_the_option_that_decides(lines, flag):
    content = "\n".join([";".join(HEADER), *lines]).encode()
    with pytest.raises(SchemaError) as caught:
        series_in(content)
    assert flag in str(caught.value)


def test_a_number_that_may_be_two_is_what_the_named_mark_says():
    content = b"item_id;timestamp;target\na;2024-01-01;1.234\na;2024-01-02;2.345\n"
    by_comma = series_in(content, decimal=",")[("a", "target")]
    by_point = series_in(content, decimal=".")[("a", "target")]
    assert by_comma.values == (1234.0, 2345.0)
    assert by_point.values == pytest.approx((1.234, 2.345))


def test_a_date_that_may_be_two_is_what_the_named_order_says():
    content = b"item_id,timestamp,target\na,01/02/2024,1\na,02/02/2024,2\n"
    assert series_in(content, dates="day_first")[("a", "target")].last == moment("2024-02-02")
    content = b"item_id,timestamp,target\na,01/02/2024,1\na,01/03/2024,2\n"
    assert series_in(content, dates="month_first")[("a", "target")].last == moment("2024-01-03")


def test_a_comma_separated_file_without_quoted_numbers_is_read_as_ever():
    content = b"item_id,timestamp,target\na,2024-01-01,1.234\na,2024-01-02,2.345\n"
    assert series_in(content)[("a", "target")].values == pytest.approx((1.234, 2.345))


def test_half_days_are_read():
    rows = ["a,01/31/2024 11:00 PM,1", "a,02/01/2024 12:00 AM,2", "a,02/01/2024 1:00 AM,3"]
    series = series_in("\n".join([",".join(HEADER), *rows]).encode())[("a", "target")]
    assert (series.last, series.freq) == (moment("2024-02-01T01"), "h")


def test_later_rows_that_do_not_fit_the_first_ones_are_refused_with_the_option():
    start = [f"a;{DAY + dt.timedelta(days=n % 20)};{n}" for n in range(70_000)]
    for later, flag in (("1.234", "csv_decimal="), ("1,5", "csv_decimal=")):
        content = "\n".join([";".join(HEADER), *start, f"b;2024-01-01;{later}"]).encode()
        with pytest.raises(SchemaError, match=r"is no number with no decimal mark") as caught:
            read(source_of(content, "csv"), memory_limit_bytes=1 << 20, duplicates="last")
        assert flag in str(caught.value)
    # In one block it is seen that the column has other texts.
    with pytest.raises(SchemaError, match="no target column") as caught:
        read(source_of(content, "csv"))
    assert "'target' begins with plain numbers, and has other texts further down" in str(
        caught.value
    )
    assert "--csv_decimal and --csv_thousands" in caught.value.hint
    days = [f"a;{(DAY + dt.timedelta(days=n % 9000)):%d.%m.%Y};1" for n in range(70_000)]
    content = "\n".join([";".join(HEADER), *days, "b;01.13.2024;1"]).encode()
    with pytest.raises(SchemaError, match=r"'01\.13\.2024' .* no date with the day first"):
        read(source_of(content, "csv"), duplicates="last")


def test_the_result_does_not_depend_on_the_size_of_the_blocks():
    rows = [("a", DAY + dt.timedelta(days=n), n * 1000.25) for n in range(9000)]
    form = {"separator": ";", "decimal": ",", "thousands": ".", "dates": "day_first"}
    content = written(rows, form)
    small = read(source_of(content, "csv"), memory_limit_bytes=1 << 20, context_length=50)
    assert small == read(source_of(content, "csv"), context_length=50)


def test_two_files_of_one_partition_must_have_the_same_marks():
    first = source_of(b"item_id;timestamp;target\na;2024-01-01;1,5\n", "csv", name="one.csv")
    second = source_of(b"item_id;timestamp;target\na;2024-01-02;2.5\n", "csv", name="two.csv")
    with pytest.raises(SchemaError, match=r"two\.csv: its decimal mark \(\.\) is not that of one"):
        read(first, second)
    first = source_of(b"item_id;timestamp;target\na;13/01/2024;1\n", "csv", name="one.csv")
    second = source_of(b"item_id;timestamp;target\na;01/14/2024;2\n", "csv", name="two.csv")
    with pytest.raises(SchemaError, match="csv_dates="):
        read(first, second)


def test_a_separator_that_is_not_found_is_named():
    content = b"item_id:timestamp:target\na:2024-01-01:1\n"
    with pytest.raises(SchemaError, match="csv_separator="):
        series_in(content)
    assert series_in(content, separator=":")[("a", "target")].values == (1.0,)


def test_two_separators_that_fit_are_refused():
    with pytest.raises(SchemaError, match="may be separated by ',' and ';'"):
        series_in(b"ds,x;y\n1,2;3\n4,5;6\n")


def test_the_separator_that_excel_writes_is_used():
    content = b"sep=;\r\nitem_id;timestamp;target\r\na;2024-01-01;1,5\r\n"
    assert series_in(content)[("a", "target")].values == (1.5,)


def test_single_quotes_around_all_names_are_quotes():
    content = b"'item_id';'timestamp';'target'\n'a;b';'2024-01-01';'1,5'\n"
    assert list(series_in(content)) == [("a;b", "target")]


def test_a_quoted_field_may_hold_line_breaks():
    content = b'item_id,timestamp,target\n"a\nb",2024-01-01,1\n"a\nb",2024-01-02,2\n'
    assert series_in(content)[("a\nb", "target")].values == (1.0, 2.0)


def test_a_file_without_header_has_numbered_columns():
    content = b"a,2024-01-01,1.5\na,2024-01-02,2.5\n"
    with pytest.raises(SchemaError, match=r"no header.*csv_header=.present"):
        series_in(content)
    names = ColumnNames("column_1", "column_2", ("column_3",))
    series = read(source_of(content, "csv"), columns=names)
    assert series[("a", "column_3")].values == (1.5, 2.5)
    # Named, the first row is data or names whatever it looks like.
    names = ColumnNames("a", "2024-01-01", ("1.5",))
    series = read(source_of(content, "csv"), columns=names, csv=CsvOptions(header="present"))
    assert series[("a", "1.5")].values == (2.5,)


@pytest.mark.parametrize("encoding", ["cp1251", "shift_jis", "gb18030", "euc_kr"])
def test_an_encoding_that_is_not_found_is_refused_and_can_be_named(encoding):
    name = {"cp1251": "Москва", "shift_jis": "東京都", "gb18030": "北京", "euc_kr": "서울"}[
        encoding
    ]
    content = written([(name, DAY, 1.5)], {"separator": ";", "encoding": encoding})
    with pytest.raises(CorruptedFileError, match="csv_encoding="):
        series_in(content)
    assert list(series_in(content, encoding=encoding)) == [(name, "target")]


def test_only_the_empty_field_is_a_missing_text():
    content = b"item_id;timestamp;target\nNA;2024-01-01;NA\nnull;2024-01-01;1\n;2024-01-01;2\n"
    series = series_in(content)
    assert set(series) == {("NA", "target"), ("null", "target")}
    assert series[("NA", "target")].values == ()


@pytest.mark.parametrize(
    "named",
    [
        {"separator": "ab"},
        {"separator": "x"},
        {"separator": "\n"},
        {"decimal": ";"},
        {"thousands": "_"},
        {"decimal": ",", "thousands": ","},
        {"separator": "'", "quote": "'"},
        {"encoding": "klingon"},
        {"encoding": "rot13"},
    ],
)
def test_an_impossible_part_is_refused(named):
    with pytest.raises(ConfigError, match="csv_"):
        CsvOptions(**named)


def test_words_and_names_of_one_encoding_are_the_same_dialect():
    assert CsvOptions(separator="tab") == CsvOptions(separator="\t")
    assert CsvOptions(encoding="latin-1") == CsvOptions(encoding="ISO-8859-1")
    assert CsvOptions().named == {}


@pytest.mark.parametrize("targets", [(), ("value",)])
def test_two_columns_of_one_name_are_refused_by_name(targets: tuple[str, ...]) -> None:
    content = b"item_id,timestamp,value,value\na,2024-01-01,1,2\na,2024-01-02,2,3\n"
    with pytest.raises(SchemaError, match=r"part\.csv: .*value") as caught:
        read(source_of(content, "csv"), columns=ColumnNames(targets=targets))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("pack", "words"),
    [
        (gzip.compress, "compressed \\(gzip\\)"),
        (bz2.compress, "compressed \\(bzip2\\)"),
        (lzma.compress, "compressed \\(xz\\)"),
        (lambda text: b"PAR1\xff\xfe" + text, "Parquet"),
    ],
)
def test_files_that_are_no_text_are_refused_with_what_they_are(pack, words) -> None:
    rows = b"".join(b"a,2024-01-%02d,%d\n" % (day, day * 7919 % 101) for day in range(1, 29))
    content = pack(b"item_id,timestamp,target\n" + rows)
    with pytest.raises(CorruptedFileError, match=f"it is no text, but {words}") as refused:
        read(source_of(content, "csv"))
    assert "unpack it" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["$101.00", "$99.50"], "$101.00"),
        (["102,00 \u20ac", "99,50 \u20ac"], "102,00 \u20ac"),
        (["12%", "7%"], "12%"),
        (["12.5", "(7.25)"], "(7.25)"),
        (["12.5", "7.25-"], "7.25-"),
        (["12 kg", "7 kg"], "12 kg"),
        (["12", "-", "NA", "7"], "-"),
    ],
)
@pytest.mark.parametrize("named", [(), ("sales",)])
def test_a_field_that_makes_numbers_a_text_is_shown_and_no_other_column_is_proposed(
    texts, shown, named
):
    rows = [
        f"{store};2024-01-{day + 1:02d};{text}"
        for store in (1, 2)
        for day, text in enumerate(texts)
    ]
    content = "\n".join(["store;date;sales", *rows]).encode()
    with pytest.raises(SchemaError) as refused:
        read(source_of(content, "csv"), columns=ColumnNames(targets=named))
    assert f"texts such as {shown!r}" in refused.value.hint
    assert "--targets store" not in refused.value.text


def test_a_text_far_below_numbers_is_told_from_numbers_of_several_forms():
    rows = [f"a,{DAY + dt.timedelta(day)},{day}" for day in range(70_000)]
    content = "\n".join(["item_id,timestamp,target", *rows, f"a,{DAY},-"]).encode()
    with pytest.raises(SchemaError, match="'target'") as refused:
        series_in(content)
    assert "begins with plain numbers, and has other texts further down" in refused.value.hint


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_an_empty_file_no_form_is_asked_for(kind):
    with pytest.raises(CorruptedFileError, match=r"(?i)empty|0 bytes") as refused:
        read(source_of(b"", kind))
    assert refused.value.hint == "write the object again, or exclude it"
