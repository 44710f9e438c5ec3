"""Results in tables: one commit per run, and never a row twice."""

import re
import threading
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import gigacast
from gigacast.batch.aws import BatchService
from gigacast.batch.submit import submit_run
from gigacast.cli.program import run
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasting.run import RunResult
from gigacast.job.batch_options import ArrayOptions
from gigacast.lake.table import output
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.tables.table_formats import TableFormat, panel
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels

pytest.importorskip("pyiceberg", reason="tables of Iceberg need the extra iceberg")
pytest.importorskip("deltalake", reason="tables of Delta Lake need the extra delta")

KEYS = ["gigacast_source", "gigacast_partition", "gigacast_output"]


@pytest.fixture
def bucket(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    put_panels(store, parts=1)
    return store


def forecast(store: Store, lake: TableFormat, **options: object) -> RunResult:
    arguments = {"model": "seasonal-naive", "horizon": 4, **options}
    return gigacast.forecast(store.address.url, output_table=lake.url("made"), **arguments)  # type: ignore[arg-type]


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def stored(store: Store, lake: TableFormat) -> pd.DataFrame:
    """The rows of all forecast files, by DuckDB: what the table must hold."""
    folder = store.address.url.removeprefix("file://")
    query = f"SELECT * FROM '{folder}/forecasts/*/*/*/20*/*/*.parquet'"
    return in_order(duckdb.sql(query).df())


def held(lake: TableFormat) -> pd.DataFrame:
    return in_order(duckdb.from_arrow(lake.read("made")).df())


def check_same(store: Store, lake: TableFormat) -> None:
    rows = held(lake).drop(columns=KEYS)
    expected = stored(store, lake)[list(rows)]
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False)


def test_the_table_holds_the_rows_of_the_forecasts_in_one_commit(
    bucket: Store, lake: TableFormat
) -> None:
    result = forecast(bucket, lake)
    assert result.table is not None
    assert (result.table.written, result.table.removed, result.table.rows) == (2, 0, 24)
    check_same(bucket, lake)
    assert lake.commits("made") == 1
    partitions = set(held(lake)["gigacast_partition"])
    assert {re.sub(r"^h4-q9-\w+/", "", name) for name in partitions} == {
        "2024/01/part-00000",
        "2024/02/part-00000",
    }


def test_a_rerun_commits_nothing_and_a_changed_partition_replaces_its_rows(
    bucket: Store, lake: TableFormat
) -> None:
    forecast(bucket, lake)
    again = forecast(bucket, lake)
    assert again.table is not None
    assert (again.table.written, lake.commits("made")) == (0, 1)
    # Another month's rows for the second partition: fewer items.
    put_frame(bucket, "2024/02/part-00000.parquet", hourly_panel("2024-02", ["x"]))
    changed = forecast(bucket, lake)
    assert changed.table is not None
    assert (changed.table.written, changed.table.rows, lake.commits("made")) == (1, 4, 2)
    check_same(bucket, lake)
    assert set(held(lake)["item_id"]) == {"0-a", "0-b", "0-c", "x"}


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_appended_results_stay_beside_earlier_ones_and_come_once(
    bucket: Store, lake: TableFormat
) -> None:
    forecast(bucket, lake, output_table_mode="append")
    forecast(bucket, lake, output_table_mode="append")
    assert len(held(lake)) == 24
    put_frame(bucket, "2024/02/part-00000.parquet", hourly_panel("2024-02", ["x"]))
    forecast(bucket, lake, output_table_mode="append")
    rows = held(lake)
    assert len(rows) == 28
    assert rows.groupby("gigacast_partition")["gigacast_output"].nunique().tolist() == [1, 2]


def test_a_run_that_died_before_or_after_the_commit_leaves_the_same_table(
    bucket: Store, lake: TableFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    commit_of = output.write_table
    monkeypatch.setattr("gigacast.forecasting.stored.table.write_table", die)
    with pytest.raises(Killed):
        forecast(bucket, lake)
    # All receipts are there, and no table: the next run has no task, and makes it.

    def commit_and_die(*arguments: object, **options: object) -> None:
        commit_of(*arguments, **options)  # type: ignore[arg-type]
        raise Killed

    monkeypatch.setattr("gigacast.forecasting.stored.table.write_table", commit_and_die)
    with pytest.raises(Killed):
        forecast(bucket, lake)
    monkeypatch.setattr("gigacast.forecasting.stored.table.write_table", commit_of)
    finished = forecast(bucket, lake)
    assert not finished.plan.tasks
    assert lake.commits("made") == 1
    check_same(bucket, lake)


def test_two_runs_at_once_write_each_row_once(
    bucket: Store, lake: TableFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast(bucket, lake, months="1")
    gigacast.forecast(bucket.address.url, model="seasonal-naive", horizon=4)
    opened = output._open
    first_two = threading.Barrier(2, timeout=60)
    calls = iter(range(100))

    def open_together(*arguments: object) -> object:
        table = opened(*arguments)  # type: ignore[arg-type]
        find_once = table.find

        def find(source: str) -> object:
            present = find_once(source)
            # Both have compared before either commits.
            if next(calls) < 2:
                first_two.wait()
            return present

        table.find = find  # type: ignore[method-assign,assignment]
        return table

    monkeypatch.setattr(output, "_open", open_together)
    runs = [threading.Thread(target=forecast, args=(bucket, lake)) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    check_same(bucket, lake)
    assert lake.commits("made") == 2


def test_a_table_that_was_not_made_for_results_is_left_alone(
    bucket: Store, lake: TableFormat
) -> None:
    lake.append("made", panel("2024-01"))
    with pytest.raises(ConfigError, match="partitioned by nothing"):
        forecast(bucket, lake)
    assert lake.read("made").num_rows == 96


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_columns_that_the_table_lacks_are_refused_by_name(bucket: Store, lake: TableFormat) -> None:
    forecast(bucket, lake)
    with pytest.raises(SchemaError, match=r"column '0\.05'"):
        forecast(bucket, lake, quantiles=(0.05, 0.5))
    assert len(held(lake)) == 24


def test_a_cleaned_version_replaces_the_one_before_in_its_table(
    bucket: Store, lake: TableFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "clean", "partitions", "cleaned/SALES", "--bucket", bucket.address.url]
    words += ["--output_table", lake.url("made")]
    assert run(words) == 0
    assert "2 partitions written" in capsys.readouterr().out
    assert len(held(lake)) == 2 * 3 * 72
    assert run(words) == 0
    assert "unchanged" in capsys.readouterr().out
    bucket.delete(["2024/01/part-00000.parquet"])
    assert run(words) == 0
    assert "1 removed" in capsys.readouterr().out
    rows = held(lake)
    assert set(rows["gigacast_partition"]) == {"2024/02/part-00000.parquet"}
    assert lake.commits("made") == 2


def test_tables_on_s3_are_read_and_written_with_the_jobs_endpoint_and_credentials(
    lake_on_s3: TableFormat, moto_server: MotoServer
) -> None:
    lake_on_s3.append("sales", panel("2024-01"), ["month"])
    lake_on_s3.append("sales", panel("2024-01", ["c"]), ["month"])
    store = open_store(moto_server.new_address())
    result = forecast(store, lake_on_s3, input_prefix=lake_on_s3.url("sales"))
    assert [task.partition for task in result.plan.tasks] == ["2024/01/part-0"]
    columns = ["item_id", "timestamp", "predictions", "0.9"]
    expected = in_order(gigacast.read_forecasts(store.address.url))[columns]
    pd.testing.assert_frame_equal(held(lake_on_s3)[columns], expected, check_dtype=False)
    assert set(expected["item_id"]) == {"a", "b", "c"}


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_what_cannot_be_written_to_is_refused_before_the_run(
    bucket: Store, lake: TableFormat
) -> None:
    with pytest.raises(ConfigError, match="has options"):
        gigacast.forecast(
            bucket.address.url, output_table=lake.url("made") + "?version=1", dry_run=True
        )
    line = {"bucket": "s3://from", "output_table": "delta://s3://into/z", "executor": "batch"}
    with pytest.raises(ConfigError, match="by the command that waits for it"):
        submit_run(job_of(load_settings(nest_arguments(line))), ArrayOptions(), BatchService())


@pytest.mark.parametrize("lake", ["iceberg"], indirect=True)
def test_forecasts_in_a_table_are_an_input_as_well(bucket: Store, lake: TableFormat) -> None:
    forecast(bucket, lake)
    options = {"item_column": "item_id", "targets": ("predictions",), "horizon": 2}
    report = gigacast.plan(
        bucket.address.url,
        model="seasonal-naive",
        input_prefix=lake.url("made") + "?by=month&time=timestamp",
        **options,  # type: ignore[arg-type]
    )
    assert {task.month for task in report.plan.tasks} == {"2024-01", "2024-02"}
