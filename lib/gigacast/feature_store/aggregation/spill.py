"""Aggregation of more rows than fit in memory: keys in groups, on disk in a temporary folder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.timeline import canonical_floats
from gigacast.scratch import ScratchFolder

# Groups that rows are written in. Small neighbours are read together; a group of its own is the
# least that must fit in memory.
GROUPS = 64
# Bytes of rows that are aggregated at once. Columns of a span of rows then stay in the processor's
# cache, and their memory is used again by the next span: fresh memory costs as much as the work.
BLOCK = 8 << 20
# Memory of the kernel over that of its rows: sorted copies, codes, and running totals. Measured on
# three columns of 64 bits, where it is largest.
GROWTH = 5
_WEIGHTS = np.random.default_rng(2023).integers(1, 1 << 63, 1024, dtype=np.uint64) | np.uint64(1)


@dataclass(frozen=True)
class Columns:
    """Names of the columns that identify rows.

    Parameters
    ----------
    keys : tuple of str
        Key columns.
    time : str
        Column of epoch milliseconds, 64-bit integers without nulls.
    reverse : str, optional
        Column of booleans: rows that take a former row back.
    """

    keys: tuple[str, ...]
    time: str
    reverse: str | None = None

    def rows(self, table: pa.Table) -> Rows:
        """Return the rows of a table."""
        reverse = None
        if self.reverse is not None:
            column = pc.fill_null(_whole(table[self.reverse]), False)
            reverse = column.to_numpy(zero_copy_only=False)
        keys = [_whole(table[name]) for name in self.keys]
        return Rows(keys, _whole(table[self.time]).to_numpy(), table, reverse)


@dataclass(frozen=True)
class Limits:
    """Resources of an aggregation.

    Parameters
    ----------
    memory : int
        Bytes that rows and tables of a process may take.
    n_jobs : int
        Number of processes; several read their rows from disk.
    folder : Path, optional
        Parent of the temporary folder; the system's by default.
    """

    memory: int = 1 << 30
    n_jobs: int = 1
    folder: Path | None = None


def aggregate_batches(
    queries: Queries,
    batches: Iterable[pa.RecordBatch],
    columns: Columns,
    parts: Sequence[Part],
    limits: Limits | None = None,
) -> pa.Table:
    """Return the features of queries over batches of rows, within a limit of memory.

    Few rows are aggregated at once. More are divided in groups of keys, which are aggregated after
    each other. All rows of a key are in one group, so the answers are the same. Groups that don't
    fit are written to a temporary folder, which is removed at the end and after errors. A group is
    the least that must fit.

    Parameters
    ----------
    queries : Queries
        Keys and times.
    batches : iterable of pyarrow.RecordBatch
        Rows; at least one batch, for the schema.
    columns : Columns
        Names of the columns that identify rows.
    parts : sequence of Part
        Aggregations.
    limits : Limits, optional
        Memory, processes and folder.

    Raises
    ------
    SchemaError, DataError
        As ``kernel.aggregate``.
    """
    limits = limits or Limits()
    source = iter(batches)
    first = _gather(source, BLOCK)
    next_batch = next(source, None)
    if next_batch is None and limits.n_jobs == 1 and _fits(first, limits):
        table = pa.Table.from_batches(first)
        first.clear()
        return aggregate(queries, columns.rows(table), parts)
    more = [] if next_batch is None else [next_batch]
    with _KeyGroups(columns.keys, limits) as groups:
        for batch in _drain(first, more, source):
            groups.add(batch)
        return _aggregate_groups(queries, groups, columns, (parts, limits))


def key_groups(
    batches: Iterable[pa.RecordBatch], keys: Sequence[str], limits: Limits
) -> Iterator[pa.Table]:
    """Yield rows in groups of keys, each within a limit of memory; all rows of a key are in one.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        Rows; at least one batch, for the schema.
    keys : sequence of str
        Key columns.
    limits : Limits
    """
    source = iter(batches)
    first = _gather(source, limits.memory // GROWTH)
    rest = next(source, None)
    if rest is None:
        yield pa.Table.from_batches(first)
        return
    with _KeyGroups(keys, limits) as groups:
        for batch in _drain(first, [rest], source):
            groups.add(batch)
        groups.finish()
        for start, stop in groups.spans(limits.memory // GROWTH):
            if groups.sizes[start:stop].any():
                yield groups.read(start, stop)()


def _gather(source: Iterator[pa.RecordBatch], max_bytes: int) -> list[pa.RecordBatch]:
    """Return the first batches, until there are more bytes."""
    batches, size = [], 0
    for batch in source:
        batches.append(batch)
        size += batch.nbytes
        if size > max_bytes:
            break
    return batches


def _fits(batches: Sequence[pa.RecordBatch], limits: Limits) -> bool:
    return int(sum(batch.nbytes for batch in batches)) * GROWTH <= limits.memory


def _drain(*sources: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for source in sources:
        if isinstance(source, list):
            # Batches are let go as they are grouped.
            while source:
                yield source.pop(0)
        else:
            yield from source


class _KeyGroups:
    """Rows in groups of keys: in memory while they fit, then in files; a context manager.

    Parameters
    ----------
    keys : sequence of str
        Key columns.
    limits : Limits
        Memory that the rows and the kernel's tables of the largest group may take.
    """

    def __init__(self, keys: Sequence[str], limits: Limits) -> None:
        self.sizes = np.zeros(GROUPS, np.int64)
        self.schema: pa.Schema | None = None
        self._keys = keys
        self._limits = limits
        self._rows: list[list[pa.RecordBatch]] = [[] for _ in range(GROUPS)]
        self._stack = ExitStack()
        self._writers: list[pa.RecordBatchStreamWriter] = []
        self._paths: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch."""
        self.schema = self.schema or batch.schema
        group = group_of([batch[name] for name in self._keys])
        order, cuts = _sort_groups(group)
        sorted_batch = batch.take(pa.array(order))
        for n in np.flatnonzero(np.diff(cuts)):
            piece = sorted_batch.slice(cuts[n], cuts[n + 1] - cuts[n])
            self.sizes[n] += piece.nbytes
            if self._writers:
                self._writers[n].write_batch(piece)
            else:
                self._rows[n].append(piece)
        if not self._writers and not self._fit():
            self.spill()

    def _fit(self) -> bool:
        largest = max(BLOCK, int(self.sizes.max()))
        return int(self.sizes.sum()) + GROWTH * largest <= self._limits.memory

    def spill(self) -> None:
        """Write the rows to files, and later ones, too."""
        if self._writers or self.schema is None:
            return
        folder = self._stack.enter_context(ScratchFolder("groups", self._limits.folder))
        self._paths = [folder / f"{group}.arrow" for group in range(GROUPS)]
        for path, pieces in zip(self._paths, self._rows, strict=True):
            writer = self._stack.enter_context(pa.ipc.new_stream(str(path), self.schema))
            self._writers.append(writer)
            for piece in pieces:
                writer.write_batch(piece)
            pieces.clear()

    def finish(self) -> None:
        """Complete the files: no batch comes any more."""
        for writer in self._writers:
            writer.close()

    def read(self, start: int, stop: int) -> Callable[[], pa.Table]:
        """Return a function that returns the rows of some groups, for this process or another."""
        pieces = [piece for several in self._rows[start:stop] for piece in several]
        return partial(_read, self.schema, self._paths[start:stop], pieces)

    def spans(self, max_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield spans of groups of some bytes together, or a single larger group."""
        start, size = 0, 0
        for n, more in enumerate(self.sizes.tolist()):
            if n > start and size + more > max_bytes:
                yield start, n
                start, size = n, 0
            size += more
        yield start, len(self.sizes)


def _read(schema: pa.Schema, paths: Sequence[Path], pieces: Sequence[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches(pieces, schema)]
    for path in paths:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            tables.append(reader.read_all())
    return pa.concat_tables(tables)


def _sort_groups(group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows in order of their group, and where each group begins."""
    cuts = np.zeros(GROUPS + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=GROUPS), out=cuts[1:])
    # Bytes are sorted by counting, in one pass.
    return np.argsort(group.astype(np.uint8), kind="stable"), cuts


def group_of(keys: Sequence[pa.Array]) -> NDArray[np.int64]:
    """Return the group of each key, the same in every process."""
    total = np.zeros(len(keys[0]), np.uint64)
    for column in keys:
        total = (total ^ _hash(column)) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return (total & np.uint64(GROUPS - 1)).astype(np.int64)


def _hash(column: pa.Array) -> NDArray[np.uint64]:
    if pat.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pat.is_null(column.type):
        return np.zeros(len(column), np.uint64)
    if pat.is_floating(column.type):
        floats: NDArray[np.float64] = canonical_floats(column).fill_null(0.0).to_numpy()
        return floats.view(np.uint64)
    if pat.is_decimal(column.type):
        return _hash_decimals(column)
    if pat.is_integer(column.type) or pat.is_temporal(column.type) or pat.is_boolean(column.type):
        # Nulls are the key of no row; the group they come to does not matter.
        width = column.type.bit_width if pat.is_temporal(column.type) else 64
        plain = column.view(pa.int32()) if width == 32 else column
        integers = plain
        if pat.is_temporal(plain.type):
            integers = plain.view(pa.int64())
        elif not pat.is_int64(plain.type):
            integers = plain.cast(pa.int64(), safe=False)  # the largest unsigned ones wrap around
        numbers: NDArray[np.int64] = integers.fill_null(0).to_numpy(zero_copy_only=False)
        return numbers.view(np.uint64)
    texts = column.cast(pa.large_binary()).fill_null(b"")
    _, offsets, data = texts.buffers()
    edges = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    count = int(edges[-1] - edges[0])
    if not count:
        return np.zeros(len(texts), np.uint64)
    content = np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]
    lengths = np.diff(edges)
    place = np.arange(count) - np.repeat(edges[:-1] - edges[0], lengths)
    # A sum of weighted bytes by place; wrapping differences of totals are exact.
    totals = np.zeros(count + 1, np.uint64)
    np.cumsum((content.astype(np.uint64) + np.uint64(1)) * _WEIGHTS[place % 1024], out=totals[1:])
    hashes: NDArray[np.uint64] = totals[edges[1:] - edges[0]] - totals[edges[:-1] - edges[0]]
    return hashes


def _hash_decimals(column: pa.Array) -> NDArray[np.uint64]:
    if not pat.is_decimal256(column.type):
        column = column.cast(pa.decimal128(38, column.type.scale))
    words = column.type.bit_width // 64
    filled = column.fill_null(pa.scalar(Decimal(0), column.type))
    content = np.frombuffer(filled.buffers()[1], np.uint64)
    pairs = content[filled.offset * words : (filled.offset + len(filled)) * words]
    weighted: NDArray[np.uint64] = (pairs.reshape(-1, words) * _WEIGHTS[:words]).sum(axis=1)
    return weighted


def _aggregate_groups(
    queries: Queries,
    groups: _KeyGroups,
    columns: Columns,
    work: tuple[Sequence[Part], Limits],
) -> pa.Table:
    parts, limits = work
    if limits.n_jobs > 1:
        groups.spill()
    groups.finish()
    schema = groups.schema
    assert schema is not None  # noqa: S101 - there is a batch, for the schema
    kinds = [schema.field(name).type for name in columns.keys]
    casts = [_whole(key).cast(kind) for key, kind in zip(queries.keys, kinds, strict=True)]
    order, cuts = _sort_groups(group_of(casts))
    # Several processes get a share each, even where one could do all.
    share = int(groups.sizes.sum()) // limits.n_jobs + 1
    tasks = []
    for start, stop in groups.spans(min(BLOCK, limits.memory // GROWTH, share)):
        chosen = order[cuts[start] : cuts[stop]]
        some = Queries([key.take(pa.array(chosen)) for key in casts], queries.times[chosen])
        tasks.append((some, groups.read(start, stop), columns, parts))
    tables = _run_tasks(tasks, limits.n_jobs)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_tables(tables).combine_chunks().take(pa.array(back))


Task = tuple[Queries, Callable[[], pa.Table], Columns, Sequence[Part]]


def _run_task(task: Task) -> pa.Table:
    queries, read, columns, parts = task
    return aggregate(queries, columns.rows(read()), parts)


def _run_numbered(task: tuple[int, Task]) -> pa.Table:
    return _run_task(task[1])


def _make_worker() -> Callable[[tuple[int, Task]], pa.Table]:
    return _run_numbered


def _run_tasks(tasks: Sequence[Task], n_jobs: int) -> list[pa.Table]:
    if n_jobs == 1:
        return [_run_task(task) for task in tasks]
    # Slow to import, and not needed by a single process.
    from gigacast.runtime.parallel import JoblibExecutor  # noqa: PLC0415

    tables: dict[int, pa.Table] = {}
    for outcome in JoblibExecutor(n_jobs).run([*enumerate(tasks)], _make_worker):
        if outcome.failure is not None:
            raise DataError(outcome.failure.message, hint=outcome.failure.hint)
        tables[outcome.task[0]] = outcome.result
    return [tables[n] for n in range(len(tasks))]


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return pa.concat_arrays(combined.chunks) if combined.chunks else pa.array([], column.type)
    return combined
