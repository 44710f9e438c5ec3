"""The quality of a series in a zone is that of its wall time."""

from pathlib import Path

import pandas as pd
import pytest

from gigacast.job.file_job import FileJob, Sources
from gigacast.quality.measures import KeyQuality
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.storage.store import StoreAddress


def measure(frame: pd.DataFrame, root: Path) -> KeyQuality:
    (root / "2024/01").mkdir(parents=True)
    frame.to_parquet(root / "2024/01/part-0.parquet", index=False)
    address = StoreAddress(f"file://{root}")
    (measured,) = measure_quality(QualityJob(FileJob(Sources(address), address))).report.partitions
    return measured.quality.keys


@pytest.mark.parametrize("freq", ["YS", "QS", "MS", "ME", "W", "D", "B", "h"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_days_and_months_of_a_zone_are_on_their_grid(freq: str, zone: str, tmp_path: Path) -> None:
    # Clocks change within these spans, save in Kolkata.
    days = pd.date_range("2020-01-01", periods=60, freq=freq, tz=zone)
    frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": 1.0}).drop(index=7)
    keys = measure(frame, tmp_path)
    assert keys.off_grid == 0
    assert keys.missing_steps == 1
    assert keys.first == days[0].tz_convert("UTC").isoformat()
    assert keys.longest_gap == {
        "series": "a", "after": days[6].tz_convert("UTC").isoformat(), "steps": 1,
    }  # fmt: skip
