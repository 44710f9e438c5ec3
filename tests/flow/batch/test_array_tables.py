"""Tables of Iceberg and Delta Lake as inputs and outputs of array runs."""

import json
from pathlib import Path

import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.submit import submit_run
from gigacast.cli.program import run
from gigacast.errors import ConfigError
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.location import exact_inputs
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.table.address import TableAddress
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.flow.batch.array_runs import forecasts, job_in, watch
from tests.flow.tables.table_formats import TableFormat, panel
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer

pytest.importorskip("pyiceberg", reason="tables of Iceberg need the extra iceberg")
pytest.importorskip("deltalake", reason="tables of Delta Lake need the extra delta")

OPTIONS = ArrayOptions(children=2)


@pytest.fixture
def lake(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: MotoServer,
) -> TableFormat:
    """A bucket with a table of two months."""
    storage = {"aws_endpoint_url": server.endpoint_url, "aws_allow_http": "true"}
    storage |= {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    storage["aws_region"] = "us-east-1"
    root = f"s3://{server.create_bucket()}/tables"
    tables = TableFormat(request.param, root, tmp_path / "catalog.db", storage)
    for name, value in tables.variables.items():
        monkeypatch.setenv(name, value)
    tables.append("sales", panel("2024-01"), ["month"])
    tables.append("sales", panel("2024-02"), ["month"])
    return tables


@pytest.mark.parametrize("lake", ["iceberg"], indirect=True)
def test_children_read_the_snapshot_of_the_plan_and_ask_no_catalog(
    server: MotoServer, batch: LocalBatch, service: BatchService, lake: TableFormat
) -> None:
    store, local = (open_store(server.new_address()) for _ in range(2))
    table = lake.url("sales")
    batch.pause()
    submission = submit_run(job_in(store, input_prefix=table), OPTIONS, service)
    assert submission.tasks == 2
    first = exact_inputs(StoreAddress(table, server.endpoint_url))
    lake.append("sales", panel("2024-02", ["late"]), ["month"])
    latest = exact_inputs(StoreAddress(table, server.endpoint_url))
    assert lake.catalog is not None
    lake.catalog.unlink()
    batch.resume()
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed, first == latest) == ("completed", 2, False)
    read = TableAddress.parse(str(audit.settings["inputs"]))
    assert read.snapshot == TableAddress.parse(first.url).snapshot
    assert read.metadata is not None
    from gigacast.forecasting.run import run_forecast

    run_forecast(job_in(local, input_prefix=read.url))
    assert forecasts(store) == forecasts(local)
    # The closing has planned the snapshot, too: its manifest names both partitions.
    assert any(e.key.endswith("_manifest.parquet") for page in store.list() for e in page)


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_the_command_that_waits_writes_the_table_in_one_commit(
    server: MotoServer,
    batch: LocalBatch,
    lake: TableFormat,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = open_store(server.new_address())
    line = ["forecast", "--bucket", store.address.url, "--input_prefix", lake.url("sales")]
    line += ["--model", "seasonal-naive", "--horizon", "6", "--children", "2"]
    line += ["--executor", "batch", "--output_table", lake.url("made"), "--json"]
    assert run(line) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["table"]["partitions_written"], shown["table"]["rows_written"]) == (2, 24)
    assert (lake.commits("made"), len(lake.read("made"))) == (1, 24)
    assert read_audit(store, shown["run_id"]).totals["table"] == shown["table"]
    assert run(line) == 0  # nothing is pending, and the table is whole
    assert json.loads(capsys.readouterr().out)["table"]["rows_written"] == 0
    assert lake.commits("made") == 1


def test_a_table_of_this_machine_is_out_of_reach(
    server: MotoServer, service: BatchService, tmp_path: Path
) -> None:
    store = open_store(server.new_address())
    tables = TableFormat("delta", str(tmp_path), None, {})
    tables.append("sales", panel("2024-01"), ["month"])
    with pytest.raises(ConfigError, match="out of reach of other machines"):
        submit_run(job_in(store, input_prefix=tables.url("sales")), OPTIONS, service)
