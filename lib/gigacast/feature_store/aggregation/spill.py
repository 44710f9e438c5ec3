"""Aggregation of more rows than fit in memory: keys in groups, on disk in a temporary folder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

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

    Rows that fit are aggregated at once. Else they are written in groups of keys to a temporary
    folder, which is removed at the end and after errors, and aggregated group by group. All rows of
    a key are in one group, so the answers are the same. A group is the least that must fit.

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
    first = _gather(source, limits)
    next_batch = next(source, None)
    if next_batch is None and limits.n_jobs == 1:
        table = pa.Table.from_batches(first)
        first.clear()
        return aggregate(queries, columns.rows(table), parts)
    more = [] if next_batch is None else [next_batch]
    with ScratchFolder("aggregate", limits.folder) as folder:
        files = _write_groups(folder, _drain(first, more, source), columns.keys)
        return _aggregate_groups(queries, files, columns, (parts, limits))


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
    first = _gather(source, limits)
    rest = next(source, None)
    if rest is None:
        yield pa.Table.from_batches(first)
        return
    with ScratchFolder("keys", limits.folder) as folder:
        files = _write_groups(folder, _drain(first, [rest], source), keys)
        for start, stop in _batch_groups(files, limits):
            paths = [file.path for file in files[start:stop] if file.size]
            if paths:
                yield pa.concat_tables([_read_group(path) for path in paths])


def _read_group(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def _gather(source: Iterator[pa.RecordBatch], limits: Limits) -> list[pa.RecordBatch]:
    """Return the first batches, until they reach the limit."""
    batches, size = [], 0
    for batch in source:
        batches.append(batch)
        size += batch.nbytes
        if size * GROWTH > limits.memory:
            break
    return batches


def _drain(*sources: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for source in sources:
        if isinstance(source, list):
            # Batches are let go as they are written.
            while source:
                yield source.pop(0)
        else:
            yield from source


@dataclass(frozen=True)
class _Group:
    path: Path
    size: int


def _write_groups(
    folder: Path, batches: Iterable[pa.RecordBatch], keys: Sequence[str]
) -> list[_Group]:
    sizes = np.zeros(GROUPS, np.int64)
    paths = [folder / f"{group}.arrow" for group in range(GROUPS)]
    with ExitStack() as stack:
        writers: list[pa.RecordBatchFileWriter] = []
        for batch in batches:
            if not writers:
                writers = [
                    stack.enter_context(pa.ipc.new_stream(str(path), batch.schema))
                    for path in paths
                ]
            group = group_of([batch[name] for name in keys])
            order = np.argsort(group.astype(np.uint8), kind="stable")
            cuts = np.searchsorted(group[order], np.arange(GROUPS + 1))
            sorted_batch = batch.take(pa.array(order))
            for n in np.flatnonzero(np.diff(cuts)):
                piece = sorted_batch.slice(cuts[n], cuts[n + 1] - cuts[n])
                writers[n].write_batch(piece)
                sizes[n] += piece.nbytes
    return [_Group(path, int(size)) for path, size in zip(paths, sizes, strict=True)]


def group_of(keys: Sequence[pa.Array]) -> NDArray[np.int64]:
    """Return the group of each key, the same in every process."""
    total = np.zeros(len(keys[0]), np.uint64)
    for column in keys:
        total = (total ^ _hash(column)) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return (total % np.uint64(GROUPS)).astype(np.int64)


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
    files: Sequence[_Group],
    columns: Columns,
    work: tuple[Sequence[Part], Limits],
) -> pa.Table:
    parts, limits = work
    with pa.ipc.open_stream(str(files[0].path)) as reader:
        kinds = [reader.schema.field(name).type for name in columns.keys]
    casts = [_whole(key).cast(kind) for key, kind in zip(queries.keys, kinds, strict=True)]
    group = group_of(casts)
    order = np.argsort(group.astype(np.uint8), kind="stable")
    cuts = np.searchsorted(group[order], np.arange(GROUPS + 1))
    tasks = []
    for start, stop in _batch_groups(files, limits):
        chosen = order[cuts[start] : cuts[stop]]
        some = Queries([key.take(pa.array(chosen)) for key in casts], queries.times[chosen])
        paths = [file.path for file in files[start:stop] if file.size] or [files[start].path]
        tasks.append((some, paths, columns, parts))
    tables = _run_tasks(tasks, limits.n_jobs)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_tables(tables).combine_chunks().take(pa.array(back))


def _batch_groups(files: Sequence[_Group], limits: Limits) -> Iterator[tuple[int, int]]:
    """Yield spans of groups whose rows fit in memory together."""
    total = sum(file.size for file in files)
    # Several processes get a share each, even where one could do all.
    max_bytes = min(limits.memory // GROWTH, total // limits.n_jobs + 1)
    start, size = 0, 0
    for n, file in enumerate(files):
        if n > start and size + file.size > max_bytes:
            yield start, n
            start, size = n, 0
        size += file.size
    yield start, len(files)


Task = tuple[Queries, list[Path], Columns, Sequence[Part]]


def _run_task(task: Task) -> pa.Table:
    queries, paths, columns, parts = task
    tables = [_read_group(path) for path in paths]
    return aggregate(queries, columns.rows(pa.concat_tables(tables)), parts)


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
