"""Sizes of pages, from their headers alone."""

import io
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core import page
from gigacast.core.footer import DamagedParquetError, read_metadata
from gigacast.core.page import largest_page


def stored(table: pa.Table, **options) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file


def page_of(file: io.BytesIO, *columns: str, above: int) -> int:
    return largest_page(file, read_metadata(file), columns, above)


def texts(*sizes: int) -> pa.Table:
    return pa.table({"id": ["x" * size for size in sizes], "n": np.arange(len(sizes)) * 1.0})


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_page_that_holds_a_long_text_is_found(codec: str, coded: bool, version: str) -> None:
    options = {"compression": codec, "use_dictionary": coded, "data_page_version": version}
    file = stored(texts(10, 20, 300_000), **options)
    assert 300_000 < page_of(file, "id", above=200_000) < 301_000
    assert page_of(file, "id", above=400_000) == 0
    assert page_of(file, "n", above=200_000) == 0


def test_many_pages_of_short_texts_are_none_that_is_large() -> None:
    table = pa.table({"id": [f"item-{number:06d}" for number in range(30_000)]})
    file = stored(table, use_dictionary=False, data_page_size=4096, row_group_size=10_000)
    assert table.nbytes > 400_000
    assert page_of(file, "id", above=50_000) == 0
    assert 2_000 < page_of(file, "id", above=2_000) < 50_000


def test_long_bounds_in_a_header_are_read_over() -> None:
    # Statistics of pages hold the least and the greatest text, twice each.
    file = stored(texts(3_000, 900_000), use_dictionary=False, data_page_size=1, write_batch_size=1)
    assert page_of(file, "id", above=500_000) > 900_000


def test_texts_within_lists_count_for_their_column() -> None:
    table = pa.table({"id": [["a"], ["x" * 100_000]], "id2": ["b", "c"]})
    file = stored(table, use_dictionary=False)
    assert page_of(file, "id", above=50_000) > 100_000
    assert page_of(file, "id2", above=50_000) == 0


def test_a_header_longer_than_the_first_look_is_read_again(monkeypatch) -> None:
    monkeypatch.setattr("gigacast.core.page._HEADER_BYTES", 4)
    assert page_of(stored(texts(10, 300_000)), "id", above=200_000) > 300_000


def test_pages_outside_of_the_file_are_refused() -> None:
    file = stored(texts(10, 300_000), use_dictionary=False, compression="none")
    footer = read_metadata(file)
    with pytest.raises(DamagedParquetError, match="outside of the file"):
        largest_page(io.BytesIO(file.getvalue()[:1000]), footer, ["id"], 1000)


def test_headers_that_are_damaged_are_refused() -> None:
    file = stored(texts(10, 300_000), use_dictionary=False, compression="none")
    footer = read_metadata(file)
    place = footer.row_group(0).column(0).data_page_offset
    for damage in (b"\xff" * 600, bytes(600), struct.pack("<I", 15) * 150):
        content = bytearray(file.getvalue())
        content[place : place + len(damage)] = damage
        with pytest.raises(DamagedParquetError, match="header of a page"):
            largest_page(io.BytesIO(content), footer, ["id"], 1000)


def test_a_column_that_states_a_size_and_has_no_bytes_is_refused() -> None:
    chunk = SimpleNamespace(
        path_in_schema="id",
        physical_type="BYTE_ARRAY",
        total_uncompressed_size=5_000,
        total_compressed_size=0,
        has_dictionary_page=False,
        data_page_offset=4,
    )
    group = SimpleNamespace(num_columns=1, column=lambda place: chunk)
    footer: Any = SimpleNamespace(num_row_groups=1, row_group=lambda number: group)
    with pytest.raises(DamagedParquetError, match="outside of the file"):
        largest_page(io.BytesIO(bytes(100)), footer, ["id"], 1000)


@pytest.mark.parametrize("size", [0, 7, -1, None])
def test_a_page_may_hold_nothing_and_no_less(size: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(texts(300, 300))
    monkeypatch.setattr(page, "_header", lambda file, place, end: ({2: 5, 3: size}, 900))
    if size in (0, 7):
        assert page_of(file, "id", above=1) == max(5, size)
        return
    with pytest.raises(DamagedParquetError, match="header of a page is damaged"):
        page_of(file, "id", above=1)


def test_a_header_beyond_the_longest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(texts(9_000, 9_001))
    assert page_of(file, "id", above=1) > 9_000
    monkeypatch.setattr(page, "_HEADER_BYTES", 8)
    monkeypatch.setattr(page, "_LONGEST_HEADER", 8)
    with pytest.raises(DamagedParquetError, match="header of a page is damaged"):
        page_of(file, "id", above=1)
