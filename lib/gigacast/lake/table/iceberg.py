"""Tables of Apache Iceberg, through the catalog that pyiceberg is configured for.

pyiceberg reads metadata: catalogs, snapshots, manifests. Its catalogs are configured as for any
other program (``~/.pyiceberg.yaml``, ``PYICEBERG_CATALOG__NAME__URI``); files are opened by the
job's own store. Position deletes and deletion vectors are respected, equality deletes refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gigacast.errors import (
    AccessDeniedError,
    ConfigError,
    DataNotFoundError,
    GigacastError,
    MissingExtraError,
    SchemaError,
    StorageError,
)
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import (
    PUFFIN,
    DataFile,
    DeleteFile,
    PartValue,
    TableColumn,
    TableContent,
    find_time,
    microseconds,
)
from gigacast.storage.store import StoreAddress

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table

_FILE_IO = "gigacast.lake.table.file_io.JobFileIO"
_HINT = "configure it in ~/.pyiceberg.yaml or by PYICEBERG_CATALOG__{}__URI; see `pyiceberg list`"


def read_iceberg(address: TableAddress, store: StoreAddress) -> TableContent:
    """Return the files of the pinned snapshot of a table.

    Raises
    ------
    ConfigError, DataNotFoundError, SchemaError, StorageError
        `SchemaError` also for deletes and formats that cannot be read.
    """
    with _opened(address, store) as table:
        scan = table.scan(snapshot_id=address.snapshot)
        snapshot = table.snapshot_by_id(address.snapshot) if address.snapshot else None
        if snapshot is None:
            raise DataNotFoundError(
                f"{address.name} has no snapshot {address.snapshot}",
                hint="it has expired: leave the option out to read the latest",
            )
        schema = scan.projection()
        time = find_time(_arrow_types(schema), address.time)
        files = tuple(_data_file(task, table, schema, time) for task in scan.plan_files())
        mapping = table.metadata.name_mapping()
        return TableContent(
            location=table.location(),
            columns=_columns(schema),
            files=files,
            time=time,
            modified_ns=snapshot.timestamp_ms * 1_000_000,
            names=_mapped(mapping) if mapping is not None else {},
        )


def pin_iceberg(address: TableAddress, store: StoreAddress) -> TableAddress:
    """Return the address of the snapshot that an address stands for now.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
    """
    if address.is_pinned:
        return address
    with _opened(address, store) as table:
        if address.as_of is not None:
            entry = table.snapshot_as_of_timestamp(int(address.as_of.timestamp() * 1000))
        elif address.ref is not None:
            entry = table.snapshot_by_name(address.ref)
        else:
            entry = table.current_snapshot()
        if entry is None:
            named = address.as_of or address.ref
            raise DataNotFoundError(
                f"{address.name} has no snapshot" + (f" of {named}" if named is not None else ""),
                hint="write rows to the table first, or name another snapshot",
            )
        return address.pinned(entry.snapshot_id)


def with_metadata(address: TableAddress, store: StoreAddress) -> TableAddress:
    """Return a pinned address with the metadata file of its snapshot, which needs no catalog.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
    """
    if address.metadata is not None:
        return address
    with _opened(address, store) as table:
        return replace(address, metadata=table.metadata_location)


@contextmanager
def _opened(address: TableAddress, store: StoreAddress) -> Iterator["Table"]:
    """Open a table, through its catalog or by its metadata file; a context manager."""
    if address.metadata is None:
        with open_catalog(address, store) as catalog, translated(address):
            yield load_table(catalog, address)
        return
    try:
        from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _missing() from error
    with translated(address):
        yield StaticTable.from_metadata(address.metadata, _defaults({}, store))


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "tables of Iceberg need pyiceberg", hint="pip install 'gigacast[iceberg]'"
    )


@contextmanager
def open_catalog(address: TableAddress, store: StoreAddress) -> Iterator["Catalog"]:
    """Open the catalog of a table, configured as pyiceberg is; a context manager.

    Raises
    ------
    ConfigError
        If the catalog is not configured.
    MissingExtraError
        If pyiceberg is not installed.
    """
    try:
        from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - an extra
        from pyiceberg.utils.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    name = address.place.partition("/")[0]
    try:
        configured = Config().get_catalog_config(name) or {}
        # Passed on, since pyiceberg reads its configuration only once per process.
        catalog = load_catalog(name, **configured, **_defaults(configured, store))
    except GigacastError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the catalog {name!r} of {address.name} cannot be opened: {_first_line(error)}",
            hint=_HINT.format(name.upper()),
        ) from error
    try:
        yield catalog
    finally:
        catalog.close()


def _defaults(configured: Mapping[str, Any], store: StoreAddress) -> dict[str, str]:
    """Return the properties of a catalog that come from the job; configured ones win."""
    own = {
        "py-io-impl": _FILE_IO,
        "gigacast.endpoint_url": store.endpoint_url,
        "gigacast.region": store.region,
        "client.region": store.region,
    }
    return {
        name: value for name, value in own.items() if value is not None and name not in configured
    }


def load_table(catalog: "Catalog", address: TableAddress) -> "Table":
    """Return a table of a catalog.

    Raises
    ------
    DataNotFoundError
    """
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415

    try:
        return catalog.load_table(address.place.partition("/")[2])
    except (NoSuchTableError, NoSuchNamespaceError) as error:
        raise DataNotFoundError(
            f"{address.name} does not exist", hint="see `pyiceberg list NAMESPACE`"
        ) from error


@contextmanager
def translated(address: TableAddress) -> Iterator[None]:
    """Raise errors of pyiceberg and of its catalogs as errors of this package."""
    try:
        yield
    except GigacastError:
        raise
    except Exception as error:
        text = _first_line(error)
        # Refused by pyiceberg itself, which plans no scan of a table that has them.
        if "equality delete" in text:
            raise SchemaError(
                f"{address.name} has equality deletes, which are not read",
                hint="rewrite its data files first (rewrite_data_files), which applies them",
            ) from error
        kind = type(error).__name__
        if kind in {"ForbiddenError", "UnauthorizedError", "AuthorizationExpiredError"}:
            raise AccessDeniedError(f"{address.name}: {text}") from error
        raise StorageError(f"{address.name} cannot be read: {kind}: {text}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]


def _arrow_types(schema: "Schema") -> dict[str, pa.DataType]:
    from pyiceberg.io.pyarrow import schema_to_pyarrow  # noqa: PLC0415

    arrow = schema_to_pyarrow(schema, include_field_ids=False)
    return {field.name: field.type for field in arrow}


def _columns(schema: "Schema") -> tuple[TableColumn, ...]:
    types = _arrow_types(schema)
    return tuple(
        TableColumn(
            name=field.name,
            type=types[field.name],
            stored=field.field_id,
            has_default=field.initial_default is not None,
        )
        for field in schema.fields
    )


def _mapped(mapping: Any) -> dict[str, int]:
    return {
        name: field.field_id
        for field in mapping
        if field.field_id is not None
        for name in field.names
    }


def _data_file(
    task: "FileScanTask", table: "Table", schema: "Schema", time: str | None
) -> DataFile:
    file = task.file
    if file.file_format.value.lower() != "parquet":
        raise SchemaError(
            f"{file.file_path} is a file of {file.file_format.value}; only Parquet is read",
            hint="rewrite the data files of the table as Parquet",
        )
    spec, schemas = table.specs()[file.spec_id], [schema, *table.schemas().values()]
    parts, constants = [], {}
    for field, value in zip(spec.fields, _values(file), strict=True):
        if str(field.transform) == "void":
            continue
        # A column that files were partitioned by may have been dropped since.
        kind = next(
            (s.find_type(field.source_id) for s in schemas if field.source_id in s.field_ids), None
        )
        text = None if value is None else field.transform.to_human_string(kind, value)
        is_time = str(kind) in _TIMES and str(field.transform) in _OF_TIME
        parts.append(PartValue(field.name, text, is_time))
        if str(field.transform) == "identity":
            with suppress(ValueError):
                constants[schema.find_field(field.source_id).name] = value
    return DataFile(
        url=file.file_path,
        size_bytes=file.file_size_in_bytes,
        rows=file.record_count,
        parts=tuple(parts),
        bounds=_bounds(file, schema, time),
        constants=constants,
        deletes=tuple(
            sorted((_delete_file(d) for d in task.delete_files), key=lambda deletes: deletes.url)
        ),
    )


_TIMES = {"date", "timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"}
_OF_TIME = {"identity", "year", "month", "day", "hour"}


def _values(file: "IcebergFile") -> list[Any]:
    return [file.partition[place] for place in range(len(file.partition))]


def _delete_file(file: "IcebergFile") -> DeleteFile:
    kind = file.file_format.value.lower()
    if kind not in {"parquet", PUFFIN}:
        raise SchemaError(
            f"{file.file_path} names deleted rows as {kind}, which is not read",
            hint="rewrite the data files of the table first, which applies the deletes",
        )
    return DeleteFile(
        file.file_path, file.file_size_in_bytes, "puffin" if kind == PUFFIN else "parquet"
    )


def _bounds(file: "IcebergFile", schema: "Schema", time: str | None) -> tuple[int, int] | None:
    from pyiceberg.conversions import from_bytes  # noqa: PLC0415

    if time is None or time not in schema.column_names:
        return None
    field = schema.find_field(time)
    low = (file.lower_bounds or {}).get(field.field_id)
    high = (file.upper_bounds or {}).get(field.field_id)
    if low is None or high is None:
        return None
    kind = _arrow_types(schema)[time]
    if not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        return None
    width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    numbers = [from_bytes(field.field_type, bound) for bound in (low, high)]
    first, last = microseconds(pa.array(numbers, width).cast(kind)).to_pylist()
    return first, last
