"""The sizes of the pages of a Parquet file, which are looked at before one is decoded.

A page is decoded as a whole, however few rows are asked for, and a single text may fill one: an id
of 200 MB takes a gigabyte by the time that anything can look at it. So the headers of the pages of
texts are read first, where a column is large enough to hold such a page.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from gigacast.core.compact import CompactReader, DamagedParquetError

_UNCOMPRESSED, _COMPRESSED = 2, 3  # PageHeader
_HEADER_BYTES = 512
"""Bytes read for a header at first: they hold all but those with long bounds."""
_LONGEST_HEADER = 16 << 20


class _HeaderReader(CompactReader):
    """Decodes the header of a page, and counts its bytes."""

    __slots__ = ()

    @property
    def place(self) -> int:
        """Number of bytes decoded."""
        return self._place


def largest_page(
    file: BinaryIO, footer: pq.FileMetaData, columns: Sequence[str], above: int
) -> int:
    """Return the size of the first page of texts above a size, in bytes; 0 if there is none.

    Parameters
    ----------
    file : binary file
        Seekable file; its position is changed.
    footer : pyarrow.parquet.FileMetaData
        Its checked footer.
    columns : sequence of str
        Names of the columns that are read.
    above : int
        Bytes.

    Raises
    ------
    DamagedParquetError
        If the pages are not where the footer has them.
    """
    size = file.seek(0, os.SEEK_END)
    for chunk in _text_chunks(footer, columns):
        # Most columns are smaller than the page that is searched for.
        if max(chunk.total_uncompressed_size, chunk.total_compressed_size) <= above:
            continue
        for page in _pages(file, chunk, size):
            if page > above:
                return page
    return 0


def _text_chunks(footer: pq.FileMetaData, columns: Sequence[str]) -> Iterator[Any]:
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            path = chunk.path_in_schema
            is_read = any(path == name or path.startswith(f"{name}.") for name in columns)
            if is_read and chunk.physical_type == "BYTE_ARRAY":
                yield chunk


def _pages(file: BinaryIO, chunk: Any, size: int) -> Iterator[int]:
    """Yield the bytes that each page of a column takes when it is decoded."""
    place = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        place = min(place, chunk.dictionary_page_offset)
    end = place + chunk.total_compressed_size
    if not 0 < place < end <= size:
        raise DamagedParquetError("its pages are outside of the file")
    while place < end:
        header, length = _header(file, place, end)
        decoded, stored = header.get(_UNCOMPRESSED), header.get(_COMPRESSED)
        if not (isinstance(decoded, int) and isinstance(stored, int) and stored >= 0):
            raise DamagedParquetError("the header of a page is damaged")
        yield max(decoded, stored)
        place += length + stored


def _header(file: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the header at a place, and its length."""
    length_read = _HEADER_BYTES
    while True:
        file.seek(place)
        content = file.read(min(length_read, end - place))
        try:
            reader = _HeaderReader(content)
            return reader.read_struct(), reader.place
        except (IndexError, DamagedParquetError) as error:
            if len(content) < length_read or length_read >= _LONGEST_HEADER:
                raise DamagedParquetError("the header of a page is damaged") from error
        length_read *= 16
