"""Datasets from Python: read, write, check and describe them, on S3, in a folder or in memory.

A door like the command line. A path is ``s3://bucket/lake/cleaned/v3/EURUSD``, ``file:///...``,
``memory://name/...`` or local. What lies in ``raw/``, ``cleaned/`` or ``features/`` is a dataset of
the lake around that folder: raw snapshots and published versions never change, and are read as
their manifest names them. All else is a plain Parquet file.

>>> import pandas as pd
>>> from gigacast.datasets import OHLCV_SCHEMA, read_parquet_with_schema, write_cleaned_data
>>> bars = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-15"]), "open": 1.0, "high": 2.0,
...                      "low": 0.5, "close": 1.5, "volume": 10})
>>> done = write_cleaned_data(bars, "memory://doc/cleaned/v1/MES/ohlcv.parquet", OHLCV_SCHEMA)
>>> read_parquet_with_schema("memory://doc/cleaned/latest/MES")["close"].tolist()
[1.5]
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from gigacast.core.contract import Column, Contract, Mode
from gigacast.core.contract_drift import Drift
from gigacast.core.contract_inference import infer_contract
from gigacast.core.contract_predefined import (
    MOMENTUM_INDICATORS_SCHEMA,
    OHLCV_SCHEMA,
    PREDEFINED,
    PRICE_VOLATILITY_SCHEMA,
    VOLUME_PROFILE_SCHEMA,
)
from gigacast.core.contract_report import ContractReport, Violation
from gigacast.core.contract_sample import sample_rows
from gigacast.core.predicate import Filters, Predicate
from gigacast.core.rule import Rule
from gigacast.errors import (
    ConfigError,
    ContractViolationError,
    CorruptedFileError,
    DatasetConflictError,
    DatasetIntegrityError,
    DataTypeValidationError,
    MissingRequiredColumnError,
    SchemaMismatchError,
)
from gigacast.lake.contract_file import format_contract, parse_contract
from gigacast.pipeline.contract import filter_table, validate_table
from gigacast.pipeline.dataset import PublishOptions, publish_rows
from gigacast.pipeline.dataset_describe import describe_parquet, drift_of_versions
from gigacast.pipeline.dataset_door import (
    check_layer,
    dataset_location,
    dependencies_of,
    open_manifest,
    open_rows,
    origin_of,
    plain_location,
)
from gigacast.pipeline.dataset_files import FileRules
from gigacast.pipeline.dataset_metadata import MetadataManager
from gigacast.pipeline.dataset_write import write_files
from gigacast.pipeline.location import Location, locate
from gigacast.pipeline.models import this_author
from gigacast.storage.opening import open_store

__all__ = [
    "MOMENTUM_INDICATORS_SCHEMA",
    "OHLCV_SCHEMA",
    "PRICE_VOLATILITY_SCHEMA",
    "VOLUME_PROFILE_SCHEMA",
    "Column",
    "Contract",
    "ContractReport",
    "ContractViolationError",
    "CorruptedFileError",
    "DataTypeValidationError",
    "DatasetConflictError",
    "DatasetIntegrityError",
    "Drift",
    "MetadataManager",
    "MissingRequiredColumnError",
    "Mode",
    "Rule",
    "SchemaMismatchError",
    "Violation",
    "filter_data",
    "generate_data",
    "get_parquet_metadata",
    "get_parquet_schema",
    "get_schema",
    "infer_schema",
    "iterate_batches",
    "load_schema",
    "read_features",
    "read_parquet_with_schema",
    "read_partitioned_dataset",
    "read_raw_data",
    "register_schema",
    "save_schema",
    "schema_drift",
    "validate_data",
    "write_cleaned_data",
    "write_features",
    "write_parquet_validated",
]

Data: TypeAlias = pd.DataFrame | pa.Table | Iterable[pa.RecordBatch]
"""A frame, a table, or batches (a `pyarrow.RecordBatchReader`) for data larger than memory."""
Schema: TypeAlias = Contract | str
"""A contract, or the name of a registered one."""
Path_: TypeAlias = str | Path

SOURCE = "gigacast.source"
"""In `DataFrame.attrs`: what a frame was read from, so that what is made of it says so."""

_registry: dict[str, Contract] = {contract.name: contract for contract in PREDEFINED}


# -- contracts -------------------------------------------------------------------------------------


def get_schema(name: str) -> Contract:
    """Return a registered contract; ``ohlcv``, ``price_volatility``, ... come with the package.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    found = _registry.get(name.lower().removesuffix("_schema"))
    if found is None:
        there = ", ".join(sorted(_registry))
        raise ConfigError(f"no schema {name!r} is registered", hint=f"there are: {there}")
    return found


def register_schema(schema: Contract, name: str | None = None, *, replace: bool = False) -> None:
    """Register a contract, for this process, under its own or another name.

    Raises
    ------
    ConfigError
        When another one has that name and ``replace`` is not asked for.
    """
    key = (name or schema.name).lower().removesuffix("_schema")
    if not replace and _registry.get(key, schema) != schema:
        raise ConfigError(f"another schema {key!r} is registered", hint="give replace=True")
    _registry[key] = schema


def load_schema(path: Path_) -> Contract:
    """Read a contract from a YAML file, anywhere.

    Raises
    ------
    ConfigError
    """
    where = plain_location(path)
    return parse_contract(open_store(where.address).get(where.key), str(path))


def save_schema(schema: Schema, path: Path_) -> None:
    """Write a contract as a YAML file, anywhere."""
    where = plain_location(path)
    open_store(where.address).put(where.key, format_contract(_contract(schema)).encode())


def infer_schema(path: Path_, name: str | None = None) -> Contract:
    """Return a contract that a file's or dataset's rows keep: a proposal, to be tightened.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    rows = open_rows(path)
    return infer_contract(name or Path(str(path)).stem, rows.schema, rows.read())


def generate_data(schema: Schema, rows: int, seed: int = 0) -> pd.DataFrame:
    """Return made-up rows that keep a contract.

    Raises
    ------
    ConfigError
        When no such rows are found.
    """
    return _frame(sample_rows(_contract(schema), rows, seed))


def validate_data(data: Data, schema: Schema, mode: str | Mode = Mode.STRICT) -> pd.DataFrame:
    """Return data in a contract's types, or refuse it with every violation.

    Raises
    ------
    SchemaMismatchError
        Its ``violations`` have column, rule, count and sample rows.
    """
    return _frame(validate_table(_table(data), _contract(schema), _mode(mode), where="the data"))


def filter_data(
    data: Data, schema: Schema, mode: str | Mode = Mode.STRICT
) -> tuple[pd.DataFrame, ContractReport]:
    """Return the rows that keep a contract, and a report on the others."""
    good, report = filter_table(_table(data), _contract(schema), _mode(mode))
    return _frame(good), report


def schema_drift(old: Path_, new: Path_) -> list[Drift]:
    """Return what changed between two versions of a dataset, field by field.

    Raises
    ------
    DataNotFoundError
    """
    return drift_of_versions(open_manifest(old), open_manifest(new))


# -- reading ---------------------------------------------------------------------------------------


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
        contract = _only(_contract(schema), columns)
        table = validate_table(table, contract, _mode(mode), where=rows.where)
    return _frame(table, origin_of(path))


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


# -- writing ---------------------------------------------------------------------------------------


def write_parquet_validated(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a Parquet file that keeps a contract, or nothing.

    Parameters
    ----------
    data : DataFrame, Table or batches
        Batches are streamed: a row group at a time is held.
    path : str or Path
        In a layer's folder a version is published; see `write_cleaned_data`.
    schema : Contract or str, optional
    mode : {"strict", "coerce", "ignore"}
    compression : {"snappy", "zstd", "gzip", "none"}
    partition_by : sequence of str
        ``date``, ``month``, ``year`` or columns: ``path`` is a folder then.
    metadata : mapping of str to str, optional
        Custom keys of the file.

    Returns
    -------
    dict
        The metadata of what was written.

    Raises
    ------
    SchemaMismatchError
        With every violation; nothing was written.
    """
    where = locate(path)
    if where.ref is not None:
        return _publish(data, path, schema, mode, compression, partition_by)
    files = _file_rules(where.key, compression, partition_by)
    return _write_plain(data, where, schema, _mode(mode), files, metadata or {})


def write_cleaned_data(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] = (),
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    """Publish data as a version of the cleaned layer: ``cleaned/v{X}/{asset}/``.

    The version is visible when all of it is, and never changes. The same data again changes
    nothing; other data is refused. ``cleaned/latest/{asset}`` takes the next version.

    Parameters
    ----------
    data : DataFrame, Table or batches
    path : str or Path
        The dataset, or a file name in it.
    schema : Contract or str, optional
    mode : {"strict", "coerce", "ignore"}
    compression : {"snappy", "zstd", "gzip", "none"}
    partition_by : sequence of str
        ``date``, ``month``, ``year`` or columns.
    append : bool
        Whether the rows follow those of the version before, whose files are shared.
    what : str
        For the changelog.
    dependencies : sequence of str or Path
        What the data was made from; a frame read here remembers it by itself.

    Returns
    -------
    dict
        The metadata of the version.

    Raises
    ------
    SchemaMismatchError, DatasetConflictError, ConfigError
    """
    check_layer(path, "cleaned")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


def write_features(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] = (),
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    """Publish data as a version of a feature set: ``features/v{Y}/{feature_set}/``.

    As `write_cleaned_data`.
    """
    check_layer(path, "features")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


# -- inside ----------------------------------------------------------------------------------------


def _contract(schema: Schema) -> Contract:
    return get_schema(schema) if isinstance(schema, str) else schema


def _mode(mode: str | Mode) -> Mode:
    try:
        return Mode(str(mode).lower())
    except ValueError as error:
        raise ConfigError(
            f"mode: there is no {mode!r}", hint=f"one of {', '.join(Mode)}"
        ) from error


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


def _table(data: Data) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pd.DataFrame):
        index = data.index
        named = index.name is not None or not isinstance(index, pd.RangeIndex)
        frame = data.reset_index() if named and index.name is not None else data
        return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    schema, batches = _batches(data)
    return pa.Table.from_batches(list(batches), schema)


def _batches(data: Data) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the rows of any data, in batches."""
    if isinstance(data, pd.DataFrame | pa.Table):
        table = _table(data)
        return table.schema, iter(table.to_batches(max_chunksize=65_536))
    if isinstance(data, pa.RecordBatch):
        return data.schema, iter([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.schema, iter(data)
    stream = iter(data)
    first = next(stream, None)
    if not isinstance(first, pa.RecordBatch):
        raise ConfigError(
            f"data: expected a DataFrame, a Table or record batches, got {type(first).__name__}"
        )

    def whole() -> Iterator[pa.RecordBatch]:
        yield first
        yield from stream

    return first.schema, whole()


def _frame(table: pa.Table, source: Mapping[str, str] | None = None) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    if source:
        frame.attrs[SOURCE] = dict(source)
    return frame


def _file_rules(key: str, compression: str | None, partition_by: Sequence[str]) -> FileRules:
    by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
    name = key.rpartition("/")[2]
    if name.endswith(".parquet"):
        return FileRules(by, compression or "none", name)
    return FileRules(by, compression or "none")


def _publish(  # noqa: PLR0913, PLR0917 - handed on as they came
    data: Data,
    path: Path_,
    schema: Schema | None,
    mode: str | Mode,
    compression: str | None,
    partition_by: Sequence[str],
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    where = dataset_location(path)
    assert where.ref is not None  # noqa: S101 - just looked
    remembered = data.attrs.get(SOURCE) if isinstance(data, pd.DataFrame) else None
    sources = [*dependencies, *([remembered["path"]] if remembered else [])]
    found = (one for source in sources for one in dependencies_of(source, where))
    options = PublishOptions(
        contract=_contract(schema) if schema is not None else None,
        mode=_mode(mode),
        append=append,
        what=what,
        dependencies=tuple(dict.fromkeys(found)),
        files=_file_rules(where.key, compression, partition_by),
    )
    columns, batches = _batches(data)
    done = publish_rows(where.lake(), where.ref, batches, columns, options, this_author())
    return MetadataManager.read_metadata_file(f"{where.address.url}/{done.manifest.ref}")


def _write_plain(
    data: Data,
    where: Location,
    schema: Schema | None,
    mode: Mode,
    files: FileRules,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    columns, batches = _batches(data)
    contract = (_contract(schema), mode) if schema is not None else None
    return write_files(where, batches, columns, contract, files, custom)
