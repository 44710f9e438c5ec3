"""A version of a cleaned dataset in a table."""

from gigacast.core.digest import digest_text
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.table.address import TableTarget, TableWritten
from gigacast.storage.store import ObjectMeta, Store


def write_version(
    target: TableTarget, outputs: Store, manifest: DatasetManifest, run_id: str
) -> TableWritten:
    """Make a table hold the rows of a version, in one commit.

    Parameters
    ----------
    target : TableTarget
        Its mode ``append`` leaves the rows of earlier versions where they are.
    outputs : Store
        Store of the lake.
    manifest : DatasetManifest
    run_id : str

    Raises
    ------
    ConfigError, MissingExtraError, SchemaError, StorageError
    """
    from gigacast.lake.table.output import TableInput, write_table  # noqa: PLC0415 - few runs do

    inputs = [
        TableInput(
            partition=file.path,
            # By its rows: a file that two versions share is in the table once.
            output_id=digest_text(file.content),
            meta=ObjectMeta(file.key, file.etag, file.size_bytes, 0),
            rows=file.rows,
        )
        for file in manifest.files
    ]
    source = f"{outputs.address.url.rstrip('/')}/{manifest.layer}/{manifest.name}"
    return write_table(target, source, outputs, inputs, run_id=run_id, is_whole=True)
