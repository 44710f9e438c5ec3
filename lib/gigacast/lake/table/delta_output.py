"""Results in a table of Delta Lake."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from gigacast.errors import DataNotFoundError, GigacastError, PreconditionFailedError, StorageError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.change import (
    KEYS,
    OUTPUT,
    PARTITION,
    SOURCE,
    Change,
    check_keys,
)
from gigacast.lake.table.delta import open_delta, storage_options, translated
from gigacast.storage.store import StoreAddress

if TYPE_CHECKING:
    from deltalake import DeltaTable

RUN = "gigacast.run_id"


class DeltaOutput:
    """A table of Delta Lake at its latest version; made by the first commit if there is none."""

    def __init__(self, address: TableAddress, store: StoreAddress) -> None:
        self._address = address
        self._options = storage_options(address, store)
        self._table: DeltaTable | None = None
        with translated(address):
            try:
                self._table = open_delta(address, store)
            except DataNotFoundError:
                return
            check_keys(self._table.metadata().partition_columns, address.url)

    def find(self, source: str) -> Mapping[str, set[str]]:
        """Return the digests of the outputs in the table by partition."""
        present: dict[str, set[str]] = {}
        with translated(self._address):
            values = self._table.partitions() if self._table is not None else []
        for value in values:
            if value[SOURCE] == source:
                present.setdefault(value[PARTITION], set()).add(value[OUTPUT])
        return present

    def commit(self, change: Change) -> None:
        """Make a change in one commit; see `OutputTable.commit`."""
        from deltalake import CommitProperties, write_deltalake  # noqa: PLC0415
        from deltalake.exceptions import CommitFailedError  # noqa: PLC0415

        # Without retries of its own: deltalake would append although another run has just appended
        # the same rows, which is no conflict to it.
        properties = CommitProperties({RUN: change.run_id}, max_commit_retries=0)
        rows = _Stream(change, self._schema())
        try:
            with translated(self._address):
                if not change.coming and self._table is not None:
                    self._table.delete(_predicate(change), commit_properties=properties)
                elif self._table is None or not change.dropped:
                    write_deltalake(
                        self._table if self._table is not None else self._address.place,
                        rows.reader(),
                        mode="append" if self._table is not None else "error",
                        partition_by=list(KEYS),
                        storage_options=self._options or None,
                        commit_properties=properties,
                    )
                else:
                    write_deltalake(
                        self._table,
                        rows.reader(),
                        mode="overwrite",
                        predicate=_predicate(change),
                        commit_properties=properties,
                    )
        except StorageError as error:
            if rows.error is not None:
                raise rows.error from error
            is_conflict = isinstance(error.__cause__, CommitFailedError)
            # Of two runs that make the table at once, one finds it made.
            if is_conflict or (self._table is None and "already exists" in str(error)):
                raise PreconditionFailedError(f"{self._address.url} was changed") from error
            raise

    def _schema(self) -> pa.Schema | None:
        return pa.schema(self._table.schema()) if self._table is not None else None


class _Stream:
    """The rows of a change, and the error that ended them, which deltalake would make a text."""

    def __init__(self, change: Change, schema: pa.Schema | None) -> None:
        self.error: GigacastError | None = None
        self._schema = schema if schema is not None else change.schema
        self._change = change

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream."""
        return pa.RecordBatchReader.from_batches(self._schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._change.batches(self._schema)
        except GigacastError as error:
            self.error = error
            raise


def _predicate(change: Change) -> str:
    partitions = ", ".join(map(_quoted, sorted({*change.dropped, *change.coming})))
    return f"{SOURCE} = {_quoted(change.source)} AND {PARTITION} IN ({partitions})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
