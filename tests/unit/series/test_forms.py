"""Forms that were misread or refused without need, each with the right value."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.errors import SchemaError

DAYS = [datetime(2024, 1, day) for day in range(1, 21)]  # noqa: DTZ001 - wall time
VALUES = [float(day % 7) for day in range(20)]


def table(**columns: Any) -> pa.Table:
    return pa.table({"item_id": ["a"] * 20, "timestamp": DAYS, "target": VALUES} | columns)


def forecast(data: pa.Table, **options: Any) -> list[tuple[Any, Any]]:
    rows = gigacast.forecast(data, model="seasonal-naive", horizon=2, **options).to_pylist()
    return [(row["timestamp"], row["predictions"]) for row in rows]


WANTED = forecast(table())
SECONDS = [int((day - datetime(1970, 1, 1)).total_seconds()) for day in DAYS]  # noqa: DTZ001


@pytest.mark.parametrize(
    "times",
    [
        pa.array([Decimal(number) for number in SECONDS], pa.decimal128(38, 0)),
        pa.array([Decimal(f"{day:%Y%m%d}") for day in DAYS], pa.decimal128(8, 0)),
        pa.array([Decimal(f"{day:%Y%m%d}") for day in DAYS], pa.decimal64(8, 0)),
        pa.array([f"{day:%Y-%m-%d}".encode() for day in DAYS], pa.binary()),
        pa.array([f"{day:%Y-%m-%d}".encode() for day in DAYS], pa.binary(10)),
    ],
    ids=["seconds", "yyyymmdd", "short decimals", "bytes", "bytes of one size"],
)
def test_times_as_decimals_and_bytes_are_read(times: pa.Array) -> None:
    assert forecast(table(timestamp=times)) == WANTED


def test_decimals_with_a_fraction_are_no_times() -> None:
    seconds = pa.array([Decimal(number) for number in SECONDS], pa.decimal128(38, 2))
    with pytest.raises(SchemaError, match=r"column 'timestamp' of type decimal.* cannot hold"):
        forecast(table(timestamp=seconds))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"timestamp": [f"{day:%d/%m/%Y}" for day in DAYS]}, "no row of 20 .* in 'timestamp'"),
        ({"timestamp": [str(number) for number in SECONDS]}, "no row of 20 .* in 'timestamp'"),
        ({"timestamp": pa.nulls(20, pa.timestamp("us"))}, "no row of 20 .* in 'timestamp'"),
        ({"item_id": pa.nulls(20, pa.string())}, "no row has an item id: column 'item_id'"),
        ({"timestamp": pa.array([True] * 20)}, "'timestamp' of type bool cannot hold timestamps"),
        ({"target": ["1"] * 20}, "'target' of type string cannot hold values"),
    ],
)
def test_a_column_of_which_nothing_can_be_read_is_refused(
    columns: dict[str, Any], says: str
) -> None:
    with pytest.raises(SchemaError, match=says) as raised:
        forecast(table(**columns))
    assert raised.value.hint


def test_a_few_unreadable_times_and_missing_ids_are_dropped() -> None:
    texts = [f"{day:%Y-%m-%d}" for day in DAYS]
    left_out = pytest.warns(UserWarning, match="without an item id or a readable time")
    with left_out:
        assert forecast(table(timestamp=[*texts[:5], "soon", *texts[6:]]))[0][0] == WANTED[0][0]
    some = table(item_id=pa.array([None, *["a"] * 19]))
    with left_out:
        assert forecast(some) == WANTED


def lists(start: Any, freq: str) -> pa.Table:
    return pa.table({"item_id": ["a"], "start": [start], "target": [VALUES], "freq": [freq]})


def test_starts_and_frequencies_of_two_kinds_are_refused() -> None:
    assert forecast(lists(DAYS[0], "D")) == WANTED
    assert forecast(lists(1, "1"))[0][0] == 21
    with pytest.raises(SchemaError, match=r"table: column 'start' holds plain numbers.* D of"):
        forecast(lists(2010, "D"))
    with pytest.raises(SchemaError, match=r"column 'start' holds times.* of column 'freq'"):
        forecast(lists(DAYS[0], "1"))


TEXTS = [f"{day:%Y-%m-%d}" for day in DAYS]
RECORDS = [
    {"item_id": "a", "timestamp": time, "target": value}
    for time, value in zip(TEXTS, VALUES, strict=True)
]
JSON = {
    "a record with lists": {"item_id": "a", "timestamp": TEXTS, "target": VALUES},
    "a record with a start": {"item_id": "a", "start": TEXTS[0], "target": VALUES, "freq": "D"},
    "split": {
        "columns": ["item_id", "timestamp", "target"],
        "index": list(range(20)),
        "data": [list(record.values()) for record in RECORDS],
    },
    "split without an index": {
        "columns": ["item_id", "timestamp", "target"],
        "data": [list(record.values()) for record in RECORDS],
    },
    "table": {"schema": {"fields": []}, "data": RECORDS},
    "columns": {"item_id": ["a"] * 20, "timestamp": TEXTS, "target": VALUES},
    "columns called data and schema": {
        "timestamp": TEXTS, "target": VALUES, "data": VALUES, "schema": TEXTS,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_json_of_one_record_and_of_pandas_is_read(name: str, tmp_path: Any) -> None:
    (tmp_path / "2024/01").mkdir(parents=True)
    (tmp_path / "2024/01/part-0.json").write_text(json.dumps(JSON[name]))
    url = f"file://{tmp_path}"
    run = gigacast.forecast(url, model="seasonal-naive", horizon=2)
    assert run.failures == []
    rows = gigacast.read_forecasts(url)
    assert list(zip(rows["timestamp"], rows["predictions"], strict=True)) == WANTED


def test_ids_beyond_int64_in_a_column_of_objects_are_read() -> None:
    ids = pd.Series([2**64 - 1, 2**63] * 10, dtype=object)
    frame = pd.DataFrame({"item_id": ids, "timestamp": np.repeat(DAYS[:10], 2), "target": VALUES})
    rows = gigacast.forecast(frame, model="seasonal-naive", horizon=1)
    assert sorted(map(int, rows["item_id"])) == [2**63, 2**64 - 1]


def test_decimals_as_ids_have_the_digits_that_all_parts_of_a_month_need(tmp_path: Path) -> None:
    folder = tmp_path / "2024/01"
    folder.mkdir(parents=True)
    # pandas gives each file the digits of its own ids: here two, and four.
    for number, item in enumerate(["0.2", "12.00"]):
        frame = pd.DataFrame({"item_id": Decimal(item), "timestamp": DAYS, "target": VALUES})
        frame.to_parquet(folder / f"part-{number}.parquet")
    url = tmp_path.as_uri()
    run = gigacast.forecast(url, model="seasonal-naive", horizon=2, partition_by="month")
    assert run.failures == []
    rows = gigacast.read_forecasts(url)
    assert set(rows["item_id"]) == {Decimal("0.20"), Decimal("12.00")}
