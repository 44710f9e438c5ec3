"""Reading datasets and plain Parquet files: rows, streams of them, what files say of themselves."""

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
from gigacast.datasets.resolve import check_layer, open_rows, origin_of
from gigacast.job.location import locate


def read_parquet_with_schema(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
) -> pd.DataFrame:
    """Read a Parquet file, a folder of them, or a dataset, and hold it against a contract.

    Parameters
    ----------
    path : str or Path
    schema : Contract or str, optional
        What the rows must keep; columns that are not read are not asked for.
    mode : {"strict", "coerce", "ignore"}
    columns : sequence of str, optional
        Only these are fetched.
    filters : list of (column, operator, value), optional
        Or a list of such lists of which one must hold. Files and row groups that cannot match are
        not fetched.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    SchemaMismatchError
        With every violation.
    """
    rows = open_rows(path)
    table = rows.table(columns, Predicate.parse(filters))
    if schema is not None:
        contract = _only(contract_of(schema), columns)
        table = validate_table(table, contract, mode_of(mode), where=rows.where)
    return frame_of(table, origin_of(path))


def read_partitioned_dataset(
    path: Path_,
    filters: Filters | None = None,
    columns: Sequence[str] | None = None,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
) -> pd.DataFrame:
    """Read a dataset in folders, by date, by asset or by both: only the folders that can match.

    See `read_parquet_with_schema`, whose arguments these are.
    """
    return read_parquet_with_schema(path, schema, mode, columns=columns, filters=filters)


def iterate_batches(
    path: Path_,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    batch_rows: int = 65_536,
) -> Iterator[pa.RecordBatch]:
    """Read data larger than memory: one batch after the other.

    Raises
    ------
    DataNotFoundError, CorruptedFileError, SchemaError
    """
    return open_rows(path).read(columns, Predicate.parse(filters), batch_rows=batch_rows)


def read_raw_data(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
) -> pd.DataFrame:
    """Read of the raw layer: ``raw/{asset}/{YYYY-MM-DD}/``, whoever put it there.

    Raises
    ------
    ConfigError
        When the path is not of that layer.
    """
    check_layer(path, "raw")
    return read_parquet_with_schema(path, schema, mode, columns=columns, filters=filters)


def read_features(
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
) -> pd.DataFrame:
    """Read of the features layer: ``features/v{Y}/{feature_set}/``, or ``latest`` for the version.

    Raises
    ------
    ConfigError
        When the path is not of that layer.
    """
    check_layer(path, "features")
    return read_parquet_with_schema(path, schema, mode, columns=columns, filters=filters)


def get_parquet_metadata(path: Path_) -> dict[str, Any]:
    """Return what a Parquet file's footer says: rows, columns, codec, embedded metadata.

    ``metadata`` is what this package embedded, ``custom`` are all other keys. Of a dataset of
    several files it is the metadata of the whole.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    where = locate(path)
    rows = open_rows(path)
    if where.ref is not None and len(rows.files) != 1:
        return MetadataManager.read_metadata_file(f"{where.address.url}/{where.ref}")
    return describe_parquet(rows.store, rows.files[0].meta.key)


def get_parquet_schema(path: Path_) -> pa.Schema:
    """Return the columns of a file, or of a dataset over all its files.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    return open_rows(path).schema


def _only(contract: Contract, columns: Sequence[str] | None) -> Contract:
    """Return what a contract says of some columns."""
    if columns is None:
        return contract
    kept = tuple(column for column in contract.columns if column.name in columns)
    return replace(
        contract,
        columns=kept,
        unique=tuple(key for key in contract.unique if set(key) <= set(columns)),
        ordered_by=tuple(contract.ordered_by) if set(contract.ordered_by) <= set(columns) else (),
        rules=tuple(rule for rule in contract.rules if set(rule.columns) <= set(columns)),
    )
