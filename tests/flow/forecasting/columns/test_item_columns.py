"""Items that several columns identify together, at every door."""

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, SchemaError

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}
BOTH: dict[str, Any] = {**OPTIONS, "item_columns": "store_id,sku"}
DAYS = 20
KINDS: dict[str, pa.Array] = {
    "integer": pa.array([1, 12], pa.int32()),
    "unsigned": pa.array([0, 2**64 - 1], pa.uint64()),
    "text": pa.array(["a/b", "a"]),
    "large text": pa.array(["~1", "/"], pa.large_string()),
    "bytes": pa.array([b"x", b"y"], pa.binary()),
    "category": pa.array(["b", "a_b"]).dictionary_encode(),
    "decimal": pa.array([decimal.Decimal("1.10"), decimal.Decimal("1.00")]),
    "date": pa.array([dt.date(2023, 1, 1), dt.date(1969, 1, 2)]),
    "time": pa.array([dt.time(1), dt.time(2)]),
    "zoned": pa.array([dt.datetime(2023, 1, n, tzinfo=dt.UTC) for n in (1, 2)]),
    "duration": pa.array([dt.timedelta(1), dt.timedelta(-2)]),
    "boolean": pa.array([True, False]),
    "uuid": pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([uuid.UUID(int=n).bytes for n in (1, 2)], pa.binary(16))
    ),
}


def panel(first: pa.Array, second: pa.Array, days: int = DAYS) -> pa.Table:
    """Return four items: each value of a column with each of the other, a value per day."""
    pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
    rows = [(a, b, n, 10.0 * (2 * a + b) + n % 7) for a, b in pairs for n in range(days)]
    take = {name: pa.array([row[n] for row in rows]) for n, name in enumerate("abnv")}
    start = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - as most files have it
    return pa.table(
        {
            "store_id": first.take(take["a"]),
            "sku": second.take(take["b"]),
            "pair": [f"{a}{b}" for a, b, _, _ in rows],
            "timestamp": [start + dt.timedelta(days=n) for _, _, n, _ in rows],
            "target": take["v"],
        }
    )


def sales(days: int = DAYS) -> pa.Table:
    """Return two stores that sell the same two products."""
    return panel(KINDS["integer"], KINDS["text"], days)


def write(folder: Path, table: pa.Table, key: str = "2024/01/part-0.parquet") -> str:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return f"file://{folder}"


def rows_of(table: pa.Table, *names: str) -> list[tuple[object, ...]]:
    columns = [table[name].to_pylist() for name in (*names, "timestamp", "predictions", "0.1")]
    return sorted(zip(*columns, strict=True), key=repr)


@settings(max_examples=60, deadline=None)
@given(
    first=st.sampled_from(sorted(KINDS)),
    second=st.sampled_from(sorted(KINDS)),
    seed=st.none() | st.integers(0, 99),
)
def test_two_columns_forecast_as_one_column_with_an_id_for_each_pair(
    first: str, second: str, seed: int | None
) -> None:
    table = panel(KINDS[first], KINDS[second])
    if seed is not None:
        order = pd.Series(range(len(table))).sample(frac=1, random_state=seed)
        table = table.take(pa.array(order.tolist()))
    forecasts = gigacast.forecast(table, **BOTH)
    plain = gigacast.forecast(
        table.drop_columns(["store_id", "sku"]), item_column="pair", **OPTIONS
    )
    # The pairs are known from the input itself: each is looked up by its two values.
    pairs = {
        (a, b): pair
        for a, b, pair in zip(
            *(_given_back(table[name]).to_pylist() for name in ("store_id", "sku")),
            table["pair"].to_pylist(),
            strict=True,
        )
    }
    named = [(pairs[row[:2]], *row[2:]) for row in rows_of(forecasts, "store_id", "sku")]
    assert sorted(named, key=repr) == rows_of(plain, "item_id")
    assert forecasts.schema.field("store_id").type == _given_back(table["store_id"]).type
    assert forecasts.schema.field("sku").type == _given_back(table["sku"]).type
    assert "item_id" not in forecasts.column_names


def _given_back(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ids in the types in which a single column of them is given back."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.chunked_array([pa.array([str(value) for value in column.to_pylist()])])
    if pa.types.is_integer(kind):
        return column.cast(pa.uint64() if pa.types.is_uint64(kind) else pa.int64())
    if pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return column.cast(pa.string())
    return column


def test_rows_without_a_value_in_a_column_are_left_out_and_counted(tmp_path: Path) -> None:
    table = sales()
    absent = pc.and_(pc.equal(table["store_id"], 1), pc.equal(table["sku"], "a"))
    column = pc.if_else(absent, pa.scalar(None, pa.string()), table["sku"])
    url = write(tmp_path, table.set_column(1, "sku", column))
    result = gigacast.forecast(url, **BOTH)
    assert result.totals.series == 3
    assert result.totals.repairs["null_items"] == DAYS


def test_the_columns_pass_through_every_door_of_a_bucket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write(tmp_path, sales())
    flags = ["--bucket", url, "--horizon", "3", "--model", "seasonal-naive"]
    flags += ["--item_columns", "store_id", "--item_columns", "sku"]
    assert run(["forecast", *flags]) == 0
    forecasts = gigacast.read_forecasts(url)
    assert list(forecasts.columns[:3]) == ["store_id", "sku", "timestamp"]
    assert (str(forecasts["store_id"].dtype), len(forecasts)) == ("int64", 12)
    chosen = gigacast.read_forecasts(url, items=[(12, "a/b")], columns=["predictions"])
    assert list(chosen.columns) == ["predictions"]
    assert (
        chosen["predictions"].tolist()
        == forecasts["predictions"][
            (forecasts["store_id"] == 12) & (forecasts["sku"] == "a/b")
        ].tolist()
    )
    assert run(["verify", *flags]) == 0
    capsys.readouterr()
    assert run(["show", "2024/01/part-0", *flags, "--item", "12/a~1b"]) == 0
    assert "12/a~1b" in capsys.readouterr().out
    backtested = gigacast.backtest(
        url, models=["seasonal-naive", "gigacast-bolt-nano"], **{**BOTH, "model": None}
    )
    assert (backtested.failures, backtested.leaderboard.partitions) == ([], 1)
    (losses, *_) = tmp_path.glob("backtests/seasonal-naive/**/part-0.parquet")
    assert pq.read_table(losses).column_names[:3] == ["store_id", "sku", "target_name"]


def test_an_evaluation_reads_actuals_by_the_columns_that_the_forecasts_name(
    tmp_path: Path,
) -> None:
    url = write(tmp_path, sales())
    gigacast.forecast(url, **BOTH)
    write(tmp_path, sales(DAYS + 3))
    evaluated = gigacast.evaluate(url)
    assert (evaluated.failures, evaluated.matched, evaluated.waiting) == ([], 12, 0)


def test_an_evaluation_counts_conflicting_actuals_and_names_the_columns_of_too_many(
    tmp_path: Path,
) -> None:
    url = write(tmp_path, sales())
    gigacast.forecast(url, item_column="pair", **OPTIONS)
    later = sales(DAYS + 3)
    again = later.slice(len(later) - 1).set_column(4, "target", [[1000.0]])
    write(tmp_path, pa.concat_tables([later, again]))
    evaluated = gigacast.evaluate(url, item_column="pair", duplicates="last")
    assert evaluated.to_json()["conflicts"] == 1
    write(tmp_path, later.set_column(2, "pair", [["00"] * len(later)]))
    ((_, message),) = gigacast.evaluate(url, item_column="pair").failures
    assert "the columns 'store_id' and 'sku' tell them apart" in message


def test_the_spec_differs_and_stays_as_it_was_without_the_columns(tmp_path: Path) -> None:
    url = write(tmp_path, sales())
    both = gigacast.forecast(url, **BOTH)
    turned = gigacast.forecast(url, **{**BOTH, "item_columns": ["sku", "store_id"]})
    plain = gigacast.forecast(url, item_column="pair", **OPTIONS)
    specs = [next(iter(result.plan.specs)) for result in (both, turned, plain)]
    assert len(set(specs)) == 3
    assert gigacast.plan(url, **BOTH).plan.tasks == []


def test_a_table_in_the_wide_layout_has_the_columns_too(tmp_path: Path) -> None:
    url = write(tmp_path, sales())
    gigacast.forecast(url, layout="wide", **BOTH)
    (path,) = tmp_path.glob("forecasts/**/part-0.parquet")
    table = pq.read_table(path)
    assert (table.num_rows, table.column_names[:2]) == (4, ["store_id", "sku"])
    write(tmp_path, sales(DAYS + 3))
    assert gigacast.evaluate(url).matched == 12


def test_columns_of_csv_are_text(tmp_path: Path) -> None:
    frame = sales().to_pandas().assign(store_id=lambda f: "00" + f["store_id"].astype(str))
    path = tmp_path / "2024/01/part-0.csv"
    path.parent.mkdir(parents=True)
    frame.to_csv(path, index=False)
    gigacast.forecast(f"file://{tmp_path}", **BOTH)
    forecasts = gigacast.read_forecasts(f"file://{tmp_path}")
    assert sorted(set(forecasts["store_id"])) == ["001", "0012"]


def test_merged_items_are_refused_with_flags_to_paste(tmp_path: Path) -> None:
    table = sales().drop_columns(["pair"])
    with pytest.raises(SchemaError, match="'store_id' and 'sku' tell them apart") as caught:
        gigacast.forecast(table, **OPTIONS)
    assert 'item_columns="store_id,sku"' in str(caught.value)
    with pytest.raises(SchemaError, match='item_columns="sku,store_id"'):
        gigacast.forecast(table, item_column="sku", **OPTIONS)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("store_id,store_id", "named twice"),
        ("store_id,timestamp", "can't be told from the column of this name"),
        ("store_id,0.5", "can't be told from the column of this name"),
    ],
)
def test_columns_that_cannot_name_items_are_refused(columns: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gigacast.forecast(sales(), item_columns=columns, **OPTIONS)


def test_a_column_that_does_not_exist_is_named_with_the_nearest_one() -> None:
    with pytest.raises(SchemaError, match="no column 'shop_id'"):
        gigacast.forecast(sales(), item_columns="shop_id,sku", **OPTIONS)
    with pytest.raises(SchemaError, match="did you mean store_id"):
        gigacast.forecast(sales(), item_columns="store_idd,sku", **OPTIONS)


def test_both_settings_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="both name the columns of item ids"):
        gigacast.forecast(sales(), item_column="pair", **BOTH)


def test_a_column_of_items_has_no_other_use() -> None:
    with pytest.raises(SchemaError, match="'store_id' can't be a column of items"):
        gigacast.forecast(sales(), item_columns="store_id,sku", targets="store_id", **OPTIONS)
