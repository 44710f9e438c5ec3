"""Folders of rows: what a group-by gives, in order, and names that lead back to the values."""

import random
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.contract.evolution import conform, is_wider, unify_schemas, widen
from gigacast.core.dataset.partitioning import Partitioning, folder_values
from gigacast.errors import ConfigError, SchemaError

ASSETS = ["ES", "a/b c=d", "é", "", None, "007"]


def frame(rows: int = 200) -> pd.DataFrame:
    rng = random.Random(0)
    start = pd.Timestamp("2023-12-30").to_pydatetime()
    return pd.DataFrame(
        {
            "timestamp": [start + timedelta(hours=rng.randrange(2000)) for _ in range(rows)],
            "asset": [rng.choice(ASSETS) for _ in range(rows)],
            "row": range(rows),
        }
    )


@pytest.mark.parametrize("by", [["date"], ["month"], ["year"], ["asset"], ["month", "asset"], []])
def test_rows_are_divided_as_by_a_slow_group_by(by: list[str]) -> None:
    rows = frame()
    table = pa.Table.from_pandas(rows, preserve_index=False)
    formats = {"date": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
    expected: dict[tuple[object, ...], list[int]] = {}
    for row in rows.itertuples():
        asset = None if pd.isna(row.asset) else row.asset
        key = tuple(
            row.timestamp.strftime(formats[column]) if column in formats else asset for column in by
        )
        expected.setdefault(key, []).append(row.row)
    parts = list(Partitioning.parse(by).split(table))
    assert [part["row"].to_pylist() for _, part in parts] == list(expected.values())
    assert len({folder for folder, _ in parts}) == len(parts)
    if by == ["asset"]:
        assets = [folder_values(f"{folder}x.parquet")["asset"] for folder, _ in parts]
        assert [None if v is None else "007" if v == 7 else v for v in assets] == [
            k[0] for k in expected
        ]


def test_a_level_named_twice_or_missing_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a level twice"):
        Partitioning.parse(["month", "year"])
    table = pa.table({"a": [1]})
    with pytest.raises(SchemaError, match="no column 'b'"):
        list(Partitioning.parse(["b"]).split(table))
    with pytest.raises(SchemaError, match="'a' is int64, not a timestamp"):
        list(Partitioning.parse(["date"], "a").split(table))


@pytest.mark.parametrize(
    ("narrow", "wide", "both"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint64(), pa.int64(), None),
        (pa.int16(), pa.float32(), pa.float32()),
        (pa.int32(), pa.float32(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("us")),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.string(), pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string(), pa.string()),
        (pa.null(), pa.float64(), pa.float64()),
        (pa.string(), pa.int64(), None),
        (pa.bool_(), pa.int64(), None),
    ],
)
def test_types_widen_to_one_that_holds_both(
    narrow: pa.DataType, wide: pa.DataType, both: pa.DataType | None
) -> None:
    assert widen(narrow, wide) == widen(wide, narrow) == both
    if both is not None:
        assert is_wider(both, narrow)
        assert is_wider(both, wide)


def test_old_rows_are_read_in_the_newest_form() -> None:
    old = pa.record_batch({"n": pa.array([1, 2], pa.int8())})
    new = pa.schema({"n": pa.int64(), "more": pa.string()})
    schema = unify_schemas([old.schema, new], "here")
    assert conform(old, schema, "x").to_pylist() == [{"n": 1, "more": None}, {"n": 2, "more": None}]
    with pytest.raises(SchemaError, match="here: the column 'n' is int64 in one file and string"):
        unify_schemas([new, pa.schema({"n": pa.string()})], "here")
