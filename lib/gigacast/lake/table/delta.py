"""Tables of Delta Lake, whose log deltalake reads.

Files are read by this package, from the job's own store. Deletion vectors and mapped columns are
respected; tables that need any other feature of readers are refused by its name.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from gigacast.core.array import BoolArray
from gigacast.core.column import to_numpy
from gigacast.core.record import parse_json
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    GigacastError,
    MissingExtraError,
    SchemaError,
    StorageError,
)
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import (
    DataFile,
    PartValue,
    TableColumn,
    TableContent,
    find_time,
    microseconds,
)
from gigacast.storage.store import StoreAddress

if TYPE_CHECKING:
    from deltalake import DeltaTable

_READ = {
    *("timestampNtz", "deletionVectors", "columnMapping"),
    *("v2Checkpoint", "vacuumProtocolCheck", "typeWidening", "typeWidening-preview"),
}
"""Features of tables that are read; the log's own are deltalake's."""
_PHYSICAL = "delta.columnMapping.physicalName"


def read_delta(address: TableAddress, store: StoreAddress) -> TableContent:
    """Return the files of the pinned version of a table.

    Raises
    ------
    DataNotFoundError, SchemaError, StorageError
    """
    with translated(address):
        table = open_delta(address, store)
        _check_features(table, address)
        columns = _columns(table)
        time = find_time({column.name: column.type for column in columns}, address.time)
        actions = _by_name(pa.table(table.get_add_actions(flatten=True)), table)
        masks = _masks(table)
        files = tuple(_data_files(actions, address, columns, time, masks))
        _check_masks(masks, files, address)
    modified = max(actions["modification_time"].to_pylist(), default=0)
    return TableContent(
        location=address.folder,
        columns=columns,
        files=files,
        time=time,
        modified_ns=int(modified) * 1_000_000,
    )


def pin_delta(address: TableAddress, store: StoreAddress) -> TableAddress:
    """Return the address of the version that an address stands for now.

    Raises
    ------
    DataNotFoundError, StorageError
    """
    if address.is_pinned:
        return address
    with translated(address):
        table = open_delta(address, store)
        if address.as_of is not None:
            _load_as_of(table, address, address.as_of)
        return address.pinned(table.version())


def open_delta(address: TableAddress, store: StoreAddress) -> "DeltaTable":
    """Open a table at the version of its address, the latest by default.

    Raises
    ------
    DataNotFoundError
        If there is no table, or no such version.
    MissingExtraError
        If deltalake is not installed.
    """
    try:
        from deltalake import DeltaTable  # noqa: PLC0415 - an extra
        from deltalake.exceptions import DeltaError, TableNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "tables of Delta Lake need deltalake", hint="pip install 'gigacast[delta]'"
        ) from error
    options = storage_options(address, store)
    try:
        return DeltaTable(address.place, version=address.snapshot, storage_options=options)
    except TableNotFoundError as error:
        raise DataNotFoundError(
            f"{address.name} is no table of Delta Lake",
            hint="name the folder that has the folder _delta_log",
        ) from error
    except DeltaError as error:
        if address.snapshot is None:
            raise
        raise DataNotFoundError(
            f"{address.name} has no version {address.snapshot}: {str(error)[:200]}",
            hint="it may be gone: leave the option out to read the latest",
        ) from error


def storage_options(address: TableAddress, store: StoreAddress) -> dict[str, str]:
    """Return the options by which deltalake opens the folder as the job does.

    Raises
    ------
    ConfigError
        If the folder is of no kind that the job could open.
    AccessDeniedError
        If there are no credentials.
    """
    scheme = address.folder.partition("://")[0]
    if scheme not in {"file", "s3", "s3a"}:
        raise ConfigError(
            f"{address.name}: tables of Delta Lake are read from folders and S3",
            hint="as delta:///data/sales or delta://s3://bucket/sales",
        )
    if scheme == "file":
        return {}
    # Runs on folders start faster without botocore.
    from gigacast.storage.s3.credentials import s3_options  # noqa: PLC0415

    return s3_options(store.endpoint_url, store.region)


def _load_as_of(table: "DeltaTable", address: TableAddress, moment: datetime) -> None:
    first = min(entry["timestamp"] for entry in table.history())
    if moment.timestamp() * 1000 < first:
        raise DataNotFoundError(
            f"{address.name} has no version of {moment.isoformat()}",
            hint="name a later time: the log begins after it",
        )
    table.load_as_version(moment)


@contextmanager
def translated(address: TableAddress) -> Iterator[None]:
    """Raise errors of deltalake as errors of this package."""
    try:
        yield
    except GigacastError:
        raise
    except Exception as error:
        text = str(error).partition("\n")[0][:300]
        raise StorageError(
            f"{address.name} cannot be read: {type(error).__name__}: {text}"
        ) from error


def _check_features(table: "DeltaTable", address: TableAddress) -> None:
    features = sorted({*(table.protocol().reader_features or ())} - _READ)
    if features:
        raise SchemaError(
            f"{address.name} needs the feature {', '.join(features)}, which is not read",
            hint="write the rows to a table without the feature",
        )


def _columns(table: "DeltaTable") -> tuple[TableColumn, ...]:
    types = pa.schema(table.schema())
    parts = set(table.metadata().partition_columns)
    fields = _fields(table)
    # In this mode names in the files say nothing, as in files that Iceberg has written.
    by_id = table.metadata().configuration.get("delta.columnMapping.mode") == "id"
    key = "delta.columnMapping.id" if by_id else _PHYSICAL
    stored = {f["name"]: f["metadata"].get(key, f["name"]) for f in fields}
    return tuple(
        TableColumn(field.name, field.type, stored[field.name], is_part=field.name in parts)
        for field in types
    )


def _data_files(
    actions: pa.Table,
    address: TableAddress,
    columns: tuple[TableColumn, ...],
    time: str | None,
    masks: Mapping[str, BoolArray],
) -> Iterator[DataFile]:
    by_name = {column.name: column for column in columns}
    parts = [column.name for column in columns if column.is_part]
    values = {name: _column(actions, "partition", by_name[name]).to_pylist() for name in parts}
    bounds = _bounds(actions, by_name.get(time) if time is not None else None)
    paths, sizes, counts = (
        actions[name].to_pylist() for name in ("path", "size_bytes", "num_records")
    )
    for place, path in enumerate(paths):
        # Written with escapes in the log; absolute in clones of other tables.
        plain = unquote(path)
        url = plain if "://" in plain else f"{address.folder}/{plain}"
        row = {name: values[name][place] for name in parts}
        mask = masks.get(url)
        yield DataFile(
            url=url,
            size_bytes=sizes[place],
            rows=counts[place],
            parts=tuple(
                PartValue(name, _text(row[name]), _is_time(by_name[name].type)) for name in parts
            ),
            bounds=bounds[place],
            constants=row,
            mask=mask,
            mask_id="" if mask is None else hashlib.sha256(mask.tobytes()).hexdigest()[:16],
        )


def _fields(table: "DeltaTable") -> list[dict[str, Any]]:
    described: Any = parse_json(table.schema().to_json())
    fields: list[dict[str, Any]] = described["fields"]
    return fields


def _by_name(actions: pa.Table, table: "DeltaTable") -> pa.Table:
    """Return the actions with values and bounds by the names of columns, not those in files."""
    names = {f["metadata"].get(_PHYSICAL, f["name"]): f["name"] for f in _fields(table)}
    renamed = []
    for title in actions.column_names:
        kind, dot, name = title.partition(".")
        renamed.append(f"{kind}{dot}{names.get(name, name)}")
    if len(set(renamed)) < len(renamed):
        raise SchemaError(
            f"{table.table_uri}: two columns of its log have one name",
            hint="write the rows to a table without mapped columns",
        )
    return actions.rename_columns(renamed)


def _column(actions: pa.Table, kind: str, column: TableColumn) -> pa.ChunkedArray:
    """Return the values or bounds of a column."""
    name = f"{kind}.{column.name}"
    if name in actions.column_names:
        return actions[name]
    return pa.chunked_array([pa.nulls(actions.num_rows)])


def _bounds(actions: pa.Table, time: TableColumn | None) -> list[tuple[int, int] | None]:
    if time is None or not _is_time(time.type):
        return [None] * actions.num_rows
    # The value of a partition column is both of its bounds.
    kinds = ("partition", "partition") if time.is_part else ("min", "max")
    columns = [_column(actions, kind, time) for kind in kinds]
    if any(pa.types.is_null(column.type) for column in columns):
        return [None] * actions.num_rows
    low, high = (
        microseconds(column.cast(time.type).combine_chunks()).to_pylist() for column in columns
    )
    # Bounds of timestamps are written in milliseconds, rounded down.
    slack = 999 if pa.types.is_timestamp(time.type) and not time.is_part else 0
    return [
        None if first is None or last is None else (first, last + slack)
        for first, last in zip(low, high, strict=True)
    ]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _masks(table: "DeltaTable") -> dict[str, BoolArray]:
    """Return the masks of the rows that deletion vectors keep, by the URL of their file."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    rows = pa.RecordBatchReader.from_stream(table.deletion_vectors()).read_all()
    urls = [unquote(url) for url in rows["filepath"].to_pylist()]
    return {
        url: to_numpy(vector.values)
        for url, vector in zip(urls, rows["selection_vector"], strict=True)
    }


def _check_masks(
    masks: Mapping[str, BoolArray], files: tuple[DataFile, ...], address: TableAddress
) -> None:
    """Check that each deletion vector is that of a file: no deleted row may be read."""
    unknown = masks.keys() - {file.url for file in files if file.mask is not None}
    if unknown:
        raise StorageError(
            f"{address.url}: the deletion vector of {min(unknown)} belongs to no file of the table",
            hint="rewrite the table's data files, which applies the vectors",
        )
