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
from gigacast.lake.publication import Author
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.batch.array_runs import bucket_of, job_in, receipts, watch
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame

OPTIONS = ArrayOptions(children=2)
BROKEN = "2024/02/part-00001.parquet"
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


def test_the_children_of_an_array_measure_as_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 2), bucket_of(server, 2)
    for place in (store, local):
        place.put(BROKEN, b"no Parquet")
    submission = submit_job(divide_quality(QualityJob(files_of(store))), OPTIONS, service)
    assert (submission.tasks, submission.children) == (4, 2)
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("failed", 3, 1)
    assert len([r for r in receipts(store) if r.job == "quality"]) == 3
    result = measure_quality(QualityJob(files_of(local)))
    assert contents(store, "quality/2024") == contents(local, "quality/2024")
    summary = result.report.summary()
    assert plain(audit.totals["quality"], store) == plain(summary, local)
    (report,) = [
        json.loads(content)
        for key, content in contents(store, "quality/_reports/").items()
        if key.endswith(".json")
    ]
    assert [part["partition"] for part in report["partitions"]] == [
        judged.partition for judged in result.report.partitions
    ]
    store.put(BROKEN, local.get("2024/02/part-00000.parquet"))
    again = submit_job(divide_quality(QualityJob(files_of(store))), OPTIONS, service)
    assert (again.tasks, again.plan.totals.done) == (1, 3)


def test_the_children_of_an_array_clean_and_the_end_publishes_the_version(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 2), bucket_of(server, 2)
    for place in (store, local):
        place.put(BROKEN, b"no Parquet")
    submission = submit_job(divide_cleaning(clean_job(store), AUTHOR), OPTIONS, service)
    audit = watch(store, submission, service)
    result = clean_dataset(clean_job(local), AUTHOR)
    assert result.manifest is not None
    assert plain(audit.totals["cleaning"], store) == plain(result.totals, local)
    ref = Lake(store).resolve(DatasetRef.parse("cleaned/panels"))
    manifest = Lake(store).read(ref)
    assert manifest.digest == result.manifest.digest
    assert manifest.created_by == "ann@desk"
    assert contents(store, "cleaning/").keys() == contents(local, "cleaning/").keys()
    # What is damaged stays so: the array tries it again, and no new version comes of it.
    again = submit_job(divide_cleaning(clean_job(store), AUTHOR), OPTIONS, service)
    assert (again.tasks, again.plan.totals.done) == (1, 3)
    assert watch(store, again, service).totals["cleaning"]["new"] is False  # type: ignore[index]


def test_the_commands_submit_watch_and_show_what_a_local_run_shows(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = bucket_of(server, 1)
    place = ["--bucket", store.address.url, "--executor", "batch", "--children", "2"]
    assert run(["data", "quality", *place, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["computed"], shown["skipped"], shown["partitions"][0]["verdict"]) == (
        0,
        2,
        "ok",
    )
    assert run(["data", "clean", "partitions", "cleaned/panels", *place]) == 0
    out = capsys.readouterr().out
    assert "cleaned/v1/panels" in out
    assert run(["data", "clean", "partitions", "cleaned/panels", *place]) == 0
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
    array = ["--executor", "batch", "--children", "2"]
    assert run(["anomalies", "--bucket", store.address.url, *flags, *array, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert run(["anomalies", "--bucket", local.address.url, *flags, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert shown["anomalies"] == expected["anomalies"] > 0
    assert contents(store, "anomalies/seasonal-naive") == contents(
        local, "anomalies/seasonal-naive"
    )
    assert {receipt.job for receipt in receipts(store)} == {"forecast", "anomalies"}
    assert run(["anomalies", "--bucket", store.address.url, *flags, *array, "--rolling"]) == 2
    assert "makes none for the search" in capsys.readouterr().err


def test_a_backtest_has_an_array_for_each_model_and_the_leaderboard_of_a_local_run(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = bucket_of(server, 1), bucket_of(server, 1)
    array = ["--executor", "batch", "--children", "2"]
    # The same engine here and in children, which is no torch.
    flags = ["--model_engine", "numpy", *NAIVE, "--windows", "2", "--model", "gigacast-bolt-nano", "--json"]
    assert run(["backtest", "--bucket", store.address.url, *flags, *array]) == 0
    shown = json.loads(capsys.readouterr().out)
    # By the children's end alone, before the command has written it again.
    boards = contents(store, LEADERBOARDS)
    assert run(["backtest", "--bucket", local.address.url, *flags]) == 0
    assert json.loads(capsys.readouterr().out)["leaderboard"] == shown["leaderboard"]
    assert len(boards) == len(contents(local, LEADERBOARDS)) > 0
    folders = {name.split("/")[1] for name in contents(local, "backtests/")} - {"_leaderboards"}
    assert len(folders) == 2
    for name in folders:
        assert contents(store, f"backtests/{name}/") == contents(local, f"backtests/{name}/")
    assert len([r for r in receipts(store) if r.job == "backtest"]) == 4
