"""Damaged, missing and foreign digests cost time, and never a number; so do crashes."""

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gigacast.forecasting import partition
from gigacast.forecasting.partition import PartitionForecaster
from tests.flow.forecasting.refresh.lake import Lake, Series, late_row, make_series
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "another file": lambda content: b"PAR1" + content[4:-4] + b"JUNK",
    "a flipped byte": lambda content: _flipped(content, _first_page(content)),
}


def _first_page(content: bytes) -> int:
    """Return a place within the numbers that are read."""
    file = pq.ParquetFile(io.BytesIO(content))
    name = {"first", "predictions"} & set(file.schema_arrow.names)
    column = file.schema_arrow.names.index(name.pop())
    return file.metadata.row_group(0).column(column).data_page_offset + 60


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


@pytest.fixture
def series() -> Series:
    return make_series()


@pytest.fixture
def lake(tmp_path: Path, series: Series) -> Lake:
    """A lake whose input changed after it was forecast."""
    lake = Lake(tmp_path / "lake")
    lake.write(series)
    lake.forecast()
    lake.write(late_row(series, np.random.default_rng(0)))
    return lake


@pytest.mark.parametrize("root", ["digests", "forecasts"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_with_damage_everything_is_computed(lake: Lake, root: str, kind: str) -> None:
    for path in lake.paths(root):
        lake.replace(path, DAMAGE[kind](path.read_bytes()))
    assert lake.forecast().kept == 0
    assert lake.files() == lake.made_anew()


def test_without_digests_everything_is_computed(lake: Lake) -> None:
    for path in lake.paths("digests"):
        path.unlink()
    assert lake.forecast().kept == 0
    assert lake.files() == lake.made_anew()


def test_digests_of_another_forecast_keep_nothing(lake: Lake) -> None:
    first, second = lake.paths("digests")
    first_note, second_note = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_note)
    second.write_bytes(first_note)
    assert lake.forecast().kept == 0
    assert lake.files() == lake.made_anew()


def test_a_forecast_by_another_run_keeps_nothing(lake: Lake, series: Series) -> None:
    """As an earlier release writes it: the digests are those of the forecast before."""
    lake.forecast(incremental=False)
    lake.write(series)
    assert lake.forecast().kept == 0
    assert lake.files() == lake.made_anew()


def test_a_run_that_was_killed_anywhere_is_made_up_for(
    lake: Lake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = lake.made_anew()
    opened = partition.PartitionForecaster.__init__
    # Before a write is after the one before it.
    for nth in range(1, 7):
        crash = Fault(WRITES, nth=nth)

        def init(self: PartitionForecaster, *facts: object, crash: Fault = crash) -> None:
            opened(self, *facts)  # type: ignore[arg-type]
            self._outputs = FaultyStore(self._outputs, [crash])

        with monkeypatch.context() as patch, suppress(SimulatedCrash):
            patch.setattr(PartitionForecaster, "__init__", init)
            lake.forecast()
        lake.forecast()
        assert lake.files() == expected
        # Back to the first night, and again to the second, from what the crash has left.
        changed = {path: path.read_bytes() for path in lake.folder.glob("2024/03/*.parquet")}
        times = {path: path.stat() for path in changed}
        lake.write(series)
        lake.forecast()
        for path, content in changed.items():
            path.write_bytes(content)
            os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))
