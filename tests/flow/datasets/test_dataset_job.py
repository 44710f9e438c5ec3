"""Jobs over versions: forecasting from one, publishing under fire, files that are wrong."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets import (
    ContractViolationError,
    CorruptedFileError,
    iterate_batches,
    read_parquet_with_schema,
    read_partitioned_dataset,
    write_cleaned_data,
    write_parquet_validated,
)
from gigacast.datasets.files import FileRules
from gigacast.errors import DataNotFoundError, GigacastError, SchemaError, StorageError
from gigacast.forecasting.run import RunResult
from gigacast.job.location import open_inputs
from gigacast.lake.dataset.catalog import UNFINISHED, Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.manifest import Dependency
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import bars, parquet_bytes, publish
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_panels

ROOT = Path(__file__).parents[3]


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


def keys(store: Store, prefix: str = "") -> list[str]:
    return [meta.key for page in store.list(prefix) for meta in page]


def forecast(store: Store, dataset: str, **options: object) -> RunResult:
    arguments = {"model": "seasonal-naive", "horizon": 6, "input_prefix": dataset, **options}
    return gigacast.forecast(store.address.url, **arguments)  # type: ignore[arg-type]


def publish_panel(store: Store, dataset: str, month: str, seed: int = 0, **options: object) -> None:
    frame = hourly_panel(month, ["a", "b"], seed=seed)
    publish(store, dataset, frame, partition_by=["month"], contract=None, **options)  # type: ignore[arg-type]


# -- forecasting from a version --------------------------------------------------------------------


def test_forecasting_a_version_includes_its_shared_files_and_changes_none(bucket: Store) -> None:
    publish_panel(bucket, "cleaned/v3/panel", "2024-01")
    publish_panel(bucket, "cleaned/v3.1/panel", "2024-02", append=True)
    before = {key: bucket.get(key) for key in keys(bucket, "cleaned/")}
    result = forecast(bucket, "cleaned/v3.1/panel", n_jobs=2)
    assert (result.status, result.totals.partitions, result.totals.series) == ("completed", 2, 4)
    assert {key: bucket.get(key) for key in keys(bucket, "cleaned/")} == before
    plain = open_store(bucket.address.child("by_hand"))
    put_panels(plain, parts=0)
    for month in ("2024-01", "2024-02"):
        buffer = io.BytesIO()
        frame = hourly_panel(month, ["a", "b"])
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
        plain.put(f"{month.replace('-', '/')}/part-00000.parquet", buffer.getvalue())
    gigacast.forecast(plain.address.url, model="seasonal-naive", horizon=6)
    got, expected = (gigacast.read_forecasts(s.address.url) for s in (bucket, plain))
    pd.testing.assert_frame_equal(got, expected)


def test_files_shared_with_a_parent_version_are_not_forecast_again(bucket: Store) -> None:
    publish_panel(bucket, "cleaned/v3/panel", "2024-01")
    forecast(bucket, "cleaned/v3/panel")
    publish_panel(bucket, "cleaned/panel", "2024-02", append=True)
    result = forecast(bucket, "cleaned/latest/panel")
    assert (result.totals.partitions, result.plan.totals.done) == (1, 1)
    assert [task.month for task in result.plan.tasks] == ["2024-02"]
    assert forecast(bucket, "cleaned/v3.1/panel").totals.partitions == 0


def test_a_forecast_records_the_dataset_it_was_made_from(bucket: Store) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    (task,) = gigacast.forecast(bucket.address.url, model="seasonal-naive", horizon=6).plan.tasks
    (link,) = trace(Lake(bucket), task.output_key).sources
    assert (link.key, link.state) == ("2024/01/part-00000.parquet", "as it was")
    assert link.etag == task.inputs[0].etag


def test_the_lineage_of_a_forecast_includes_that_of_its_dataset(bucket: Store) -> None:
    frame = hourly_panel("2024-01", ["a", "b"])
    publish(bucket, "raw/panel/2024-02-01", frame, contract=None)
    raw = Lake(bucket).read(DatasetRef.parse("raw/panel/2024-02-01")).files[0]
    publish_panel(
        bucket, "cleaned/v1/panel", "2024-01", dependencies=(Dependency(raw.key, raw.etag),)
    )
    (task,) = forecast(bucket, "cleaned/latest/panel").plan.tasks
    first, second = trace(Lake(bucket), task.output_key).sources
    assert (first.name, first.state) == ("cleaned/v1/panel", "as it was")
    assert (second.key, second.etag, second.via) == (raw.key, raw.etag, "cleaned/v1/panel")


def test_the_lineage_of_a_file_names_its_versions_and_their_sources(
    folder: Store,
) -> None:
    publish(folder, "raw/panel/2024-02-01", hourly_panel("2024-01", ["a"]), contract=None)
    assert run(["data", "clean", "raw/panel", "cleaned/panel", "--bucket", folder.address.url]) == 0
    raw = Lake(folder).read(DatasetRef.parse("raw/panel/2024-02-01")).files[0]
    (file,) = Lake(folder).read(DatasetRef.parse("cleaned/panel")).files
    assert file.key.startswith("cleaning/")
    lineage = trace(Lake(folder), file.key)
    assert [link.key for link in lineage.sources] == [raw.key]
    assert [(p.name, p.relation) for p in lineage.products] == [("cleaned/v1/panel", "file of")]


def test_a_run_without_outputs_is_not_listed_as_a_product(bucket: Store) -> None:
    publish_panel(bucket, "cleaned/v3/panel", "2024-01")
    assert forecast(bucket, "cleaned/v3/panel", targets="nothing").status == "failed"
    assert trace(Lake(bucket), "cleaned/v3/panel").products == ()


def test_the_flags_of_cleaning_are_not_targets(bucket: Store) -> None:
    frame = hourly_panel("2024-01", ["a", "b"]).assign(target_outlier=False)
    publish(bucket, "cleaned/v1/panel", frame, partition_by=["month"], contract=None)
    assert forecast(bucket, "cleaned/v1/panel").totals.series == 2


def test_a_dataset_lists_the_forecasts_made_from_it(bucket: Store) -> None:
    publish_panel(bucket, "cleaned/v3/panel", "2024-01")
    publish_panel(bucket, "cleaned/v3.1/panel", "2024-02", append=True)
    runs = [forecast(bucket, f"cleaned/{version}/panel") for version in ("v3", "latest")]
    assert forecast(bucket, "cleaned/v3/panel").totals.partitions == 0
    put_panels(bucket, months=["2024-03"], parts=1)
    gigacast.forecast(bucket.address.url, model="seasonal-naive", horizon=6)
    (spec,) = runs[0].plan.specs
    folder = f"forecasts/seasonal-naive/1/{spec}"
    products = trace(Lake(bucket), "cleaned/v3.1/panel").products
    assert [(m.name, m.key, m.relation) for m in products] == [
        (folder, f"audit/{runs[1].run_id}.json", "forecast from")
    ]
    # From the older version one was made itself, and one from what was appended to it.
    older = trace(Lake(bucket), "cleaned/v3/panel").products
    assert {(m.depth, m.relation, m.via) for m in older} == {
        (1, "appended to", "cleaned/v3/panel"),
        (1, "forecast from", "cleaned/v3/panel"),
        (2, "forecast from", "cleaned/v3.1/panel"),
    }


def test_an_unfinished_version_is_not_forecast(folder: Store) -> None:
    faulty = FaultyStore(folder, [Fault(("put_if_absent",), nth=3)])
    with pytest.raises(SimulatedCrash):
        publish_panel(faulty, "cleaned/v3/panel", "2024-01")
    with pytest.raises(DataNotFoundError, match="unfinished"):
        forecast(folder, "cleaned/v3/panel")


def test_forecasts_are_not_written_into_a_version(folder: Store) -> None:
    publish_panel(folder, "cleaned/v3/panel", "2024-01")
    before = keys(folder)
    with pytest.raises(StorageError, match="published versions never change"):
        gigacast.forecast(
            folder.address.url, prefix="cleaned/v3/panel", model="seasonal-naive", horizon=6
        )
    assert keys(folder) == before


def test_a_file_of_the_version_that_was_replaced_fails_its_partition_by_name(folder: Store) -> None:
    publish_panel(folder, "cleaned/v3/panel", "2024-01")
    (key,) = [key for key in keys(folder) if key.endswith(".parquet")]
    folder.put(key, parquet_bytes(bars(5)))
    ((_, failure),) = forecast(folder, "cleaned/v3/panel").failures
    assert failure.error == "DatasetIntegrityError"
    assert "was replaced after it was published" in failure.message


# -- a process that is killed ----------------------------------------------------------------------

PUBLISH = """
import sys
from tests.support.bars import bars, publish
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
print("ready", flush=True)
store = open_store(StoreAddress(sys.argv[1]))
publish(store, "cleaned/v2/MES", bars(4000), max_file_rows=20)
"""


def test_a_killed_publication_leaves_no_partial_version(folder: Store) -> None:
    publish(folder, "cleaned/v1/MES", bars(100))
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, folder.address.url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/lib:{ROOT}"},
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if 5 < len(keys(folder, "cleaned/v2/MES/part-")) < 150:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    lake, two = Lake(folder), DatasetRef.parse("cleaned/v2/MES")
    assert lake.state(two) == UNFINISHED
    assert lake.resolve(DatasetRef.parse("cleaned/MES")).version == "v1"
    got = read_parquet_with_schema(f"{folder.address.url}/cleaned/latest/MES", "ohlcv")
    pd.testing.assert_frame_equal(got, bars(100))
    assert publish(folder, "cleaned/v2/MES", bars(4000), max_file_rows=20).new
    got = read_parquet_with_schema(f"{folder.address.url}/cleaned/v2/MES", "ohlcv")
    pd.testing.assert_frame_equal(got, bars(4000))


# -- files that are wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-8],
        lambda content: b"",
        lambda content: b"PAR1",
        lambda content: b"a,b\n1,2\n",
        lambda content: content[:2000] + bytes(200) + content[2200:],
    ],
    ids=["truncated", "no footer", "empty", "magic only", "CSV", "flipped bytes"],
)
def test_an_incomplete_parquet_file_is_refused_by_name(folder: Store, spoil: object) -> None:
    content = parquet_bytes(bars(1000), write_page_checksum=True)
    folder.put("raw/MES/2024-01-15/x.parquet", spoil(content))  # type: ignore[operator]
    with pytest.raises(CorruptedFileError, match=r"x.parquet is not readable Parquet"):
        read_parquet_with_schema(f"{folder.address.url}/raw/MES/2024-01-15/x.parquet", "ohlcv")


def test_a_file_with_no_rows_is_read_and_written(folder: Store) -> None:
    url = folder.address.url
    write_cleaned_data(bars(5).iloc[:0], f"{url}/cleaned/v1/none", "ohlcv")
    got = read_parquet_with_schema(f"{url}/cleaned/v1/none", "ohlcv")
    assert (len(got), list(got.columns)) == (0, list(bars(1).columns))
    assert open_inputs(folder.address.child("cleaned/v1/none")).head("part-00000.parquet")


def test_a_wrong_schema_is_reported_by_column(folder: Store) -> None:
    path = f"{folder.address.url}/x.parquet"
    write_parquet_validated(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(SchemaError) as caught:
        read_parquet_with_schema(path, "ohlcv")
    violations = {(violation.column, violation.rule) for violation in caught.value.violations}  # type: ignore[attr-defined]
    expected = ("timestamp", "open", "high", "low", "close", "volume")
    assert violations == {(name, "missing column") for name in expected}


def test_files_of_a_folder_that_do_not_fit_together_are_named(folder: Store) -> None:
    folder.put("mixed/a.parquet", parquet_bytes(bars(5)))
    folder.put("mixed/b.parquet", parquet_bytes(bars(5).assign(volume="much")))
    with pytest.raises(SchemaError, match="the column 'volume' is double in one file and"):
        read_partitioned_dataset(f"{folder.address.url}/mixed")


def test_a_huge_row_group_is_read_in_small_batches(folder: Store) -> None:
    frame = bars(300_000)
    content = parquet_bytes(frame, row_group_size=300_000)
    folder.put("one.parquet", content)
    sizes = [
        b.num_rows for b in iterate_batches(f"{folder.address.url}/one.parquet", batch_rows=9000)
    ]
    assert (max(sizes), sum(sizes)) == (9000, 300_000)


def test_one_file_stays_one_file_and_folders_are_cut_by_rows(
    folder: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = folder.address.url
    monkeypatch.setattr(
        FileRules.__init__, "__defaults__", ((), "snappy", "part-00000.parquet", 30, 20)
    )
    write_parquet_validated(bars(100), f"{url}/one.parquet", "ohlcv")
    write_parquet_validated(bars(100), f"{url}/many", "ohlcv")
    assert [key for key in keys(folder) if key.startswith("many/")] == [
        f"many/part-{n:05d}.parquet" for n in range(4)
    ]
    for name in ("one.parquet", "many"):
        pd.testing.assert_frame_equal(read_parquet_with_schema(f"{url}/{name}"), bars(100))


def test_frames_with_an_index_of_timestamps_keep_it(folder: Store) -> None:
    path = f"{folder.address.url}/cleaned/v1/MES"
    write_cleaned_data(bars(20).set_index("timestamp"), path, "ohlcv")
    pd.testing.assert_frame_equal(read_parquet_with_schema(path, "ohlcv"), bars(20))


def test_batches_that_change_their_schema_leave_no_file(folder: Store) -> None:
    first, second = (
        pa.RecordBatch.from_pandas(frame, preserve_index=False)
        for frame in (bars(5), bars(5, start="2025-01-01").drop(columns="volume"))
    )
    with pytest.raises(GigacastError, match="volume"):
        write_parquet_validated(iter([first, second]), f"{folder.address.url}/x.parquet")
    late = bars(9)
    late.loc[8, "low"] = np.inf
    with pytest.raises(ContractViolationError, match="low <= open"):
        write_cleaned_data(late, f"{folder.address.url}/cleaned/v1/MES", "ohlcv")
    assert keys(folder) == []
