"""The public functions that read rows, schemas and metadata of datasets and plain Parquet files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa

from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.dataset.predicate import Filters, Predicate
from gigacast.datasets.api.form import Path_, frame_of
from gigacast.datasets.api.schema import Schema, contract_of, mode_of
from gigacast.datasets.check import validate_table
from gigacast.datasets.describe import describe_parquet
from gigacast.datasets.metadata import MetadataManager
from gigacast.datasets.resolve import check_layer, open_rows, origin_of, verify_of
from gigacast.errors import ConfigError
from gigacast.job.location import locate
from gigacast.settings.argument import checked


@checked
def read_parquet_with_schema(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    verify_datasets: str = "sample",
) -> pd.DataFrame:
    """Read a Parquet file, a folder of them, or a dataset, and check it against a contract.

    Parameters
    ----------
    path : str or Path
        Path of the file, folder or dataset.
    schema : Contract or str, optional
        Contract or its name; no check by default. Only the columns that are read are checked.
    mode : {"strict", "coerce", "ignore"}
        Handling of rows that break the contract: an error, an error after converting types, or a
        warning.
    columns : sequence of str, optional
        Columns to read; all by default.
    filters : list of (column, operator, value), optional
        Conditions that must all hold, or several lists of conditions, one of which must hold; all
        rows by default. Files and row groups without a match are not read.
    verify_datasets : {"sample", "always", "never"}
        Files of a published dataset whose recorded SHA-256 is checked before they are read: a
        random one of sixteen, all or none.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    SchemaMismatchError
        If a row breaks the contract, with all violations.
    """
    rows = open_rows(path, verify_of(verify_datasets))
    table = rows.table(columns, Predicate.parse(filters))
    if schema is not None:
        contract = _restrict(contract_of(schema), columns)
        table = validate_table(table, contract, mode_of(mode), title=rows.where)
    return frame_of(table, origin_of(path))


@checked
def read_partitioned_dataset(
    path: Path_,
    filters: Filters | None = None,
    columns: Sequence[str] | None = None,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    verify_datasets: str = "sample",
) -> pd.DataFrame:
    """Read a dataset in folders by date or asset. Folders without a match are not read.

    The parameters are those of `read_parquet_with_schema`.
    """
    return read_parquet_with_schema(
        path, schema, mode, columns=columns, filters=filters, verify_datasets=verify_datasets
    )


@checked
def iterate_batches(
    path: Path_,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    batch_rows: int = 65_536,
    verify_datasets: str = "sample",
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches, for data larger than memory.

    Raises
    ------
    ConfigError
        If a batch would have no rows, or a filter is none.
    DataNotFoundError, CorruptedFileError, SchemaError
    """
    if batch_rows < 1:
        raise ConfigError(f"batch_rows: {batch_rows} is less than 1", hint="such as 65536")
    rows = open_rows(path, verify_of(verify_datasets))
    return rows.read(columns, Predicate.parse(filters), batch_rows=batch_rows)


@checked
def read_raw_data(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    verify_datasets: str = "sample",
) -> pd.DataFrame:
    """Read from the raw layer: ``raw/{asset}/{YYYY-MM-DD}/``, also files put there by others.

    Raises
    ------
    ConfigError
        If the path is not in this layer.
    """
    check_layer(path, "raw")
    return read_parquet_with_schema(
        path, schema, mode, columns=columns, filters=filters, verify_datasets=verify_datasets
    )


@checked
def read_features(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    verify_datasets: str = "sample",
) -> pd.DataFrame:
    """Read from the features layer: ``features/v{Y}/{feature_set}/``, or ``latest`` as version.

    Raises
    ------
    ConfigError
        If the path is not in this layer.
    """
    check_layer(path, "features")
    return read_parquet_with_schema(
        path, schema, mode, columns=columns, filters=filters, verify_datasets=verify_datasets
    )


@checked
def get_parquet_metadata(path: Path_) -> dict[str, Any]:
    """Return the footer of a Parquet file: rows, columns, codec, embedded metadata.

    ``metadata`` is the entry written by this package, ``custom`` has all other keys. For a dataset
    of several files the metadata of the dataset is returned.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    location = locate(path)
    rows = open_rows(path)
    if location.ref is not None and len(rows.files) != 1:
        return MetadataManager.read_metadata_file(f"{location.address.url}/{location.ref}")
    return describe_parquet(rows.store, rows.files[0].meta.key)


@checked
def get_parquet_schema(path: Path_) -> pa.Schema:
    """Return the schema of a file, or of all files of a dataset together.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    return open_rows(path).schema


def _restrict(contract: Contract, columns: Sequence[str] | None) -> Contract:
    """Return the part of a contract that concerns only these columns."""
    if columns is None:
        return contract
    return replace(
        contract,
        columns=tuple(column for column in contract.columns if column.name in columns),
        unique=tuple(key for key in contract.unique if set(key) <= set(columns)),
        ordered_by=tuple(contract.ordered_by) if set(contract.ordered_by) <= set(columns) else (),
        rules=tuple(rule for rule in contract.rules if set(rule.columns) <= set(columns)),
    )
