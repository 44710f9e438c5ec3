"""Exact search for rows that repeat a key, for any number of rows.

Keys are held in memory up to a limit. Beyond it a hash distributes them over files in a temporary
folder: equal keys are in the same file, and one file is in memory at a time. Equality is decided on
the keys themselves, not on the hash.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray, UintArray
from gigacast.core.column import to_arrow
from gigacast.errors import StorageError
from gigacast.scratch import ScratchFolder

DEFAULT_LIMIT_BYTES = 64 << 20
_BUCKETS = 64  # files open at a time; a file holds about 1/64 of the keys
_ROW = "_row"
# 2**64 divided by the golden ratio: multiplying by it spreads consecutive keys over all hashes.
_MIX = np.uint64(0x9E3779B97F4A7C15)
# Odd numbers, because multiplication by an even one loses bits.
_WEIGHTS = np.random.default_rng(0).integers(1, 2**63, 4096, np.uint64) | np.uint64(1)


class DuplicateFinder:
    """Finds the rows whose key repeats that of an earlier row.

    A context manager: leaving it deletes its files.

    Parameters
    ----------
    key : sequence of str
        Columns of the key. A row with a missing value in one of them repeats no other row.
    limit_bytes : int
        Maximum bytes of keys in memory; more go to the disk.
    scratch : Path, optional
        Folder for the files; the system's (``TMPDIR``) by default.

    Examples
    --------
    >>> with DuplicateFinder(["n"]) as finder:
    ...     finder.add(pa.record_batch({"n": [1, 2, 1, 3, 2, 2]}))
    ...     finder.rows().tolist()
    [2, 4, 5]
    """

    def __init__(
        self,
        key: Sequence[str],
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        scratch: Path | None = None,
    ) -> None:
        self._key = list(key)
        self._limit_bytes = limit_bytes
        self._scratch = scratch
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._rows = 0
        self._disk: ScratchFolder | None = None
        self._files: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_files()
        if self._disk is not None:
            self._disk.close()

    @property
    def spilled(self) -> bool:
        """Whether keys went to the disk."""
        return self._disk is not None

    def add(self, rows: pa.RecordBatch) -> None:
        """Add the next rows; columns outside the key are ignored."""
        arrays = [_plain(rows.column(name)) for name in self._key]
        numbers = to_arrow(np.arange(self._rows, self._rows + rows.num_rows))
        self._rows += rows.num_rows
        keys = pa.RecordBatch.from_arrays([*arrays, numbers], names=[*self._key, _ROW])
        for name in self._key:
            # As in SQL: a row whose key is missing equals no other row.
            missing = pc.is_null(keys.column(name), nan_is_null=True)
            if pc.any(missing).as_py():
                keys = keys.filter(pc.invert(missing))
        self._held.append(keys)
        self._held_bytes += keys.nbytes
        if self._held_bytes > self._limit_bytes:
            self._spill()

    def rows(self) -> IntArray:
        """Return the numbers of the rows that repeat a key, int64 in ascending order."""
        if self._disk is None:
            parts = [_repeated(pa.Table.from_batches(self._held), self._key)] if self._held else []
        else:
            self._spill()
            self._close_files()
            parts = [_repeated(table, self._key) for table in self._buckets()]
        return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))

    def _spill(self) -> None:
        """Distribute the keys in memory over the files."""
        if not self._held:
            return
        table = pa.Table.from_batches(self._held).combine_chunks()
        self._held, self._held_bytes = [], 0
        # The high bits: a product of odd numbers mixes the low bits least.
        buckets = (_hash(table, self._key) >> np.uint64(32)) % np.uint64(_BUCKETS)
        # Stable, so that row numbers ascend within a file and the first row of a key stays first.
        order = np.argsort(buckets, kind="stable")
        cuts = np.searchsorted(buckets[order], np.arange(_BUCKETS + 1, dtype=np.uint64))
        with self._translated():
            for bucket in range(_BUCKETS):
                part = table.take(order[cuts[bucket] : cuts[bucket + 1]])
                if part.num_rows:
                    self._writer(bucket, part.schema).write_table(part)

    def _writer(self, bucket: int, schema: pa.Schema) -> Any:
        if self._disk is None:
            self._disk = ScratchFolder("keys", self._scratch)
        if bucket not in self._files:
            file = (self._disk.path / str(bucket)).open("wb")
            self._files[bucket] = (file, pa.ipc.new_stream(file, schema))
        return self._files[bucket][1]

    def _buckets(self) -> Iterator[pa.Table]:
        assert self._disk is not None  # noqa: S101 - keys were spilled
        for bucket in range(_BUCKETS):
            path = self._disk.path / str(bucket)
            if path.exists():
                with self._translated(), path.open("rb") as file:
                    table = pa.ipc.open_stream(file).read_all()
                yield table

    def _close_files(self) -> None:
        for file, writer in self._files.values():
            with self._translated():
                writer.close()
                file.close()
        self._files = {}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"the temporary folder for the keys can't be written: {error.strerror or error}",
                hint="free space, or set TMPDIR to a larger disk",
            ) from error


def _plain(values: pa.Array) -> pa.Array:
    kind = values.type
    return values.cast(kind.value_type) if pa.types.is_dictionary(kind) else values


def _repeated(table: pa.Table, key: Sequence[str]) -> IntArray:
    """Return the numbers of rows that repeat a key; the table is in the order of row numbers."""
    codes = _codes(table.column(key[0]))
    for name in key[1:]:
        # Codes are renumbered without gaps, so their product is at most rows squared: 64 bits.
        codes, own = (
            np.unique(part, return_inverse=True)[1] for part in (codes, _codes(table.column(name)))
        )
        codes = codes * (own.max(initial=0) + 1) + own
    if not len(codes):
        return np.empty(0, np.int64)
    # Stable: the earliest row of a key comes first and is not reported.
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    again = order[1:][ordered[1:] == ordered[:-1]]
    numbers: IntArray = np.asarray(table.column(_ROW))[again]
    return numbers


def _codes(column: pa.ChunkedArray) -> IntArray:
    """Return a number for each value; equal values have the same number."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        width = pa.int64() if kind.bit_width == 64 else pa.int32()
        if not pa.types.is_unsigned_integer(kind) and kind.bit_width in {32, 64}:
            return np.asarray(column.cast(width)).astype(np.int64)
    # Unsigned, narrow and other types: the place in a dictionary serves as the number.
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices).astype(np.int64)


def _hash(table: pa.Table, key: Sequence[str]) -> UintArray:
    total = np.zeros(table.num_rows, np.uint64)
    for name in key:
        total = (total ^ _hash_column(table.column(name).combine_chunks())) * _MIX
        total ^= total >> np.uint64(29)
    return total * _MIX


def _hash_column(column: Any) -> UintArray:
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_floating(kind):
        # 0.0 and -0.0 are equal, so they must have the same hash.
        bits: UintArray = (np.asarray(array.cast(pa.float64())) + 0.0).view(np.uint64)
        return bits
    if str(kind) in {"string", "binary", "large_string"}:
        array = array.cast(pa.large_binary())
    elif not pa.types.is_large_binary(kind):
        return _hash_fixed(array)
    offsets = np.frombuffer(array.buffers()[1], np.int64)[
        array.offset : array.offset + len(array) + 1
    ]
    content = np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    # A weighted sum of the bytes of each text, for all texts at once: the weight depends on the
    # byte's place in its text, so that texts with the same bytes in another order differ.
    places = np.arange(len(content)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    weighed = np.concatenate(
        [[np.uint64(0)], np.cumsum((content + np.uint64(1)) * _WEIGHTS[places % len(_WEIGHTS)])]
    )
    ends: UintArray = weighed[offsets - offsets[0]]
    return (ends[1:] - ends[:-1]) * _MIX


def _hash_fixed(array: Any) -> UintArray:
    try:
        integers = array if pa.types.is_integer(array.type) else array.cast(pa.int64())
    except pa.ArrowException:
        return np.zeros(len(array), np.uint64)  # all keys in one file: slower, never wrong
    numbers: UintArray = np.asarray(integers).astype(np.int64).view(np.uint64)
    return numbers
