"""Results in a table of Apache Iceberg."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gigacast.errors import DataNotFoundError, PreconditionFailedError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.change import (
    KEYS,
    OUTPUT,
    PARTITION,
    SOURCE,
    Change,
    check_keys,
)
from gigacast.lake.table.iceberg import load_table, open_catalog, translated
from gigacast.storage.store import StoreAddress

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction

RUN = "gigacast.run_id"
FILE_ROWS = 1 << 20
"""Rows of a data file at most: a file is made in memory."""


class IcebergOutput:
    """A table of Iceberg at its latest snapshot; made by the first commit if there is none."""

    def __init__(self, address: TableAddress, store: StoreAddress) -> None:
        self._address = address
        self._store = store
        self._snapshot: int | None = None
        self._files: dict[str, list[DataFile]] = {}

    def find(self, source: str) -> Mapping[str, set[str]]:
        """Return the digests of the outputs in the table by partition."""
        from pyiceberg.expressions import EqualTo  # noqa: PLC0415

        present: dict[str, set[str]] = {}
        with open_catalog(self._address, self._store) as catalog, translated(self._address):
            table = self._load(catalog)
            if table is None:
                return present
            snapshot = table.current_snapshot()
            self._snapshot = snapshot.snapshot_id if snapshot is not None else None
            for task in table.scan(row_filter=EqualTo(SOURCE, source)).plan_files():
                values = dict(zip(KEYS, _values(task.file), strict=True))
                if values[SOURCE] == source:
                    present.setdefault(values[PARTITION], set()).add(values[OUTPUT])
                    self._files.setdefault(values[PARTITION], []).append(task.file)
        return present

    def commit(self, change: Change) -> None:
        """Make a change in one commit; see `OutputTable.commit`."""
        from pyiceberg.exceptions import (  # noqa: PLC0415
            CommitFailedException,
            TableAlreadyExistsError,
            ValidationException,
        )

        written: list[str] = []
        with open_catalog(self._address, self._store) as catalog, translated(self._address):
            table = self._load(catalog)
            snapshot = table.current_snapshot() if table is not None else None
            if (snapshot.snapshot_id if snapshot is not None else None) != self._snapshot:
                raise self._changed()
            transaction = self._create(catalog, change) if table is None else table.transaction()
            try:
                self._write(transaction, change, written)
                transaction.commit_transaction()
            except (CommitFailedException, TableAlreadyExistsError, ValidationException) as error:
                _remove(transaction, written)
                raise self._changed() from error

    def _changed(self) -> PreconditionFailedError:
        return PreconditionFailedError(f"{self._address.url} was changed")

    def _load(self, catalog: "Catalog") -> "Table | None":
        try:
            table = load_table(catalog, self._address)
        except DataNotFoundError:
            return None
        spec, schema = table.spec(), table.schema()
        columns = [schema.find_column_name(field.source_id) for field in spec.fields]
        is_plain = all(str(field.transform) == "identity" for field in spec.fields)
        check_keys([str(name) for name in columns] if is_plain else [], self._address.url)
        return table

    def _create(self, catalog: "Catalog", change: Change) -> "Transaction":
        name = self._address.place.partition("/")[2]
        namespace = name.rpartition(".")[0]
        try:
            catalog.create_namespace_if_not_exists(namespace)
        except Exception:
            # Another run may have made it between the question and the answer.
            if not catalog.namespace_exists(namespace):
                raise
        transaction = catalog.create_table_transaction(
            name,
            change.schema,
            # A commit that lost is compared again with what the other program has written.
            properties={"commit.retry.num-retries": "0"},
        )
        with transaction.update_spec() as spec:
            for column in KEYS:
                spec.add_identity(column)
        return transaction

    def _write(self, transaction: "Transaction", change: Change, written: list[str]) -> None:
        from pyiceberg.expressions import And, EqualTo, In  # noqa: PLC0415
        from pyiceberg.io.pyarrow import (  # noqa: PLC0415
            _dataframe_to_data_files,
            schema_to_pyarrow,
        )

        metadata, io = transaction.table_metadata, _io_of(transaction)
        schema = _plain(schema_to_pyarrow(metadata.schema(), include_field_ids=False))
        numbers = itertools.count(0)
        update = transaction.update_snapshot(snapshot_properties={RUN: change.run_id})
        with update.overwrite() as snapshot:
            # What is written below conflicts with anything that others write to these partitions.
            partitions = {*change.dropped, *change.coming}
            snapshot.delete_by_predicate(
                And(EqualTo(SOURCE, change.source), In(PARTITION, partitions))
            )
            for partition in change.dropped:
                for file in self._files.get(partition, ()):
                    snapshot.delete_data_file(file)
            for rows in _chunks(change.batches(schema)):
                for file in _dataframe_to_data_files(
                    metadata, rows, io, write_uuid=snapshot.commit_uuid, counter=numbers
                ):
                    written.append(file.file_path)
                    snapshot.append_data_file(file)


def _values(file: "DataFile") -> list[Any]:
    return [file.partition[place] for place in range(len(file.partition))]


def _chunks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield rows in tables that are files: of one partition, and of a bounded number of rows."""
    pending: list[pa.RecordBatch] = []
    rows, key = 0, None
    for batch in batches:
        own = batch.column(batch.schema.names.index(PARTITION))[0].as_py()
        if pending and (own != key or rows + batch.num_rows > FILE_ROWS):
            yield pa.Table.from_batches(pending)
            pending, rows = [], 0
        pending.append(batch)
        rows, key = rows + batch.num_rows, own
    if pending:
        yield pa.Table.from_batches(pending)


def _io_of(transaction: "Transaction") -> "FileIO":
    return transaction._table.io  # noqa: SLF001 - a table that is being made has no other name


def _plain(schema: pa.Schema) -> pa.Schema:
    kinds = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return pa.schema([pa.field(f.name, kinds.get(f.type, f.type), f.nullable) for f in schema])


def _remove(transaction: "Transaction", urls: list[str]) -> None:
    """Delete data files that no snapshot names."""
    for url in urls:
        with suppress(Exception):  # they cost space, and nothing else
            _io_of(transaction).delete(url)
