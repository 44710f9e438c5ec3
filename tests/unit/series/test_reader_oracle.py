"""The reader against a slow, obvious reading of one series after the other with pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.series import scan
from tests.unit.series.reading import One, parquet, read, reader_of

FREQS = {
    "15min": "15min", "h": "h", "D": "D", "W": "W-WED", "B": "B", "MS": "MS", "ME": "ME",
    "QS": "QS", "QE": "QE", "YS": "YS", "YE": "YE",
}  # fmt: skip


def expected(frame: pd.DataFrame, freq: str, context_length: int) -> dict:
    """Read every item with pandas, knowing its frequency."""
    series = {}
    for item, rows in frame.groupby("item_id"):
        means = rows.groupby("timestamp")["target"].mean()
        grid = pd.date_range(means.index[0], means.index[-1], freq=FREQS[freq])
        window = means.reindex(grid).to_numpy(np.float32)[-context_length:]
        first = np.flatnonzero(~np.isnan(window))
        window = window[first[0] :] if len(first) else window[:0]
        values = tuple(None if np.isnan(value) else value for value in window.tolist())
        reason = "ok" if values else "all_null"
        series[item, "target"] = One(values, means.index[-1].to_pydatetime(), freq, reason)
    return series


@st.composite
def frames(draw):
    """Panels of one frequency with holes, duplicates and nulls, their rows in any order."""
    freq = draw(st.sampled_from(list(FREQS)))
    parts = []
    for number in range(draw(st.integers(1, 6))):
        seed = draw(st.integers(0, 2**32 - 1))
        rng = np.random.default_rng(seed)
        start = pd.Timestamp("1998-03-01") + pd.Timedelta(days=int(rng.integers(0, 9000)))
        grid = pd.date_range(start.normalize(), periods=rng.integers(14, 60), freq=FREQS[freq])
        keep = rng.random(len(grid)) < draw(st.sampled_from([0.8, 1.0]))
        keep[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -2, -1]] = True
        rows = grid[keep].repeat(rng.integers(1, 3, keep.sum()))
        values = rng.integers(-8, 8, len(rows)).astype(float)
        values[rng.random(len(rows)) < 0.2] = np.nan
        parts.append(pd.DataFrame({"item_id": f"i{number}", "timestamp": rows, "target": values}))
    frame = pd.concat(parts)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(frame))
    return freq, frame.iloc[order] if draw(st.booleans()) else frame


def to_table(frame: pd.DataFrame) -> pa.Table:
    times = pa.array(frame["timestamp"].to_numpy("datetime64[us]"))
    table = pa.Table.from_pandas(frame[["item_id", "target"]], preserve_index=False)
    return table.append_column("timestamp", times)


@settings(max_examples=80, deadline=None)
@given(frames(), st.sampled_from([1, 7, 64, 1000]), st.booleans())
def test_every_series_equals_a_slow_reading_with_pandas(drawn, context_length, given_freq):
    freq, frame = drawn
    series = read(
        parquet(to_table(frame)),
        context_length=context_length,
        freq=freq if given_freq else None,
        duplicates="mean",
    )
    assert series == expected(frame, freq, context_length)


@settings(max_examples=60, deadline=None)
@given(frames(), st.data())
def test_the_division_of_rows_into_batches_changes_no_series(drawn, data):
    _, frame = drawn
    table = to_table(frame)
    in_memory = read(table, duplicates="mean")
    rows = len(table)
    row_group_size = data.draw(st.integers(1, rows))
    cuts = sorted(data.draw(st.sets(st.integers(0, rows), max_size=3)))
    pieces = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]
    series = read(
        *(parquet(piece, row_group_size=row_group_size) for piece in pieces),
        batch_rows=data.draw(st.integers(1, rows)),
        batch_series=data.draw(st.integers(1, 5)),
        duplicates="mean",
        memory_limit_bytes=data.draw(st.sampled_from([1, 2_000, 40_000, 2**29])),
    )
    assert series == in_memory


@settings(max_examples=40, deadline=None)
@given(frames(), st.integers(0, 99), st.sampled_from([1, 3_000, 2**29]))
def test_unsorted_rows_give_series_in_the_order_of_their_ids(drawn, seed, memory):
    _, frame = drawn
    table = to_table(frame)
    shuffled = table.take(pa.array(np.random.default_rng(seed).permutation(len(table))))
    reading = {"memory_limit_bytes": memory, "batch_rows": 10, "duplicates": "mean"}
    reader = reader_of(shuffled, **reading)
    ids = [item for batch in reader for item in batch.item_ids.to_pylist()]
    if reader.stats.path != "sorted":
        assert ids == sorted(ids)
    assert read(shuffled, **reading) == read(table, duplicates="mean")


@pytest.mark.parametrize("memory", [1, 2_000, 30_000, 2**29])
def test_mixed_frequencies_and_bad_series_do_not_affect_each_other(memory):
    rng = np.random.default_rng(1)
    parts, alone = [], {}
    for number, freq in enumerate([*FREQS.values()] * 3):
        grid = pd.date_range("2011-05-04", periods=int(rng.integers(1, 40)), freq=freq)
        rows = pd.DataFrame({"item_id": f"{number:02d}", "timestamp": grid})
        rows["target"] = rng.choice(
            [1.0, 2.0, np.nan, np.inf, 1e39], len(grid), p=[0.6, 0.3, 0.08, 0.01, 0.01]
        )
        if number % 5 == 0:
            rows["timestamp"] += pd.to_timedelta(rng.integers(0, 10**7, len(grid)), unit="s")
        parts.append(rows)
        alone |= read(to_table(rows), context_length=20, min_length=3)
    together = pd.concat(parts)
    shuffled = together.iloc[rng.permutation(len(together))]
    for frame in (together, shuffled):
        series = read(
            to_table(frame),
            context_length=20,
            min_length=3,
            memory_limit_bytes=memory,
            batch_rows=50,
        )
        assert series == alone
    assert {result.reason for result in alone.values()} >= {
        "ok",
        "irregular",
        "not_finite",
        "no_frequency",
    }


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_ids_that_are_remembered_are_those_of_the_rows(
    monkeypatch: pytest.MonkeyPatch, rows: int, coded: bool
) -> None:
    rng = np.random.default_rng(rows)
    lengths = rng.integers(1, 20, 9)
    names = rng.permutation([f"i{n}" for n in range(9)])
    frame = pd.DataFrame({"item_id": names.repeat(lengths), "target": rng.random(lengths.sum())})
    frame["timestamp"] = pd.date_range("2024-01-01", periods=len(frame), freq="D")
    halves = [frame.iloc[: len(frame) // 2], frame.iloc[len(frame) // 2 :]]
    files = [parquet(to_table(part), use_dictionary=coded, row_group_size=11) for part in halves]
    remembered = read(*files, batch_rows=rows)
    assert [item for item, _ in remembered] == names.tolist()
    monkeypatch.setattr(scan, "_RUNS_SHARE", 1 << 60)
    assert read(*files, batch_rows=rows) == remembered
