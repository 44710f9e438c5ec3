"""Finished forecasts in a table: the rows that the manifests of a run's specs name."""

from collections.abc import Sequence

from gigacast.errors import ConfigError
from gigacast.forecasting.prepare import Prepared
from gigacast.lake.layout import manifest_key, output_id, version_prefix
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.table.address import TableWritten
from gigacast.lake.table.output import TableInput, write_table
from gigacast.storage.store import ObjectMeta


def write_forecasts(prepared: Prepared, specs: Sequence[str], run_id: str) -> TableWritten:
    """Make the job's table hold the forecasts that the manifests of specs name, in one commit.

    Parameters
    ----------
    prepared : Prepared
    specs : sequence of str
        Ids of the specs.
    run_id : str

    Raises
    ------
    ConfigError, MissingExtraError, SchemaError, StorageError
    """
    job, model, outputs = prepared.job, prepared.spec, prepared.outputs
    if job.table is None:
        raise ConfigError("no table is named", hint="name it by --output_table")
    inputs: list[TableInput] = []
    for spec in specs:
        # The manifest and not the tasks: it also has what earlier runs have done, and of which
        # one was killed before it had written the table.
        entries, _ = read_manifest(outputs, manifest_key(model.model, model.version, spec))
        inputs += [
            TableInput(
                partition=f"{spec}/{entry['partition']}",
                output_id=output_id(entry["etag"]),
                meta=ObjectMeta(entry["key"], entry["etag"], entry["size_bytes"], 0),
                rows=entry["rows"],
            )
            for entry in entries.to_pylist()
        ]
    source = f"{job.outputs.url}/{version_prefix(model.model, model.version)}".rstrip("/")
    return write_table(job.table, source, outputs, inputs, run_id=run_id)
