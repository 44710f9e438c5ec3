"""Jobs over files by the children of an array: the objects of a local run."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.cleaning import divide_cleaning
from gigacast.batch.quality import divide_quality
from gigacast.batch.submit import submit_job
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import ConfigError
from gigacast.forecasting.run import run_forecast
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.file_job import FileJob, Sources
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.layout import LEADERBOARDS
from gigacast.lake.plan.audit import Audit, read_audit
from gigacast.lake.publication import Author
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.batch.array_runs import bucket_of, job_in, receipts, watch
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels

OPTIONS = ArrayOptions(children=2)
BROKEN = "2024/02/part-00000.parquet"
AUTHOR = Author("ann@desk", lambda: datetime(2024, 3, 1, tzinfo=UTC))


def files_of(store: Store) -> FileJob:
    return FileJob(Sources(store.address), store.address)


def clean_job(store: Store) -> CleanJob:
    return CleanJob(files_of(store), DatasetRef.parse("cleaned/panels"))


def contents(store: Store, folder: str) -> dict[str, bytes]:
    """Return objects by key; the address of the bucket is another one in each test."""
    keys = [entry.key for page in store.list(folder) for entry in page]
    url = store.address.url.encode()
    return {key: store.get(key).replace(url, b"BUCKET") for key in keys}


def plain(totals: object, store: Store) -> dict[str, object]:
    """Return totals as JSON holds them, without what differs from bucket to bucket."""
    text = json.dumps(totals).replace(store.address.url, "BUCKET")
    text = re.sub(r"partitions-[0-9a-f]{8}", "NAME", text)
    # Among the worst is the age of the rows.
    return {name: part for name, part in json.loads(text).items() if name != "worst"}


def array(store: Store) -> list[str]:
    return ["--bucket", store.address.url, "--executor", "batch", "--children", "2"]


def latest_audit(store: Store) -> Audit:
    names = sorted(e.key for page in store.list("audit/") for e in page if e.key.count("/") == 1)
    return read_audit(store, names[-1].removeprefix("audit/").removesuffix(".json"))


def test_the_children_of_an_array_measure_as_a_local_run(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = bucket_of(server, 1), bucket_of(server, 1)
    for place in (store, local):
        place.put(BROKEN, b"no Parquet")
    assert run(["data", "quality", *array(store), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    result = measure_quality(QualityJob(files_of(local)))
    expected = json.loads(json.dumps(result.to_json(), default=str))
    assert (shown["computed"], shown["skipped"], result.computed) == (1, 0, 1)
    assert [(p["partition"], p["verdict"]) for p in shown["partitions"]] == [
        (p["partition"], p["verdict"]) for p in expected["partitions"]
    ]
    assert contents(store, "quality/2024") == contents(local, "quality/2024")
    audit = latest_audit(store)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("failed", 1, 1)
    assert plain(audit.totals["quality"], store) == plain(result.report.summary(), local)
    assert [receipt.job for receipt in receipts(store)] == ["quality"]


def test_the_children_of_an_array_clean_and_its_end_publishes_the_version(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = bucket_of(server, 1), bucket_of(server, 1)
    for place in (store, local):
        place.put(BROKEN, b"no Parquet")
    submission = submit_job(divide_cleaning(clean_job(store), AUTHOR), OPTIONS, service)
    assert (submission.tasks, submission.children) == (2, 2)
    audit = watch(store, submission, service)
    result = clean_dataset(clean_job(local), AUTHOR)
    assert result.manifest is not None
    assert plain(audit.totals["cleaning"], store) == plain(result.totals, local)
    ref = Lake(store).resolve(DatasetRef.parse("cleaned/panels"))
    manifest = Lake(store).read(ref)
    assert (manifest.digest, manifest.created_by) == (result.manifest.digest, "ann@desk")
    assert contents(store, "cleaning/").keys() == contents(local, "cleaning/").keys()
    # Mended, the partition is all that is left, and the next version has both.
    put_panels(store, ("2024-02",), 1)
    assert run(["data", "clean", "partitions", "cleaned/panels", *array(store)]) == 0
    shown = capsys.readouterr().out
    assert "published cleaned/v1.1/panels" in shown
    assert "cleaned 1, known before 1" in shown
    assert run(["data", "clean", "partitions", "cleaned/panels", *array(store)]) == 0
    assert "nothing to do: 2 partitions are done" in capsys.readouterr().out


def test_folders_are_out_of_reach(tmp_path: Path) -> None:
    store = open_store(StoreAddress(tmp_path.as_uri()))
    with pytest.raises(ConfigError, match="out of reach"):
        divide_quality(QualityJob(files_of(store)))
    with pytest.raises(ConfigError, match="out of reach"):
        divide_cleaning(clean_job(store), AUTHOR)


NAIVE = ("--model", "seasonal-naive", "--horizon", "6")


def test_the_children_of_an_array_search_stored_forecasts_as_a_local_run(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = bucket_of(server, 1), bucket_of(server, 1)
    for place in (store, local):
        run_forecast(job_in(place))
        # What has come since: values beside those that were expected.
        frame = hourly_panel("2024-02", ["0-a", "0-b", "0-c"], steps=96)
        frame.loc[frame["timestamp"].dt.day == 4, "target"] *= 50
        put_frame(place, "2024/02/part-00000.parquet", frame)
    flags = ["--band", "80", "--horizon", "6"]
    assert run(["anomalies", *array(store), *flags, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert run(["anomalies", "--bucket", local.address.url, *flags, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert shown["anomalies"] == expected["anomalies"] > 0
    assert contents(store, "anomalies/seasonal-naive") == contents(
        local, "anomalies/seasonal-naive"
    )
    assert {receipt.job for receipt in receipts(store)} == {"forecast", "anomalies"}
    assert run(["anomalies", *array(store), *flags, "--rolling"]) == 2
    assert "makes none for the search" in capsys.readouterr().err


def test_a_backtest_has_an_array_for_each_model_and_the_leaderboard_of_a_local_run(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = bucket_of(server, 1), bucket_of(server, 1)
    # The same engine here and in children, which is no torch.
    flags = [
        "--model_engine",
        "numpy",
        *NAIVE,
        "--windows",
        "2",
        "--model",
        "gigacast-bolt-nano",
        "--json",
    ]
    assert run(["backtest", *array(store), *flags]) == 0
    shown = json.loads(capsys.readouterr().out)
    # By the children's end alone, before the command has written it again.
    boards = contents(store, LEADERBOARDS)
    assert run(["backtest", "--bucket", local.address.url, *flags]) == 0
    expected = json.loads(capsys.readouterr().out)
    same = ("leaderboard", "computed", "skipped")
    assert [expected[name] for name in same] == [shown[name] for name in same]
    assert len(boards) == len(contents(local, LEADERBOARDS)) > 0
    folders = {name.split("/")[1] for name in contents(local, "backtests/")} - {"_leaderboards"}
    assert len(folders) == 2
    for name in folders:
        assert contents(store, f"backtests/{name}/") == contents(local, f"backtests/{name}/")
    assert len([r for r in receipts(store) if r.job == "backtest"]) == 4
