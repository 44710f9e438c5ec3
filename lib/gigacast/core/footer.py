"""Parquet files opened with all checks that the format allows: footer, page checksums, rows.

pyarrow raises errors about most damaged footers. But its classes of column chunks and their
statistics end the whole process (SIGABRT), because the exceptions of the C++ library are not
translated there. So the footer is decoded (`core.compact`) and checked here first. parquet.thrift
of the Parquet format names the fields:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.column import INT96_UNIT
from gigacast.core.compact import CompactReader, DamagedParquetError

__all__ = [
    "MAGIC",
    "DamagedParquetError",
    "VerifiedParquet",
    "check_footer",
    "read_footer",
    "read_metadata",
]

MAGIC = b"PAR1"
TAIL_BYTES = 64 << 10
"""Bytes read from the end of a file at first: they hold most footers."""
_REMEMBERED_BYTES = 256 << 10
"""Size up to which the last footers are remembered as checked."""

# Ids of fields, by struct; negative for 64-bit integers (`CompactReader.read_struct`).
_SCHEMA, _NUM_ROWS, _ROW_GROUPS = 2, -3, 4  # FileMetaData
_TYPE, _TYPE_LENGTH, _REPETITION, _NUM_CHILDREN = 1, 2, 3, 5  # SchemaElement
_COLUMNS, _GROUP_ROWS = 1, -3  # RowGroup
_META, _CRYPTO = 3, 8  # ColumnChunk
_CHUNK_TYPE, _CODEC, _STATISTICS, _SIZE_STATISTICS = 1, 4, 12, 16  # ColumnMetaData
_MAX, _MIN, _MAX_VALUE, _MIN_VALUE = 1, 2, 5, 6  # Statistics
_UNENCODED, _REPETITIONS, _DEFINITIONS = -1, 2, 3  # SizeStatistics

_OPTIONAL, _REPEATED = 1, 2
_LAST_CODEC = 7  # LZ4_RAW
_BYTE_ARRAY, _FIXED = 6, 7
_VALUE_BYTES = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
"""Bytes of an encoded value by physical type: booleans, int32, int64, int96, float, double."""


class VerifiedParquet(pq.ParquetFile):  # type: ignore[misc]
    """A Parquet file whose footer is checked, as are the checksums of pages and the rows read.

    Parameters
    ----------
    source : Path or binary file
    metadata : pyarrow.parquet.FileMetaData, optional
        Footer as `read_metadata` returns it; read from the source by default.
    options : object
        Further options of `pyarrow.parquet.ParquetFile`.

    Raises
    ------
    DamagedParquetError, pyarrow.ArrowException, OSError
        These also while reading.
    """

    def __init__(
        self, source: Path | BinaryIO, metadata: pq.FileMetaData | None = None, **options: Any
    ) -> None:
        super().__init__(
            source,
            metadata=metadata if metadata is not None else read_metadata(source),
            page_checksum_verification=True,
            coerce_int96_timestamp_unit=INT96_UNIT,
            **options,
        )

    def iter_batches(
        self,
        batch_size: int = 65_536,
        row_groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
        **options: Any,
    ) -> Iterator[pa.RecordBatch]:
        """Yield batches; raise at the end if there were fewer or more rows than declared."""
        rows = 0
        for batch in super().iter_batches(batch_size, row_groups, columns, **options):
            rows += batch.num_rows
            yield batch
        self._check_rows(rows, row_groups)

    def read(self, *args: Any, **options: Any) -> pa.Table:
        """Return all rows, read in one thread by default: others may outlive the program."""
        # They free buffers of Python a moment later; a program that ends just then is aborted.
        table = super().read(*args, **{"use_threads": False, **options})
        self._check_rows(table.num_rows, None)
        return table

    def read_row_groups(self, row_groups: Sequence[int], *args: Any, **options: Any) -> pa.Table:
        """Return the rows of some row groups."""
        table = super().read_row_groups(row_groups, *args, **{"use_threads": False, **options})
        self._check_rows(table.num_rows, row_groups)
        return table

    def _check_rows(self, rows: int, row_groups: Sequence[int] | None) -> None:
        groups = range(self.metadata.num_row_groups) if row_groups is None else row_groups
        declared = sum(self.metadata.row_group(group).num_rows for group in groups)
        if rows != declared:
            raise DamagedParquetError(f"{rows} rows are readable of {declared} that it declares")


def read_metadata(source: Path | BinaryIO) -> pq.FileMetaData:
    """Return the footer of a Parquet file, checked so that its columns can be looked at safely.

    Raises
    ------
    DamagedParquetError, pyarrow.ArrowException, OSError
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return read_metadata(file)
    # From memory: the end of the file is fetched once, for the check and for pyarrow.
    return pq.read_metadata(pa.BufferReader(read_footer(source)))


def read_footer(file: BinaryIO) -> bytes:
    """Return the end of a Parquet file from its footer on, checked.

    Parameters
    ----------
    file : binary file
        Seekable file; its position is changed.

    Returns
    -------
    bytes
        A Parquet file without rows: magic number, footer, its length, magic number.

    Raises
    ------
    DamagedParquetError
    """
    size = file.seek(0, os.SEEK_END)
    tail = _read_from(file, max(0, size - TAIL_BYTES), size)
    if len(tail) < 12 or tail[-4:] != MAGIC:
        kind = "its footer is encrypted" if tail[-4:] == b"PARE" else "no magic number at its end"
        raise DamagedParquetError(f"{kind} ({size} bytes)")
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    if needed > size - 4:
        raise DamagedParquetError(f"its footer has {needed - 8} bytes, the file only {size}")
    if needed > len(tail):
        tail = _read_from(file, size - needed, size - len(tail)) + tail
    footer = tail[-needed:]
    # A reader opens a file for its columns, for the order of its rows, and for the rows.
    check = _check_once if needed <= _REMEMBERED_BYTES else check_footer
    check(footer[:-8])
    return MAGIC + footer


def _read_from(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    content = file.read(stop - start)
    if len(content) != stop - start:
        raise DamagedParquetError("the file was cut short while it was read")
    return content


# -- what the footer says --------------------------------------------------------------------------


class _Leaf(NamedTuple):
    """A column of the file: its physical type and its greatest levels."""

    kind: int
    value_bytes: int
    repetition: int
    definition: int


def check_footer(content: bytes) -> None:
    """Check the footer of a Parquet file.

    Parameters
    ----------
    content : bytes
        The footer, without its length and the magic number.

    Raises
    ------
    DamagedParquetError
        If it cannot be decoded, does not describe all columns of all row groups, counts rows in
        two ways, or has statistics that do not fit their column.
    """
    try:
        footer = CompactReader(content).read_struct()
        leaves = _leaves_of(footer[_SCHEMA])
        groups = footer.get(_ROW_GROUPS, [])
        for number, group in enumerate(groups):
            _check_group(group, leaves, number)
        counted = sum(group[_GROUP_ROWS] for group in groups)
        rows = footer[_NUM_ROWS]
    except DamagedParquetError:
        raise
    # A damaged footer may have any other form: a field is missing, or holds another type.
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedParquetError("its footer is damaged") from error
    if counted != rows:
        raise DamagedParquetError(f"its footer counts {rows} rows, its row groups {counted}")


@lru_cache(maxsize=8)
def _check_once(content: bytes) -> None:
    """Check a footer, and do not check the same bytes again. Errors are not remembered."""
    check_footer(content)


def _leaves_of(schema: list[dict[int, Any]]) -> list[_Leaf]:
    """Return the columns of a schema, which is stored as a tree in depth-first order."""
    leaves = []
    # Levels of the open nodes, with the number of their children still to come.
    open_nodes = [(schema[0].get(_NUM_CHILDREN, 0), 0, 0)]
    for element in schema[1:]:
        while open_nodes and open_nodes[-1][0] == 0:
            open_nodes.pop()
        if not open_nodes:
            raise DamagedParquetError("its schema has elements outside the root")
        left, repetition, definition = open_nodes[-1]
        open_nodes[-1] = (left - 1, repetition, definition)
        repeats = element.get(_REPETITION, 0)
        repetition += repeats == _REPEATED
        definition += repeats in {_OPTIONAL, _REPEATED}
        if children := element.get(_NUM_CHILDREN, 0):
            open_nodes.append((children, repetition, definition))
        else:
            kind = element[_TYPE]
            size = element[_TYPE_LENGTH] if kind == _FIXED else _VALUE_BYTES.get(kind, 0)
            leaves.append(_Leaf(kind, size, repetition, definition))
    if any(left for left, _, _ in open_nodes):
        raise DamagedParquetError("its schema is cut short")
    return leaves


def _check_group(group: dict[int, Any], leaves: list[_Leaf], number: int) -> None:
    chunks = group[_COLUMNS]
    if len(chunks) != len(leaves):
        raise DamagedParquetError(
            f"its row group {number} has {len(chunks)} of {len(leaves)} columns"
        )
    for place, (chunk, leaf) in enumerate(zip(chunks, leaves, strict=True)):
        if _CRYPTO in chunk:
            raise DamagedParquetError("its columns are encrypted")
        problem = _problem_of(chunk[_META], leaf)
        if problem:
            raise DamagedParquetError(f"its row group {number}, column {place}: {problem}")


def _problem_of(chunk: dict[int, Any], leaf: _Leaf) -> str:
    """Return why pyarrow would abort on a column chunk; empty if it would not."""
    if chunk[_CHUNK_TYPE] != leaf.kind:
        return "another type than in the schema"
    if not 0 <= chunk[_CODEC] <= _LAST_CODEC:
        return "an unknown compression"
    return _problem_of_bounds(chunk.get(_STATISTICS, {}), leaf) or _problem_of_levels(
        chunk.get(_SIZE_STATISTICS, {}), leaf
    )


def _problem_of_bounds(statistics: dict[int, Any], leaf: _Leaf) -> str:
    for name in (_MAX, _MIN, _MAX_VALUE, _MIN_VALUE):
        bound = statistics.get(name)
        # An empty bound counts as none, but not if values are of fixed length.
        if bound is None or (not bound and leaf.kind != _FIXED):
            continue
        if len(bound) < leaf.value_bytes:
            return f"a bound of {len(bound)} bytes"
    return ""


def _problem_of_levels(sizes: dict[int, Any], leaf: _Leaf) -> str:
    if _UNENCODED in sizes and leaf.kind != _BYTE_ARRAY:
        return "sizes of texts"
    for name, greatest in ((_REPETITIONS, leaf.repetition), (_DEFINITIONS, leaf.definition)):
        if len(sizes.get(name, ())) not in {0, greatest + 1}:
            return f"counts of {len(sizes[name])} levels instead of {greatest + 1}"
    return ""
