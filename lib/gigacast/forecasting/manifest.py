"""The entries of a run's manifests, collected while the run goes on.

There may be millions of partitions, so entries are kept in Arrow columns instead of objects.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.partition.spec import Spec
from gigacast.errors import CorruptedFileError, DataError, StorageError
from gigacast.lake.layout import manifest_key, outdated_key, parse_receipt_key, receipt_key
from gigacast.lake.plan.manifest import (
    SCHEMA,
    ManifestEntry,
    entry_of,
    keep_manifest,
    mend_manifest,
    read_manifest,
    to_table,
    update_manifest,
)
from gigacast.lake.plan.planner import DoneEntry
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.storage.store import Store

READERS = 16
CHUNK = 65_536
"""Entries collected in Python lists before they become Arrow columns."""


class ManifestDraft:
    """The manifest entries of a model version by spec: done before, and done by this run."""

    def __init__(self, outputs: Store, spec: Spec) -> None:
        self._outputs = outputs
        self._spec = spec
        self._done: dict[str, _DoneColumns] = defaultdict(_DoneColumns)
        self._new: dict[str, list[ManifestEntry]] = defaultdict(list)
        self._tables: list[pa.Table] = []

    @property
    def specs(self) -> list[str]:
        """Ids of the specs with an entry."""
        return sorted({*self._done, *self._new})

    def add_done(self, entry: DoneEntry) -> None:
        """Add a partition that the planner found done."""
        self._done[entry.task.spec].add(entry)

    def add_receipt(self, receipt: Receipt) -> None:
        """Add a partition that this run has done."""
        self._new[receipt.spec].append(entry_of(receipt))

    def add_rows(self, table: pa.Table) -> None:
        """Add rows of a manifest from children of an array: their receipts need not be read."""
        self._tables.append(table)

    def commit(self, run_id: str = "", keep: int = 1) -> None:
        """Update the manifest of every spec with an entry, and keep a copy of those that change.

        The copy is named by the run. With ``keep`` at 1, or without a run, there are no copies.

        Raises
        ------
        StorageError
        """
        for spec_id in self.specs:
            key = manifest_key(self._spec.model, self._spec.version, spec_id)
            try:
                old, etag = read_manifest(self._outputs, key)
            except CorruptedFileError:
                mend_manifest(self._outputs, key)
                old, etag = read_manifest(self._outputs, key)
            before = self._entries(self._done[spec_id], pa.concat_tables([*self._tables, old]))
            new = to_table(self._new[spec_id])
            # `update_manifest` reads the manifest again and merges: another run may have written it
            # after `old` was read.
            note = outdated_key(self._spec.model, self._spec.version, spec_id)
            try:
                update_manifest(self._outputs, key, pa.concat_tables([before, new]))
            except StorageError:
                # Readers must not take the former manifest for the latest set.
                with suppress(StorageError):  # an outage has its own error
                    self._outputs.put(note, b"")
                raise
            self._clear(key, note)
            # A rerun that did nothing leaves the manifest as it was, and no copy.
            if run_id and keep > 1 and self._outputs.head(key).etag != etag:
                keep_manifest(self._outputs, key, run_id, keep)

    def _clear(self, key: str, note: str) -> None:
        """Remove the note of an earlier run whose manifest could not be written."""
        folder = self._outputs.list_folder(f"{key.rpartition('/')[0]}/")
        if any(entry.key == note for entry in folder.objects):
            self._outputs.delete([note])

    def _entries(self, columns: "_DoneColumns", counted: pa.Table) -> pa.Table:
        """Return entries of outputs, with their rows from counted entries or else from receipts."""
        outputs = columns.to_table()
        rows, is_unknown = find_rows(outputs, counted)
        # The listings hold no number of rows. A receipt does, at the cost of a request: only for
        # outputs that no earlier manifest and no child has counted.
        unknown = np.flatnonzero(is_unknown)
        if len(unknown):
            names = outputs.take(to_arrow(unknown)).select(["key", "input_id", "etag"]).to_pydict()
            with ThreadPoolExecutor(READERS) as pool:
                counts = list(pool.map(self._rows_of, *names.values()))
            rows[unknown] = [count or 0 for count in counts]
            is_unknown[unknown] = [count is None for count in counts]
        place = SCHEMA.names.index("rows")
        return (
            outputs.drop_columns(["input_id"])
            .add_column(place, SCHEMA.field(place), to_arrow(rows, is_unknown))
            .cast(SCHEMA)
        )

    def _rows_of(self, output_key: str, input_id: str, etag: str) -> int | None:
        try:
            receipt = read_receipt(self._outputs, receipt_key(output_key, input_id, etag))
            return int(str(receipt.output["rows"]))
        except (StorageError, DataError, KeyError):
            return None  # the key of the receipt is the proof: the entry goes without its rows


class _DoneColumns:
    """The fields of many `DoneEntry` that a manifest needs, in columns."""

    _TEXTS = ("partition", "key", "etag", "input_id")

    def __init__(self) -> None:
        self._texts: tuple[list[str], ...] = tuple([] for _ in self._TEXTS)
        self._sizes: list[int] = []
        self._chunks: list[pa.Table] = []

    def add(self, entry: DoneEntry) -> None:
        """Add an entry."""
        # The planner gives the key of the receipt, which contains the id of the inputs.
        named = parse_receipt_key(entry.receipt_key)
        input_id = named.input_id if named is not None else ""
        values = (entry.task.partition, entry.output.key, entry.output.etag, input_id)
        for column, value in zip(self._texts, values, strict=True):
            column.append(value)
        self._sizes.append(entry.output.size_bytes)
        # A million entries of Python strings would take hundreds of MiB.
        if len(self._sizes) == CHUNK:
            self._chunks.append(self._take())

    def to_table(self) -> pa.Table:
        """Return all entries: partition, key, etag, input_id, size_bytes."""
        return pa.concat_tables([*self._chunks, self._take()])

    def _take(self) -> pa.Table:
        columns = [*map(text_column, self._texts), to_arrow(np.array(self._sizes, np.int64))]
        for column in self._texts:
            column.clear()
        self._sizes.clear()
        return pa.Table.from_arrays(columns, [*self._TEXTS, "size_bytes"])


def find_rows(outputs: pa.Table, entries: pa.Table) -> tuple[IntArray, BoolArray]:
    """Look up the number of rows of outputs by key and ETag.

    Parameters
    ----------
    outputs : pa.Table
        N outputs with ``key`` and ``etag``.
    entries : pa.Table
        Manifest entries, `lake.plan.manifest.SCHEMA`; null ``rows`` are skipped.

    Returns
    -------
    rows : int64 [N]
        Number of rows; 0 where unknown.
    is_unknown : bool [N]
    """
    counted = entries.filter(pc.is_valid(entries["rows"]))
    if not (len(counted) and len(outputs)):
        return np.zeros(len(outputs), np.int64), np.ones(len(outputs), np.bool_)
    place = pc.index_in(_identity(outputs), value_set=_identity(counted).combine_chunks())
    is_unknown = to_numpy(pc.is_null(place)).copy()
    rows = np.zeros(len(outputs), np.int64)
    rows[~is_unknown] = to_numpy(counted["rows"].take(place.filter(pc.is_valid(place))))
    return rows, is_unknown


def _identity(table: pa.Table) -> pa.ChunkedArray:
    """Return key and ETag as a single text."""
    # Joined by a zero byte, which no key contains.
    return pc.binary_join_element_wise(table["key"], table["etag"], text_column(["\0"])[0])
