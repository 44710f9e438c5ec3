"""Notes beside forecasts: a digest of each series, by which a later run knows those to keep.

A note names the ETag of the forecast that it is about. So a note that was left by a crash, or by
another worker, is about another forecast, and nothing is kept by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, ByteArray, IntArray, UintArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import DataError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import digests_key
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store

ROW_BYTES = 64
"""Bytes of memory for each series of a note, while it is sorted or written."""
_HEAD, _ETAG = b"gigacast.digests", b"gigacast.output_etag"
_SCHEMA = pa.schema(
    [pa.field("first", pa.uint64()), pa.field("second", pa.uint64()), pa.field("reason", pa.int8())]
)


@dataclass(frozen=True, slots=True)
class Note:
    """The digests of the series of a forecast.

    Parameters
    ----------
    output_etag : str
        ETag of the forecast.
    digests : uint64 [N, 2]
        In the order of the forecast.
    reasons : int8 [N]
        `Reason` why the model did not forecast each series; 0 if it did.
    """

    output_etag: str
    digests: UintArray
    reasons: ByteArray

    def find(self, digests: UintArray) -> IntArray:
        """Return the place of each digest, int64 [M]; -1 if it is not in the note."""
        if not len(self.digests) or not len(digests):
            return np.full(len(digests), -1, np.int64)
        order = np.argsort(self.digests[:, 0], kind="stable")
        places = np.searchsorted(self.digests[order, 0], digests[:, 0])
        candidates = order[np.minimum(places, len(order) - 1)]
        is_equal: BoolArray = (self.digests[candidates] == digests).all(axis=1)
        return np.where(is_equal, candidates, -1)


class NoteDraft:
    """Collects the digests and reasons of a forecast while it is written.

    Parameters
    ----------
    limit_bytes : int
        Memory for them; of a forecast with more series no note is left.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._most = limit_bytes // ROW_BYTES
        self._count = 0
        self._parts: list[tuple[UintArray, ByteArray]] = []

    def add(self, digests: UintArray, reasons: ByteArray) -> None:
        """Add the series of a batch, in order."""
        self._count += len(digests)
        if self._count > self._most:
            self._parts = []
        else:
            self._parts.append((digests, reasons))

    def write(self, store: Store, output_key: str, output_etag: str, head: str) -> None:
        """Write the note of a forecast that is published.

        Raises
        ------
        StorageError
        """
        if self._count > self._most:
            return
        digests = np.concatenate([np.zeros((0, 2), np.uint64), *(d for d, _ in self._parts)])
        reasons = np.concatenate([np.zeros(0, np.int8), *(r for _, r in self._parts)])
        columns = [to_arrow(np.ascontiguousarray(digests[:, lane])) for lane in range(2)]
        metadata = {_HEAD: head.encode(), _ETAG: output_etag.encode()}
        schema = _SCHEMA.with_metadata(metadata)
        table = pa.Table.from_arrays([*columns, to_arrow(reasons)], schema=schema)
        store.put(digests_key(output_key), table_bytes(table, "zstd"))


def read_note(store: Store, output_key: str, head: str, limit_bytes: int) -> Note | None:
    """Return the note of a forecast; ``None`` if there is none that is whole and of this head.

    Parameters
    ----------
    store : Store
    output_key : str
    head : str
        Digest of everything besides the series that decides the numbers.
    limit_bytes : int
        Memory for the note.

    Raises
    ------
    StorageError
    """
    key = digests_key(output_key)
    try:
        with open_parquet(store, key) as file, translated_parquet(store, key):
            metadata = file.schema_arrow.metadata or {}
            is_ours = metadata.get(_HEAD) == head.encode() and _ETAG in metadata
            is_small = file.metadata.num_rows <= limit_bytes // ROW_BYTES
            if not (is_ours and is_small and file.schema_arrow.equals(_SCHEMA)):
                return None
            table = file.read(use_threads=False)
            etag = metadata[_ETAG].decode()
    except (ObjectNotFoundError, PreconditionFailedError, DataError):
        # Without its note a forecast is made anew.
        return None
    return _note_of(etag, [table[name] for name in _SCHEMA.names])


def _note_of(etag: str, columns: Sequence[pa.ChunkedArray]) -> Note | None:
    if any(column.null_count for column in columns):
        return None
    first, second, reasons = (to_numpy(column) for column in columns)
    return Note(etag, np.stack([first, second], axis=1), reasons)
