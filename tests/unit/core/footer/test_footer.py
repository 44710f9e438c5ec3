"""Footers that pass the check never end the process, and readable files pass it."""

import datetime
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.footer import (
    TAIL_BYTES,
    DamagedParquetError,
    VerifiedParquet,
    check_footer,
    read_footer,
    read_metadata,
)
from tests.unit.core.footer import footer_fuzz

ROWS = 60
PANEL = pa.table(
    {
        "item_id": [f"item-{row % 3}" for row in range(ROWS)],
        "timestamp": pa.array(np.arange(ROWS) * 86_400_000_000, pa.timestamp("us")),
        "target": np.arange(ROWS, dtype=np.float32),
    }
)
OF_ALL_KINDS = pa.table(
    {
        "text": ["a", "b", None],
        "list": [[1.0, 2.0], [3.0], None],
        "struct": [{"x": 1, "y": "q"}, None, {"x": 2, "y": None}],
        "decimal": pa.array([1, 2, 3], pa.decimal128(10, 2)),
        "truth": [True, False, None],
        "half": pa.array(np.array([1, 2, 3], np.float16)),
        "fixed": pa.array([b"ab", b"cd", None], pa.binary(2)),
        "date": [datetime.date(2020, 1, 1)] * 3,
        "time": pa.array([1, 2, 3], pa.time64("us")),
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "nothing": pa.nulls(3),
    }
)
FORMS: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "plain": (PANEL, {"store_schema": False}),
    "row groups": (PANEL, {"row_group_size": 20, "write_page_checksum": True}),
    "page index": (OF_ALL_KINDS, {"write_page_index": True, "store_schema": False}),
    "three kinds": (OF_ALL_KINDS.select(["list", "fixed", "text"]), {"store_schema": False}),
    "without statistics": (OF_ALL_KINDS, {"write_statistics": False}),
    "int96": (PANEL, {"use_deprecated_int96_timestamps": True, "version": "1.0"}),
    "second page version": (OF_ALL_KINDS, {"data_page_version": "2.0", "compression": "zstd"}),
    "empty": (PANEL.slice(0, 0), {}),
}


def written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def footer_of(content: bytes) -> bytes:
    return content[-8 - int.from_bytes(content[-8:-4], "little") : -8]


@pytest.mark.parametrize("form", FORMS)
def test_readable_files_pass(form: str) -> None:
    table, options = FORMS[form]
    content = written(table, **options)
    file = VerifiedParquet(io.BytesIO(content))
    plain = pq.ParquetFile(io.BytesIO(content), coerce_int96_timestamp_unit="us")
    assert file.read().equals(plain.read())
    assert file.metadata.equals(pq.read_metadata(io.BytesIO(content)))


@pytest.mark.parametrize("form", ["plain", "three kinds", "int96"])
def test_no_flipped_bit_of_a_footer_ends_the_process(form: str) -> None:
    table, options = FORMS[form]
    content = written(table, **options)
    program = [sys.executable, footer_fuzz.__file__]
    ended = subprocess.run(program, input=content, capture_output=True, check=False)
    last = ended.stderr.splitlines()[-1:]
    assert ended.returncode == 0, f"bit {last} ended the process"
    # Most flips hit names, bounds and offsets: a check that refused everything would prove nothing.
    assert int(ended.stdout) > len(footer_of(content)) * 8 // 10


def test_levels_that_do_not_fit_their_column_are_refused() -> None:
    """The kind of damage that pyarrow ends the process for, made by hand."""
    content = written(pa.table({"n": pa.array([1, 2], pa.int64())}), store_schema=False)
    footer = footer_of(content)
    check_footer(footer)
    # Field 3 of a schema's element is its repetition: 1 is optional, 0 required. A required column
    # has one level, the statistics still count two.
    assert footer.count(b"\x25\x02\x18\x01n") == 1
    with pytest.raises(DamagedParquetError, match="counts of 2 levels instead of 1"):
        check_footer(footer.replace(b"\x25\x02\x18\x01n", b"\x25\x00\x18\x01n"))


def test_a_footer_that_counts_rows_in_two_ways_is_refused() -> None:
    footer = footer_of(written(PANEL))
    rows = bytes([0x16, ROWS * 2])  # field 3 of the file: a 64-bit integer in zigzag form
    with pytest.raises(DamagedParquetError, match="counts 61 rows, its row groups 60"):
        check_footer(footer.replace(rows, bytes([0x16, ROWS * 2 + 2]), 1))


def test_fewer_rows_than_declared_are_refused() -> None:
    content = written(PANEL, use_dictionary=False, store_schema=False)
    footer = footer_of(content)
    more = footer.replace(bytes([0x16, ROWS * 2]), bytes([0x16, ROWS * 2 + 2]))
    file = VerifiedParquet(io.BytesIO(content[: -8 - len(footer)] + more + content[-8:]))
    with pytest.raises((DamagedParquetError, OSError, pa.ArrowException)):
        list(file.iter_batches())


def test_tables_are_read_in_one_thread_so_that_none_outlives_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[object] = []

    def read(self: object, *args: object, use_threads: bool = True, **options: object) -> pa.Table:
        threads.append(use_threads)
        return PANEL

    for name in ("read", "read_row_groups"):
        monkeypatch.setattr(pq.ParquetFile, name, read)
    file = VerifiedParquet(io.BytesIO(written(PANEL)))
    file.read(columns=["target"])
    file.read_row_groups([0])
    file.read(use_threads=True)
    assert threads == [False, False, True]


def test_a_flipped_bit_in_a_page_is_noticed_by_its_checksum() -> None:
    table = pa.table({"n": np.arange(1000.0)})
    options = {"write_page_checksum": True, "use_dictionary": False, "compression": "none"}
    content = bytearray(written(table, **options))
    place = bytes(content).index(np.float64(500.0).tobytes())
    content[place] ^= 1
    assert pq.read_table(io.BytesIO(bytes(content)))["n"][500].as_py() != 500.0
    with pytest.raises(OSError, match="CRC"):
        VerifiedParquet(io.BytesIO(bytes(content))).read()


@given(st.binary(max_size=200))
def test_any_bytes_are_checked_or_refused(content: bytes) -> None:
    for candidate in (content, b"\x15\x04\x19" + content):
        try:
            check_footer(candidate)
        except DamagedParquetError:
            continue


@given(st.data())
def test_a_footer_that_is_cut_off_is_refused(data: st.DataObject) -> None:
    footer = footer_of(written(*FORMS["plain"][:1]))
    end = data.draw(st.integers(0, len(footer) - 1))
    with pytest.raises(DamagedParquetError):
        check_footer(footer[:end])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"x" * 100, b"PAR1" * 10])
def test_what_is_no_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedParquetError):
        read_footer(io.BytesIO(content))


def test_an_encrypted_footer_is_named() -> None:
    with pytest.raises(DamagedParquetError, match="encrypted"):
        read_footer(io.BytesIO(b"PAR1" + b"x" * 20 + b"PARE"))


def test_a_footer_larger_than_the_first_read_is_read_completely(tmp_path: Path) -> None:
    wide = pa.table({f"column-{n}": [1.0] for n in range(600)})
    pq.write_table(wide, tmp_path / "wide.parquet")
    content = (tmp_path / "wide.parquet").read_bytes()
    assert len(footer_of(content)) > TAIL_BYTES
    assert read_metadata(tmp_path / "wide.parquet").num_columns == 600
