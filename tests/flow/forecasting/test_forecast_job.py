"""Whole jobs: from a bucket of Parquet to a bucket of forecasts, on S3 (moto) and on a folder."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run as command
from gigacast.datasets import read_parquet_with_schema
from gigacast.errors import BucketNotFoundError, DataNotFoundError, InputChangedError
from gigacast.forecasting.run import RunResult
from gigacast.lake.plan.audit import read_audit
from gigacast.reporting.scale import measure_scale
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels, seasonal_naive

NAIVE = {"model": "seasonal-naive", "horizon": 6}


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        return open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    return open_store(moto_server.new_address())


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


def run(store: Store, **options: object) -> RunResult:
    return gigacast.forecast(store.address.url, **{**NAIVE, **options})  # type: ignore[arg-type]


def read(store: Store, **options: object) -> pd.DataFrame:
    return gigacast.read_forecasts(store.address.url, **options)  # type: ignore[arg-type]


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for page in store.list(prefix) for entry in page]


def contents(store: Store, prefix: str) -> dict[str, bytes]:
    return {key: store.get(key) for key in keys(store, prefix)}


def test_every_partition_gets_its_forecast(bucket: Store) -> None:
    put_panels(bucket)
    result = run(bucket)
    assert (result.status, result.totals.partitions, result.totals.series) == ("completed", 4, 12)
    got = read(bucket)
    expected = pd.concat(
        seasonal_naive(hourly_panel(month, [f"{part}-{x}" for x in "abc"], seed=part), 6)
        for month in ("2024-01", "2024-02")
        for part in (0, 1)
    )
    by = ["timestamp", "item_id"]
    merged = got.merge(expected, on=by, suffixes=("", "_wanted"))
    assert len(merged) == len(got) == len(expected) == 4 * 3 * 6
    np.testing.assert_allclose(merged["predictions"], merged["predictions_wanted"], rtol=1e-6)
    assert list(got.columns) == [
        "item_id",
        "timestamp",
        "target_name",
        "predictions",
        *(f"0.{n}" for n in range(1, 10)),
        "fallback",
        "cutoff",
    ]


def test_a_rerun_skips_everything_and_changes_nothing(bucket: Store) -> None:
    put_panels(bucket)
    run(bucket)
    before = {m.key: m for page in bucket.list("forecasts/") for m in page}
    result = run(bucket)
    assert (result.totals.partitions, result.plan.totals.done) == (0, 4)
    assert {m.key: m for page in bucket.list("forecasts/") for m in page} == before


def test_only_changed_partitions_are_forecast_again(bucket: Store) -> None:
    put_panels(bucket)
    run(bucket)
    put_frame(bucket, "2024/01/part-00001.parquet", hourly_panel(items=["new"], seed=9))
    result = run(bucket)
    assert [task.partition for task in result.plan.tasks] == ["2024/01/part-00001"]
    assert set(read(bucket, partitions=["2024/01/part-00001"])["item_id"]) == {"new"}


def test_a_partition_that_cannot_be_read_is_named_and_the_others_are_forecast(
    bucket: Store,
) -> None:
    put_panels(bucket)
    good = bucket.get("2024/01/part-00001.parquet")
    bucket.put("2024/01/part-00001.parquet", good[: len(good) // 2])
    result = run(bucket)
    assert (result.status, result.totals.partitions) == ("failed", 3)
    ((task, failure),) = result.failures
    assert (task.partition, failure.error) == ("2024/01/part-00001", "CorruptedFileError")
    audit = json.loads(bucket.get(f"audit/{result.run_id}.json"))
    assert audit["status"] == "failed"
    assert audit["failures"][0]["partition"] == "2024/01/part-00001"
    bucket.put("2024/01/part-00001.parquet", good)
    again = run(bucket)
    assert [t.partition for t in again.plan.tasks] == ["2024/01/part-00001"]
    assert again.status == "completed"


def test_inline_and_joblib_write_the_same_bytes(bucket: Store) -> None:
    put_panels(bucket)
    run(bucket, executor="inline")
    inline = contents(bucket, "forecasts/")
    bucket.delete([*keys(bucket, "forecasts/"), *keys(bucket, "timings/")])
    run(bucket, executor="joblib", n_jobs=2)
    joblib = contents(bucket, "forecasts/")
    predictions = {key for key in inline if not key.endswith("_manifest.parquet")}
    assert {k: joblib[k] for k in predictions} == {k: inline[k] for k in predictions}


def test_the_receipt_and_the_audit_record_the_run(bucket: Store) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    result = run(bucket)
    (key,) = keys(bucket, "timings/")
    receipt = json.loads(bucket.get(key))
    (task,) = result.plan.tasks
    assert receipt["partition"] == "2024/01/part-00000"
    assert receipt["inputs"] == [
        {"key": i.key, "etag": i.etag, "size_bytes": i.size_bytes} for i in task.inputs
    ]
    assert receipt["output"]["key"] == task.output_key
    assert receipt["output"]["etag"] == bucket.head(task.output_key).etag
    assert (receipt["rows"], receipt["series"], receipt["output"]["rows"]) == (216, 3, 18)
    assert set(receipt["seconds"]) == {"read", "prepare", "predict", "write", "total", "cpu"}
    assert receipt["model"] == "seasonal-naive"
    assert receipt["peak_rss_bytes"] > 0
    audit = json.loads(bucket.get(f"audit/{result.run_id}.json"))
    assert (audit["files_discovered"], audit["files_processed"], audit["files_skipped"]) == (
        1,
        1,
        0,
    )
    assert audit["status"] == "completed"
    assert audit["end_time"] is not None
    assert audit["session_id"] == result.run_id


def test_a_copied_file_names_its_model_and_inputs(bucket: Store, tmp_path: Path) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    (task,) = run(bucket).plan.tasks
    (tmp_path / "x.parquet").write_bytes(bucket.get(task.output_key))
    metadata = pq.read_schema(tmp_path / "x.parquet").metadata
    assert metadata[b"gigacast.model"] == b"seasonal-naive"
    assert metadata[b"gigacast.spec"] == task.spec.encode()
    assert metadata[b"gigacast.input_keys"] == b"2024/01/part-00000.parquet"
    assert metadata[b"gigacast.input_etags"] == task.inputs[0].etag.encode()


def test_a_dry_run_writes_nothing(bucket: Store) -> None:
    put_panels(bucket)
    before = keys(bucket)
    assert run(bucket, dry_run=True).status == "planned"
    assert keys(bucket) == before


def test_a_limit_leaves_the_rest_for_later(folder: Store) -> None:
    put_panels(folder)
    assert run(folder, limit=3).totals.partitions == 3
    assert run(folder).totals.partitions == 1


def test_the_wide_layout_holds_the_same_numbers(folder: Store) -> None:
    put_panels(folder)
    run(folder)
    long = read(folder)
    run(folder, layout="wide")
    wide = read(folder)
    assert len(wide) == len(long) / 6
    unfolded = wide.explode(["timestamp", "predictions", "0.1", "0.9"]).reset_index(drop=True)
    np.testing.assert_array_equal(
        unfolded[["predictions", "0.1", "0.9"]].astype("float32"),
        long[["predictions", "0.1", "0.9"]],
    )
    assert list(unfolded["timestamp"]) == list(long["timestamp"])


def test_a_partition_with_nothing_to_forecast_is_done_with_an_empty_file(folder: Store) -> None:
    put_frame(folder, "2024/01/part-00000.parquet", hourly_panel().iloc[:0])
    result = run(folder)
    assert (result.status, result.totals.rows_written) == ("completed", 0)
    assert run(folder).plan.totals.done == 1
    assert read(folder).empty


def test_series_that_cannot_be_forecast_are_flagged_and_counted(folder: Store) -> None:
    frame = hourly_panel(items=["good", "nulls", "infinite"])
    frame.loc[frame["item_id"] == "nulls", "target"] = np.nan
    frame.loc[(frame["item_id"] == "infinite") & (frame.index % 7 == 0), "target"] = np.inf
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    result = run(folder)
    assert result.totals.reasons == {"all_null": 1, "not_finite": 1}
    got = read(folder).groupby("item_id").first()
    assert got["fallback"].to_dict() == {
        "good": None,
        "nulls": "all_null",
        "infinite": "not_finite",
    }
    assert np.isnan(got.loc["nulls", "predictions"])
    assert np.isfinite(got.loc["infinite", "predictions"])


def test_dropped_series_are_left_out_and_still_counted(folder: Store) -> None:
    frame = hourly_panel(items=["good", "nulls"])
    frame.loc[frame["item_id"] == "nulls", "target"] = np.nan
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    result = run(folder, fallback="drop")
    assert set(read(folder)["item_id"]) == {"good"}
    assert result.totals.reasons == {"all_null": 1}
    (key,) = keys(folder, "timings/")
    assert json.loads(folder.get(key))["reason_items"] == {"all_null": ["nulls"]}


def test_wide_objects_are_forecast_by_target_with_the_file_names_horizon(folder: Store) -> None:
    times = pd.date_range("2014-03-01", periods=90, freq="min")
    frame = pd.DataFrame({"ds": times, "target_bid": np.arange(90.0), "target_ask": 5.0})
    put_frame(folder, "2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet", frame)
    gigacast.forecast(folder.address.url, model="seasonal-naive")
    got = read(folder)
    assert got.groupby(["item_id", "target_name"]).size().to_dict() == {
        ("EURUSD", "target_ask"): 15,
        ("EURUSD", "target_bid"): 15,
    }
    assert got["timestamp"].min() == times[-1] + pd.Timedelta(minutes=1)


def test_items_that_span_months_get_the_context_of_both(folder: Store) -> None:
    panel = hourly_panel(steps=48, items=["a"])
    panel["timestamp"] += pd.Timestamp("2024-01-31") - panel["timestamp"].min()
    january = panel["timestamp"] < "2024-02-01"
    put_frame(folder, "2024/01/part-00000.parquet", panel[january])
    put_frame(folder, "2024/02/part-00000.parquet", panel[~january].iloc[:5])
    run(folder, context_partitions=1)
    got = read(folder, months="2")
    assert got["timestamp"].min() == pd.Timestamp("2024-02-01 05:00")
    # A season ago is in January: without its month there would be nothing to repeat.
    expected = panel.set_index("timestamp")["target"][got["timestamp"] - pd.Timedelta(hours=24)]
    np.testing.assert_allclose(got["predictions"], expected, rtol=1e-6)


def test_items_that_span_parts_are_whole_when_a_month_is_the_partition(folder: Store) -> None:
    panel = hourly_panel(items=["a", "b"])
    put_frame(folder, "2024/01/part-00000.parquet", panel[panel.index % 2 == 0])
    put_frame(folder, "2024/01/part-00001.parquet", panel[panel.index % 2 == 1])
    run(folder, partition_by="month")
    got = read(folder)
    expected = seasonal_naive(panel, 6)
    merged = got.merge(expected, on=["item_id", "timestamp"], suffixes=("", "_wanted"))
    assert len(merged) == len(got) == 12
    np.testing.assert_allclose(merged["predictions"], merged["predictions_wanted"], rtol=1e-6)


def test_missing_synthetic_partitions_are_generated_first(folder: Store) -> None:
    result = run(folder, n_partitions=3, series_per_partition=20)
    assert (result.totals.partitions, result.totals.series) == (3, 60)
    before_run = contents(folder, "2024/")
    again = run(folder, n_partitions=4, series_per_partition=20)
    assert again.totals.partitions == 1
    assert {key: folder.get(key) for key in before_run} == before_run
    # What is forecast is not generated again when its input was deleted, unless asked to.
    folder.delete(list(before_run))
    (last,) = contents(folder, "2024/")
    assert run(folder, n_partitions=4, series_per_partition=20).totals.partitions == 0
    assert list(contents(folder, "2024/")) == [last]
    folder.delete([last])
    assert run(folder, n_partitions=4, series_per_partition=20).status == "completed"
    run(folder, n_partitions=3, series_per_partition=20, overwrite=True)
    assert {key: folder.get(key) for key in before_run} == before_run


def test_receipts_and_audits_have_the_times_of_generation_and_of_processors(
    folder: Store,
) -> None:
    result = run(folder, n_partitions=2, series_per_partition=20)
    receipts = [json.loads(body) for body in contents(folder, "timings/forecasts/").values()]
    for receipt in receipts:
        assert receipt["seconds"]["cpu"] > 0
        assert receipt["seconds"]["generate"] > 0
    audit = read_audit(folder, result.run_id)
    generated = audit.plan["generated"]
    assert generated["partitions"] == 2  # type: ignore[index]
    assert audit.totals["seconds"]["cpu"] == pytest.approx(  # type: ignore[index]
        sum(receipt["seconds"]["cpu"] for receipt in receipts), abs=0.002
    )
    scale = measure_scale(job_of(load_settings(nest_arguments({"bucket": folder.address.url}))))
    measured, *_, five = scale.rows()
    assert (measured.series, measured.processes, scale.partitions) == (40, 1, 2)
    times = 1e9 / 40
    assert five.series == 1_000_000_000
    assert five.cpu_hours == pytest.approx(measured.cpu_hours * times)
    assert five.wall_hours == pytest.approx(measured.wall_hours * times / 5)
    assert command(["report", "scale", "--bucket", folder.address.url]) == 0
    with pytest.raises(DataNotFoundError, match="no receipts"):
        measure_scale(job_of(load_settings(nest_arguments({"bucket": "memory://empty-scale"}))))


def test_inputs_of_another_prefix_are_read_and_nothing_is_written_there(folder: Store) -> None:
    lake = open_store(folder.address.child("cleaned/v3/EURUSD"))
    put_panels(lake)
    run(folder, input_prefix="cleaned/v3/EURUSD")
    assert len(keys(folder, "cleaned/")) == 4
    assert len([k for k in keys(folder, "forecasts/") if "part-" in k]) == 4


def test_forecasts_replaced_since_the_manifest_are_not_mixed_in(folder: Store) -> None:
    put_panels(folder, months=["2024-01"], parts=1)
    (task,) = run(folder).plan.tasks
    folder.put(task.output_key, folder.get(task.output_key))
    with pytest.raises(InputChangedError, match="replaced after this manifest"):
        read(folder)
    run(folder)
    assert len(read(folder)) == 18


def test_pandas_reads_forecasts_by_their_url_with_the_credentials_of_the_job(
    moto_server: MotoServer,
) -> None:
    pytest.importorskip("s3fs", reason="URLs in pandas need the extra s3fs")
    store = open_store(moto_server.new_address())
    put_panels(store, months=["2024-01"], parts=1)
    (task,) = run(store).plan.tasks
    url = f"{store.address.url}/{task.output_key}"
    ours = read_parquet_with_schema(url)
    pd.testing.assert_frame_equal(pd.read_parquet(url), ours)
    place = {"endpoint_url": moto_server.endpoint_url}
    assert len(pd.read_parquet(url, storage_options=place)) == len(ours) == 18


def test_reading_before_the_first_run_is_an_error_that_says_so(folder: Store) -> None:
    with pytest.raises(DataNotFoundError, match="no finished forecasts"):
        read(folder)


def test_a_data_frame_is_forecast_as_a_bucket_is(folder: Store) -> None:
    frame = hourly_panel()
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    run(folder)
    direct = gigacast.forecast(frame, **NAIVE)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(direct, read(folder))


def test_a_prefix_need_not_exist_but_the_folder_must(folder: Store, tmp_path: Path) -> None:
    result = run(folder, prefix="new/prefix", n_partitions=1, series_per_partition=5)
    assert result.totals.series == 5
    with pytest.raises(BucketNotFoundError, match="nowhere"):
        gigacast.forecast(f"file://{tmp_path}/nowhere", prefix="p", model="seasonal-naive")
    assert not (tmp_path / "nowhere").exists()


def test_levels_with_rounding_errors_have_the_same_spec(folder: Store) -> None:
    put_panels(folder, months=["2024-01"], parts=1)
    run(folder, quantiles=[0.3, 0.5])
    assert run(folder, quantiles=[0.1 + 0.2, 0.5]).plan.totals.done == 1


def test_a_partition_without_a_readable_timestamp_fails(folder: Store) -> None:
    frame = hourly_panel().assign(timestamp="31/12/2024 at noon")
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    ((_, failure),) = run(folder).failures
    assert "readable timestamp" in failure.message
    assert run(folder).plan.totals.pending == 1


def test_dates_with_uneven_gaps_are_not_a_daily_series(folder: Store) -> None:
    halves = pd.date_range("2023-01-01", "2024-01-31", freq="SME")
    frame = pd.DataFrame({"item_id": "a", "timestamp": halves, "target": np.arange(len(halves))})
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    assert run(folder).totals.reasons == {"irregular": 1}


def test_repairs_are_counted(folder: Store) -> None:
    frame = pd.concat([hourly_panel(), hourly_panel().iloc[:5]])
    put_frame(folder, "2024/01/part-00000.parquet", frame)
    assert run(folder).totals.repairs["duplicates"] == 5


def test_a_late_series_beyond_what_nanoseconds_hold_widens_the_whole_file(folder: Store) -> None:
    early = pd.DataFrame(
        {
            "item_id": np.repeat([f"i{n:05d}" for n in range(5000)], 8),
            "timestamp": np.tile(pd.date_range("2024-01-01", periods=8, unit="ns"), 5000),
            "target": np.tile(np.arange(8.0), 5000),
        }
    )
    times = pd.date_range("2262-04-01", periods=8, unit="ns")
    late = pd.DataFrame({"item_id": "z", "timestamp": times, "target": np.arange(8.0)})
    put_frame(folder, "2024/01/part-00000.parquet", pd.concat([early, late]))
    assert run(folder, model="seasonal-naive", horizon=10).status == "completed"
    got = read(folder)
    assert got["timestamp"].dtype == "datetime64[us]"
    expected = pd.date_range("2262-04-09", periods=10, unit="us")
    assert got.loc[got["item_id"] == "z", "timestamp"].tolist() == expected.tolist()
    frame = gigacast.forecast(pd.concat([early, late]), model="seasonal-naive", horizon=10)
    assert (
        frame["timestamp"].tolist()
        == got.sort_values(["item_id", "timestamp"])["timestamp"].tolist()
    )


def test_a_frequency_that_does_not_fit_the_rows_fails_the_partition(folder: Store) -> None:
    put_panels(folder)
    result = run(folder, freq="D")
    assert result.status == "failed"
    assert "D is coarser than that of the rows (h)" in result.failures[0][1].message
