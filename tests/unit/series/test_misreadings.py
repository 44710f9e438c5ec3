"""Forms that look like a form that is read, and are another: refused, or read as what they are."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.json_table import table_of_json
from gigacast.core.plain import plain_table
from gigacast.core.series.batch import NO_TIME
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasting.api.arrays import contexts_of
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.frame import table_of
from gigacast.series.identity import id_type, read_ids
from gigacast.series.reader import read_series
from gigacast.series.source import ColumnNames, ReadOptions, SeriesSource
from gigacast.series.timestamp_text import parse_times
from gigacast.series.value import check_digits, read_values

DAYS = [datetime(2024, 1, 5) + timedelta(days=k) for k in range(24)]  # noqa: DTZ001 - wall time
MONTHS = [datetime(2022 + k // 12, k % 12 + 1, 1) for k in range(24)]  # noqa: DTZ001
CLOCKS = ["10", "10:05", "1005", "10:05:09", "100509", "10:05:09.25", "10:05:09,25"]


def read(table: pa.Table) -> list[Any]:
    return list(read_series([SeriesSource.of_table(table)], ReadOptions()))


def table_at(times: list[Any]) -> pa.Table:
    return pa.table(
        {"item_id": "a", "timestamp": times, "target": [float(k) for k in range(24)]}
        | {"item_id": ["a"] * len(times)}
    )


def are_read(texts: list[str]) -> list[bool]:
    return [bool(time != NO_TIME) for time in parse_times(pa.array(texts))]


# -- texts of times --------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["-", "/"])
def test_months_of_one_digit_are_read(separator: str) -> None:
    texts = pa.array([f"{t.year}{separator}{t.month}" for t in MONTHS])
    assert parse_times(texts).tolist() == parse_times(pa.array(map(str, MONTHS))).tolist()


@pytest.mark.parametrize("day", ["2024-01", "2024/01", "202401", "2024.01", "2024Q1", "2024"])
def test_a_clock_needs_a_day(day: str) -> None:
    assert are_read([day]) == [True]
    assert are_read([f"{day} {clock}" for clock in [*CLOCKS, "5", "05"]]) == [False] * 9
    assert are_read([f"2024-01-05 {clock}" for clock in CLOCKS]) == [True] * 7


@pytest.mark.parametrize("clock", ["10.30", "10,5", "10:30.5", "10.30.00", "1030,5"])
def test_only_seconds_have_a_fraction(clock: str) -> None:
    assert are_read([f"2024-01-05 {clock}"]) == [False]


def test_offsets_are_those_that_clocks_can_have() -> None:
    for text, end in (("2024-01-05T00:00+{:02}:00", 19), ("2024-01-05T00:00-01{:02}", 60)):
        times = parse_times(pa.array([text.format(number) for number in range(100)]))
        assert np.flatnonzero(times != NO_TIME).tolist() == list(range(end))


@pytest.mark.parametrize(
    "spell",
    [
        lambda t: t.strftime("%Y-%d-%m"),
        lambda t: f"{t.year}.{t.month + t.day % 12}",
        lambda t: t.isoformat() if t.day < 20 else t.strftime("%d %b"),
        lambda t: int(t.strftime("%Y%d%m")),
    ],
)
def test_a_form_that_a_part_of_the_rows_has_by_chance_is_refused(spell: Any) -> None:
    table = table_at([spell(t) for t in DAYS])
    with pytest.raises(SchemaError, match=r"of 24 timestamps"):
        read(table)
    # In any order, and cut into batches.
    with pytest.raises(SchemaError, match=r"of 24 timestamps"):
        read(table.take(list(range(23, -1, -1))))


@pytest.mark.parametrize("missing", ["", "NULL", "n/a", "NaT", "0000-00-00", "9999-12-31", "-"])
def test_words_for_a_missing_time_are_no_other_form(missing: str) -> None:
    texts = [missing if t.day % 2 else t.isoformat() for t in DAYS]
    (batch,) = read(table_at(texts))
    assert len(batch) == 1


def test_an_exponent_is_no_fraction_of_a_second() -> None:
    with pytest.raises(SchemaError, match="no row of 24 has a readable timestamp"):
        read(table_at([f"{1_704_412_800 + k:.12e}" for k in range(24)]))


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([2**60 + k for k in range(9)], pa.int64()),
        ([2**63 + k for k in range(9)], pa.uint64()),
        ([Decimal(10**25 + k) for k in range(9)], pa.decimal128(38, 0)),
        ([Decimal(f"1.{k:030}") for k in range(9)], pa.decimal256(60, 30)),
    ],
    ids=["int64", "uint64", "decimal128", "decimal256"],
)
def test_numbers_whose_differences_no_float_holds_are_refused(
    numbers: list[Any], kind: pa.DataType
) -> None:
    for column in (pa.array(numbers, kind), pa.array([*numbers, None], kind).dictionary_encode()):
        with pytest.raises(SchemaError, match="no float of 64 bits holds"):
            check_digits(column, read_values(column), "part", "target")
    # Repeated numbers are no differences; and small ones have all their digits.
    for fine in ([numbers[0]] * 3, [1, 2, 3], []):
        column = pa.array(fine, kind)
        check_digits(column, read_values(column), "part", "target")


def test_true_among_numbers_is_no_one() -> None:
    with pytest.raises(ValueError, match="true or false among numbers"):
        table_of_json(b'[{"target": 2.5}, {"target": true}]')
    with pytest.raises(ValueError, match="no float holds"):
        table_of_json(f'[{{"target": {10**30}}}, {{"target": {10**30 + 1}}}]'.encode())
    assert table_of_json(b'[{"target": true}, {"target": null}]').num_rows == 2
    for values in ([2.5, True], [2, np.True_], [True, 2.5]):
        with pytest.raises(SchemaError, match="converted"):
            table_of(pd.DataFrame({"target": pd.Series(values, dtype=object)}))


def test_objects_of_times_have_all_a_zone_or_none() -> None:
    aware = [t.replace(tzinfo=UTC) for t in DAYS]
    mixed = pd.DataFrame({"timestamp": pd.Series([*aware[:-1], DAYS[-1]], dtype=object)})
    with pytest.raises(SchemaError, match="some times have a zone"):
        table_of(mixed)
    for times in ([*aware, None], [*DAYS, pd.NaT]):
        table_of(pd.DataFrame({"timestamp": pd.Series(times, dtype=object)}))


# -- ids -------------------------------------------------------------------------------------------


def test_dates_with_hours_are_no_ids() -> None:
    hours = pa.array([0, 3_600_000], pa.int64()).view(pa.date64())
    with pytest.raises(SchemaError, match="have hours"):
        read_ids(hours, id_type(hours.type), "part")


def test_an_index_that_may_be_the_only_ids_is_refused() -> None:
    frame = pd.DataFrame({"timestamp": DAYS, "target": 1.0}, index=["a"] * 12 + ["b"] * 12)
    with pytest.raises(SchemaError, match="the index has texts that repeat"):
        table_of(frame)
    assert table_of(frame.rename_axis("item_id")).column_names[0] == "item_id"
    assert table_of(frame.assign(item_id="a")).num_columns == 3
    assert table_of(frame.set_axis(range(24))).num_columns == 2


def test_any_form_in_a_dictionary_is_its_plain_form() -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int16()), pa.array(["x", "y"]))
    moments = pa.array(DAYS[:2], pa.timestamp("us", "+0530"))
    codes = pa.array([1, None, 0], pa.uint64())
    plain = [
        plain_table(pa.table({"a": pa.DictionaryArray.from_arrays(codes, values)}))["a"]
        for values in (runs, moments)
    ]
    assert plain[0].to_pylist() == ["y", None, "x"]
    assert plain[1].type.value_type.tz == "+05:30"
    assert [column.null_count for column in plain] == [1, 1]
    assert plain_table(pa.table({"t": moments}))["t"].type.tz == "+05:30"


@pytest.mark.parametrize(
    "columns",
    [
        {"targets": ("target", "target")},
        {"targets": ("timestamp",)},
        {"targets": ("item_id",)},
        {"item_id": "timestamp"},
        {"timestamp": "item_id"},
        {"items": ("item_id",), "targets": ("item_id",)},
    ],
    ids=str,
)
def test_a_column_has_one_use(columns: dict[str, Any]) -> None:
    table = pa.table({name: pa.array(range(24)) for name in ("item_id", "timestamp", "target")})
    source = SeriesSource.of_table(table)
    with pytest.raises(SchemaError, match="already in use"):
        list(read_series([source], ReadOptions(columns=ColumnNames(**columns))))


# -- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context",
    [
        pd.Series(["1", "2"]),
        pa.array(["1", "2"]),
        np.array([b"1", 2], object),
        [1.5, True],
        [True, 2],
        [[1.5, 2.0], [True, 0]],
        [2**60, 2**60 + 1],
        np.array([2**60, 2**60 + 1]),
        pd.Series([1.0, 2.0], index=pd.to_datetime(["2024-01-01"] * 2)),
    ],
    ids=[
        "texts of pandas",
        "texts of Arrow",
        "bytes",
        "a truth",
        "a number",
        "a truth in rows",
        "lost digits",
        "lost digits of NumPy",
        "two of a date",
    ],
)
def test_contexts_are_numbers_one_for_each_time(context: Any) -> None:
    with pytest.raises(ConfigError, match="context"):
        contexts_of(context)


def test_contexts_of_numbers_are_read() -> None:
    for context in ([True, False], [1, None, 2.5], np.array([2**60, 2**60]), range(3)):
        assert len(contexts_of(context)) == 1


# -- CSV -------------------------------------------------------------------------------------------


def read_csv(content: bytes, **options: Any) -> list[str]:
    source = SeriesSource(lambda: io.BytesIO(content), "csv", "part.csv")
    reading = ReadOptions(csv=CsvOptions(**options))
    return [i for batch in read_series([source], reading) for i in batch.item_ids.to_pylist()]


def csv_of(*ids: str) -> str:
    rows = [f"{name},{t:%Y-%m-%d},{k}" for name in ids for k, t in enumerate(DAYS)]
    return "\n".join(["item_id,timestamp,target", *rows, ""])


@pytest.mark.parametrize("marks", [1, 2, 3])
def test_byte_order_marks_of_joined_files_are_no_letters(marks: int) -> None:
    for encoding in ("utf-8", "utf-16-le"):
        assert read_csv(("\ufeff" * marks + csv_of("a", "b")).encode(encoding)) == ["a", "b"]


@pytest.mark.parametrize("name", ['"a', '"a \\"x\\" b"', '"a" b'])
def test_text_behind_a_quote_is_refused_and_none_is_lost(name: str) -> None:
    with pytest.raises(SchemaError, match="behind the quote"):
        read_csv(csv_of(name, "b").encode())
    assert read_csv(csv_of(name, "b").encode(), quote="none") == [name, "b"]


@pytest.mark.parametrize("name", ['"a, ""x"" b"', '5" pipe', '"a\nb"', "a'b"])
def test_quotes_that_are_whole_are_read(name: str) -> None:
    written = name[1:-1].replace('""', '"') if name[0] == '"' else name
    assert read_csv(csv_of(name, "b").encode()) == [written, "b"]


def test_letters_of_eastern_europe_are_not_taken_for_signs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("Łódź", "Michał", "Władek", "róża"):
        with pytest.raises(Exception, match="its encoding is not known"):
            read_csv(csv_of(name).encode("cp1250"))
    assert read_csv(csv_of("Zürich 5 m³", "£5 café").encode("cp1252")) == ["Zürich 5 m³", "£5 café"]
    assert len([r for r in caplog.records if "read as cp1252" in r.getMessage()]) <= 1
