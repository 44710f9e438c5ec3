"""Drift of inputs, against slow loops over values."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.series.batch import SeriesBatch
from gigacast.reporting.drift import drift_blocks, drift_of, drift_tile, measure_shift
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource


def batch_of(series: dict[str, list[float]]) -> SeriesBatch:
    frames = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": pd.date_range("2024-01-01", periods=len(values), freq="D"),
                "target": values,
            }
        )
        for item, values in series.items()
    ]
    table = pa.Table.from_pandas(pd.concat(frames), preserve_index=False)
    (batch,) = read_series([SeriesSource.of_table(table)], ReadOptions(context_length=600))
    return batch


def slow_psi(series: dict[str, list[float]]) -> float:
    before, recent = [0] * 10, [0] * 10
    for values in series.values():
        last = len(values) // 4
        earlier = [v for v in values[: len(values) - last] if not math.isnan(v)]
        edges = [float(np.quantile(earlier, k / 10)) for k in range(1, 10)]
        for counts, part in ((before, earlier), (recent, values[len(values) - last :])):
            for value in part:
                if not math.isnan(value):
                    counts[sum(value > edge for edge in edges)] += 1
    p, q = ([max(c / sum(counts), 1e-3) for c in counts] for counts in (recent, before))
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def noise(count: int, size: float = 1.0, seed: int = 0) -> list[float]:
    return [*map(float, size * np.random.default_rng(seed).normal(10, 1, count).astype(np.float32))]


def test_the_index_is_that_of_a_slow_loop() -> None:
    series = {"a": noise(200), "b": [*noise(150, 1e6, 1), *noise(50, 2e6, 2)], "c": noise(120)}
    series["c"][7] = math.nan
    drift = drift_of([measure_shift(batch_of(series), "2024/01/part-0")])
    assert drift is not None
    assert drift.psi == pytest.approx(slow_psi(series), rel=1e-3)
    assert (drift.series, sum(drift.before), sum(drift.recent)) == (
        3, pytest.approx(1, abs=1e-4), pytest.approx(1, abs=1e-4),
    )  # fmt: skip
    assert (drift.moved[0].item, drift.moved[0].partition) == ("b", "2024/01/part-0")
    assert drift.missing_before == pytest.approx(1 / 390, abs=1e-5)


def test_other_units_and_more_parts_change_nothing() -> None:
    series = {"a": noise(200), "b": noise(200, seed=1)}
    larger = {item: [1000 * v for v in values] for item, values in series.items()}
    single = drift_of([measure_shift(batch_of(series), "p")])
    parts = [measure_shift(batch_of({k: v}), "p") for k, v in larger.items()]
    two = drift_of(parts)
    assert single is not None
    assert two is not None
    assert single.psi == pytest.approx(two.psi, abs=2e-3)


@pytest.mark.parametrize(
    ("recent", "is_moved"), [(noise(50, seed=5), False), (noise(50, 3.0, seed=5), True)]
)
def test_what_moved_is_told_from_noise(recent: list[float], is_moved: bool) -> None:
    series = {f"s{n}": [*noise(150, seed=n), *recent] for n in range(8)}
    drift = drift_of([measure_shift(batch_of(series), "p")])
    assert drift is not None
    assert (drift_tile(drift).note == "values unlike before") is is_moved
    assert len(drift_blocks(drift)) == 4


def test_constant_and_short_series_have_no_drift() -> None:
    short = drift_of([measure_shift(batch_of({"a": noise(20)}), "p")])
    assert short is None
    assert drift_blocks(short) == ()
    constant = drift_of([measure_shift(batch_of({"a": [7.0] * 100}), "p")])
    assert constant is not None
    assert constant.psi == pytest.approx(0, abs=1e-9)
    assert constant.moved == ()
    woken = drift_of([measure_shift(batch_of({"a": [0.0] * 75 + [5.0] * 25}), "p")])
    assert woken is not None
    assert woken.moved[0].shift == 99.0
