"""Collects, while a run goes on, what its manifests will say.

There may be millions of partitions: what is known of each lies in columns, and rows are looked up
in columns.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.partition.spec import Spec
from gigacast.errors import DataError, StorageError
from gigacast.lake.layout import manifest_key, parse_receipt_key, receipt_key
from gigacast.lake.plan.manifest import (
    SCHEMA,
    ManifestEntry,
    entry_of,
    read_manifest,
    to_table,
    update_manifest,
)
from gigacast.lake.plan.planner import DoneEntry
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.storage.store import Store

READERS = 16
CHUNK = 65_536


class ManifestDraft:
    """The entries of one model version, by spec: done before, and done by this run."""

    def __init__(self, outputs: Store, spec: Spec) -> None:
        self._outputs = outputs
        self._spec = spec
        self._done: dict[str, _DoneColumns] = defaultdict(_DoneColumns)
        self._new: dict[str, list[ManifestEntry]] = defaultdict(list)
        self._told: list[pa.Table] = []

    def add_done(self, entry: DoneEntry) -> None:
        """Take a partition the plan found done."""
        self._done[entry.task.spec].add(entry)

    def add_receipt(self, receipt: Receipt) -> None:
        """Take a partition this run has done."""
        self._new[receipt.spec].append(entry_of(receipt))

    def add_rows(self, table: pa.Table) -> None:
        """Take what others know of outputs they have written: no receipt is asked for that."""
        self._told.append(table)

    def commit(self) -> None:
        """Bring the manifest of every spec touched up to date.

        Raises
        ------
        StorageError
        """
        for spec_id in sorted({*self._done, *self._new}):
            key = manifest_key(self._spec.model, self._spec.version, spec_id)
            known, _ = read_manifest(self._outputs, key)
            done = self._entries(self._done[spec_id], pa.concat_tables([*self._told, known]))
            update_manifest(
                self._outputs, key, pa.concat_tables([done, to_table(self._new[spec_id])])
            )

    def _entries(self, columns: "_DoneColumns", known: pa.Table) -> pa.Table:
        """Return the entries of what was done; only what nobody told costs a request."""
        done = columns.to_table()
        rows, is_untold = find_rows(done, known)
        untold = np.flatnonzero(is_untold)
        if len(untold):
            asked = done.take(to_arrow(untold)).select(["key", "input_id", "etag"]).to_pydict()
            with ThreadPoolExecutor(READERS) as pool:
                counts = list(pool.map(self._rows_of, *asked.values()))
            rows[untold] = [count or 0 for count in counts]
            is_untold[untold] = [count is None for count in counts]
        place = SCHEMA.names.index("rows")
        return (
            done.drop_columns(["input_id"])
            .add_column(place, SCHEMA.field(place), to_arrow(rows, is_untold))
            .cast(SCHEMA)
        )

    def _rows_of(self, output_key: str, input_id: str, etag: str) -> int | None:
        try:
            receipt = read_receipt(self._outputs, receipt_key(output_key, input_id, etag))
            return int(str(receipt.output["rows"]))
        except (StorageError, DataError, KeyError):
            return None  # the receipt's key is the proof; its content only decorates


class _DoneColumns:
    """What of millions of `DoneEntry` a manifest needs, in columns."""

    _TEXTS = ("partition", "key", "etag", "input_id")

    def __init__(self) -> None:
        self._texts: tuple[list[str], ...] = tuple([] for _ in self._TEXTS)
        self._sizes: list[int] = []
        self._chunks: list[pa.Table] = []

    def add(self, entry: DoneEntry) -> None:
        """Take one more."""
        named = parse_receipt_key(entry.receipt_key)
        input_id = named.input_id if named is not None else ""
        values = (entry.task.partition, entry.output.key, entry.output.etag, input_id)
        for column, value in zip(self._texts, values, strict=True):
            column.append(value)
        self._sizes.append(entry.output.size_bytes)
        if len(self._sizes) == CHUNK:
            self._chunks.append(self._take())

    def to_table(self) -> pa.Table:
        """Return everything: partition, key, etag, input_id, size_bytes."""
        return pa.concat_tables([*self._chunks, self._take()])

    def _take(self) -> pa.Table:
        columns = [*map(text_column, self._texts), to_arrow(np.array(self._sizes, np.int64))]
        for column in self._texts:
            column.clear()
        self._sizes.clear()
        return pa.Table.from_arrays(columns, [*self._TEXTS, "size_bytes"])


def find_rows(done: pa.Table, known: pa.Table) -> tuple[IntArray, BoolArray]:
    """Look up the rows of outputs by key and ETag.

    Parameters
    ----------
    done : pa.Table
        With ``key`` and ``etag``, N rows.
    known : pa.Table
        Of `lake.manifest.SCHEMA`.

    Returns
    -------
    rows, is_untold : ndarray
        [N]; 0 where nobody told.
    """
    told = known.filter(pc.is_valid(known["rows"]))
    if not (len(told) and len(done)):
        return np.zeros(len(done), np.int64), np.ones(len(done), np.bool_)
    place = pc.index_in(_identity(done), value_set=_identity(told).combine_chunks())
    is_untold = to_numpy(pc.is_null(place)).copy()
    rows = np.zeros(len(done), np.int64)
    rows[~is_untold] = to_numpy(told["rows"].take(place.filter(pc.is_valid(place))))
    return rows, is_untold


def _identity(table: pa.Table) -> pa.ChunkedArray:
    """Return the key and the ETag as one text: keys hold no zero byte."""
    return pc.binary_join_element_wise(table["key"], table["etag"], text_column(["\0"])[0])
