"""Tables of Iceberg and Delta Lake as inputs of jobs."""

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.tables.table_formats import TableFormat, panel

pytest.importorskip("pyiceberg", reason="tables of Iceberg need the extra iceberg")
pytest.importorskip("deltalake", reason="tables of Delta Lake need the extra delta")

NAIVE = {"model": "seasonal-naive", "horizon": 4}


def bucket_at(folder: Path) -> Store:
    folder.mkdir(exist_ok=True)
    return open_store(StoreAddress(f"file://{folder}"))


def bytes_of(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    return buffer.getvalue()


def partitions(store: Store, table: str, **options: object) -> list[str]:
    report = gigacast.plan(store.address.url, input_prefix=table, **NAIVE, **options)  # type: ignore[arg-type]
    return [task.partition for task in report.plan.tasks]


def forecasts(store: Store) -> pd.DataFrame:
    frame = gigacast.read_forecasts(store.address.url)
    return frame.sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def forecast(store: Store, table: str | None = None, **options: object) -> list[str]:
    result = gigacast.forecast(store.address.url, input_prefix=table, **NAIVE, **options)  # type: ignore[arg-type]
    assert result.status == "completed"
    return [task.partition for task in result.plan.tasks]


def rows_of(table: str, key: str) -> pd.DataFrame:
    store = open_inputs(StoreAddress(table))
    frame = pq.read_table(io.BytesIO(store.get(key))).to_pandas()
    return frame.sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def etags(table: str) -> dict[str, str]:
    pages = open_inputs(StoreAddress(table)).list()
    return {entry.key: entry.etag for page in pages for entry in page}


def test_a_table_by_months_is_forecast_as_the_same_rows_in_a_bucket(
    lake: TableFormat, tmp_path: Path
) -> None:
    plain, out = bucket_at(tmp_path / "plain"), bucket_at(tmp_path / "out")
    for month in ("2024-01", "2024-02"):
        # Two commits, so that a partition has two files.
        first, second = panel(month), panel(month, ["c"])
        lake.append("sales", first, ["month"])
        lake.append("sales", second, ["month"])
        plain.put(
            f"{month.replace('-', '/')}/part-0.parquet",
            bytes_of(pa.concat_tables([first, second])),
        )
    assert forecast(out, lake.url("sales")) == ["2024/01/part-0", "2024/02/part-0"]
    forecast(plain)
    pd.testing.assert_frame_equal(forecasts(out), forecasts(plain))
    assert partitions(out, lake.url("sales")) == []


def test_only_partitions_with_new_files_are_pending(lake: TableFormat, tmp_path: Path) -> None:
    out = bucket_at(tmp_path / "out")
    lake.append("sales", pa.concat_tables([panel("2024-01"), panel("2024-02")]), ["month"])
    forecast(out, lake.url("sales"))
    lake.append("sales", panel("2024-02", ["z"]), ["month"])
    lake.append("sales", panel("2024-03"), ["month"])
    assert partitions(out, lake.url("sales")) == ["2024/02/part-0", "2024/03/part-0"]
    assert partitions(out, lake.url("sales"), months="latest") == ["2024/03/part-0"]
    # Rows that did not change make the same bytes, whatever the snapshot.
    [january] = [meta for page in out.list("forecasts/") for meta in page if "/01/" in meta.key]
    before = out.get(january.key)
    forecast(out, lake.url("sales"), months="1", overwrite=True)
    assert out.get(january.key) == before


def test_a_plan_pins_its_snapshot_and_an_older_one_is_read_by_its_name(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    pinned = pin_inputs(StoreAddress(lake.url("sales")))
    before = etags(pinned.url)
    lake.append("sales", panel("2024-01", ["z"]), ["month"])
    assert pin_inputs(pinned) == pinned
    assert etags(pinned.url) == before
    assert etags(lake.url("sales")) != before
    assert set(rows_of(pinned.url, "2024/01/part-0.parquet")["item_id"]) == {"a", "b"}
    assert set(rows_of(lake.url("sales"), "2024/01/part-0.parquet")["item_id"]) == {"a", "b", "z"}
    # A time in the far future stands for the latest, one before the table for none.
    assert etags(lake.url("sales") + "?as_of=2100-01-01") == etags(lake.url("sales"))
    with pytest.raises(DataNotFoundError, match=r"no (version|snapshot) of"):
        etags(lake.url("sales") + "?as_of=1999-01-01")


def test_other_partition_columns_are_levels_below_the_month(
    lake: TableFormat, tmp_path: Path
) -> None:
    rows = panel("2024-01").append_column("store", pa.array(["x y"] * 48 + ["p/q"] * 48))
    lake.append("sales", rows, ["month", "store"])
    out, level = bucket_at(tmp_path / "out"), "store" if lake.kind == "delta" else "store_level"
    assert partitions(out, lake.url("sales")) == [
        f"2024/01/{level}=p%2Fq/part-0",
        f"2024/01/{level}=x y/part-0",
    ]
    forecast(out, lake.url("sales"), item_columns=("item_id", "store"))
    pairs = {tuple(pair) for pair in forecasts_by_items(out)}
    assert pairs == {("a", "x y"), ("b", "p/q")}


def forecasts_by_items(store: Store) -> list[list[str]]:
    frame = gigacast.read_forecasts(store.address.url)
    return frame[["item_id", "store"]].drop_duplicates().values.tolist()


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_a_table_without_months_is_one_partition_of_its_newest_month(
    lake: TableFormat, tmp_path: Path
) -> None:
    out = bucket_at(tmp_path / "out")
    lake.append("sales", panel("2024-01"))
    lake.append("sales", panel("2024-03"))
    assert partitions(out, lake.url("sales")) == ["2024/03/part-0"]
    assert len(rows_of(lake.url("sales"), "2024/03/part-0.parquet")) == 192


def test_rows_are_cut_into_months_by_their_times_if_the_address_says_so(lake: TableFormat) -> None:
    months = [panel(month) for month in ("2023-12", "2024-01", "2024-02")]
    lake.append("sales", pa.concat_tables(months))
    table = lake.url("sales") + "?by=month"
    assert list(etags(table)) == [f"{m}/part-0.parquet" for m in ("2023/12", "2024/01", "2024/02")]
    expected = months[1].to_pandas().sort_values(["item_id", "timestamp"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_of(table, "2024/01/part-0.parquet"), expected)


def test_a_new_column_is_missing_in_older_files_and_columns_can_be_chosen(
    lake: TableFormat,
) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    chosen = lake.url("sales") + "?columns=item_id,timestamp,target"
    before = etags(chosen)
    add_column(lake, "sales", "price")
    lake.append(
        "sales", panel("2024-01", ["z"]).append_column("price", pa.array([2.0] * 48)), ["month"]
    )
    lake.append(
        "sales", panel("2024-02", ["z"]).append_column("price", pa.array([2.0] * 48)), ["month"]
    )
    rows = rows_of(lake.url("sales"), "2024/01/part-0.parquet")
    assert rows.groupby("item_id")["price"].sum().to_dict() == {"a": 0.0, "b": 0.0, "z": 96.0}
    assert rows["price"].isna().sum() == 96
    assert list(rows_of(chosen, "2024/01/part-0.parquet")) == ["item_id", "timestamp", "target"]
    assert set(before) < set(etags(chosen))
    with pytest.raises(SchemaError, match="no column 'nope'"):
        etags(lake.url("sales") + "?columns=nope")


def add_column(lake: TableFormat, name: str, column: str) -> None:
    if lake.kind == "delta":
        from deltalake import DeltaTable, Field
        from deltalake.schema import PrimitiveType

        DeltaTable(lake.place(name)).alter.add_columns(Field(column, PrimitiveType("double")))
        return
    from pyiceberg.types import DoubleType

    with lake.open_catalog() as catalog, catalog.load_table(f"ns.{name}").update_schema() as change:
        change.add_column(column, DoubleType())


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_every_job_reads_a_table(
    lake: TableFormat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    lake.append("sales", panel("2024-01", ["c"]), ["month"])
    bucket_at(tmp_path / "out")
    place = ["--bucket", f"file://{tmp_path}/out", "--input_prefix", lake.url("sales")]
    model = ["--model", "seasonal-naive", "--horizon", "4"]
    for command in (
        ["plan", *model],
        ["forecast", *model],
        ["show", "c", "--bucket", f"file://{tmp_path}/out", "--input_prefix", lake.url("sales")],
        ["data", "quality"],
        ["data", "clean", "partitions", "cleaned/SALES"],
        ["data", "discover", "--files"],
        ["backtest", "--model", "seasonal-naive", "--horizon", "4"],
        ["anomalies", *model],
    ):
        words = command if "--input_prefix" in command else [*command, *place]
        code = run(words)
        shown = capsys.readouterr()
        assert code == 0, (command, shown.out, shown.err)
