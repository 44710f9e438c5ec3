"""Ids of every type that can name things, and the refusal of all others."""

import datetime as dt
import decimal
import uuid

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import SchemaError
from tests.unit.series.reading import days, parquet, read, reader_of, source_of

DAY = dt.date(2023, 1, 1)
UTC = dt.timezone.utc  # noqa: UP017
KINDS = {
    "decimal": ([decimal.Decimal(n) for n in (1, 2, 30)], pa.decimal128(38, 0)),
    "decimal256": ([decimal.Decimal(f"{n}.50") for n in (1, 2, 30)], pa.decimal256(50, 2)),
    "date": ([DAY, DAY + dt.timedelta(1), DAY + dt.timedelta(300)], pa.date32()),
    "date64": ([DAY, DAY + dt.timedelta(1), DAY + dt.timedelta(300)], pa.date64()),
    "time": ([dt.time(1), dt.time(2), dt.time(13)], pa.time64("us")),
    "timestamp": ([dt.datetime(2023, 1, n) for n in (1, 2, 30)], pa.timestamp("ms")),  # noqa: DTZ001
    "zoned": ([dt.datetime(2023, 1, n, tzinfo=UTC) for n in (1, 2, 30)], pa.timestamp("s", "UTC")),
    "duration": ([dt.timedelta(n) for n in (1, 2, 30)], pa.duration("us")),
    "bool": ([False, True], pa.bool_()),
    "large": (["a", "b", "c"], pa.large_string()),
    "view": (["a", "b", "c"], pa.string_view()),
    "bytes view": (["a", "b", "c"], pa.binary_view()),
}
MEMORY = [1, 2**29]


def panel_of(ids: pa.Array, length: int = 5) -> pa.Table:
    count = len(ids)
    order = np.repeat(np.arange(count), length)
    return pa.table(
        {
            "item_id": ids.take(pa.array(order)),
            "timestamp": pa.array([*days("2024-01-01", length)] * count, pa.timestamp("us")),
            "target": np.arange(count * length, dtype=float),
        }
    )


def expected_of(names, length: int = 5) -> dict:
    return {name: tuple(range(n * length, (n + 1) * length)) for n, name in enumerate(names)}


def values_of(series: dict) -> dict:
    return {item: values.values for (item, _), values in series.items()}


@pytest.mark.parametrize("memory", MEMORY, ids=["spilled", "in_memory"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", [True, False], ids=["parquet", "table"])
def test_ids_of_every_type_come_back_in_any_order_of_rows(kind, memory, stored):
    names, arrow = KINDS[kind]
    is_view = "view" in kind
    plain = pa.array(names, pa.string() if is_view else arrow)
    table = panel_of(plain)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for rows in (table, shuffled):
        ids = rows["item_id"].cast(arrow) if is_view else rows["item_id"]
        typed = rows.set_column(0, "item_id", ids)
        source = parquet(typed, row_group_size=4) if stored and not is_view else typed
        series = read(source, memory_limit_bytes=memory, batch_rows=3)
        assert values_of(series) == expected_of(names)


@pytest.mark.parametrize("stored", [True, False], ids=["parquet", "table"])
def test_uuids_come_back_as_they_are_spelt(stored):
    names = [uuid.UUID(int=n * 2**99 + n) for n in range(3)]
    storage = pa.array([name.bytes for name in names], pa.binary(16))
    table = panel_of(pa.ExtensionArray.from_storage(pa.uuid(), storage))
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for rows in (table, shuffled, table.slice(5)):
        series = read(parquet(rows) if stored else rows)
        texts = {str(name): v for name, v in expected_of(names).items()}
        assert values_of(series).items() <= texts.items()
        assert len(series) == len(rows) // 5


def test_a_null_among_ids_of_any_type_drops_its_row():
    for names, arrow in KINDS.values():
        rows = panel_of(pa.array([0]))
        more = pa.array([*[names[0]] * 4, None], arrow)
        reader = reader_of(rows.set_column(0, "item_id", more))
        assert [batch.values.tolist() for batch in reader] == [[0, 1, 2, 3]]
        assert reader.stats.null_items == 1


@pytest.mark.parametrize("kind", [pa.float64(), pa.float16(), pa.list_(pa.int8()), pa.struct([])])
@pytest.mark.parametrize("name", ["item_id", "unique_id", "symbol", "ID"])
def test_a_column_that_cannot_be_an_id_is_refused_by_name(kind, name):
    table = panel_of(pa.array([1, 2])).rename_columns([name, "timestamp", "target"])
    table = table.set_column(0, name, pa.nulls(len(table), kind))
    with pytest.raises(SchemaError, match=f"column '{name}' of type .* cannot hold item ids"):
        read(table)


@pytest.mark.parametrize(
    ("first", "second"),
    [("007", "7"), ("1.10", "1.1"), ("12E3", "12000"), ("NA", "null"), ("true", "false"),
     ("NaN", "nan"), ("99999999999999999998", "99999999999999999999"), ("2024-01-01", "2024-01-02"),
     ("10:30:00", "11:30:00"), ("+1", "1"), ("None", "N/A"), ("0x10", "16")],
)  # fmt: skip
def test_ids_in_csv_are_text_whatever_they_look_like(first, second):
    rows = [f"{item},2024-01-{n:02d},{n}" for item in (first, second) for n in range(1, 6)]
    series = read(source_of("\n".join(["item_id,timestamp,target", *rows]).encode(), "csv"))
    assert values_of(series) == dict.fromkeys((first, second), (1, 2, 3, 4, 5))


def test_only_an_empty_field_of_csv_is_a_missing_id_and_words_for_missing_numbers_stay():
    text = "item_id,timestamp,target\nNA,2024-01-01,NA\nNA,2024-01-02,2\n,2024-01-03,3\n"
    reader = reader_of(source_of(text.encode(), "csv"))
    (batch,) = reader
    assert batch.item_ids.to_pylist() == ["NA"]
    assert batch.values.tolist() == [2]
    assert reader.stats.null_items == 1


def test_a_source_without_ids_beside_one_with_ids_is_refused():
    table = panel_of(pa.array(["a", "b"]))
    with pytest.raises(SchemaError, match=r"column of item ids \(none\) are not those of"):
        read(parquet(table), parquet(table.drop_columns(["item_id"])))
