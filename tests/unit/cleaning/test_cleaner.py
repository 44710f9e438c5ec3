"""Cleaning in chunks, against pandas over the whole, however the rows are cut."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.cleaning.cleaner import Chunk, Cleaner, CleanPlan
from gigacast.cleaning.rules import CleanRules
from gigacast.errors import MissingExtraError
from gigacast.repair.outlier import Fences
from gigacast.repair.outlier_forest import Forest, require_forest

MOST_CUTS = 30
SEEDS = range(10)


def panel(seed: int, rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(0, 4, rows))
    times = pd.Series(rng.integers(1, 5, rows)).groupby(codes).cumsum().to_numpy() * 1_000_000
    frame = pd.DataFrame({"code": codes, "time": times, "price": rng.normal(100, 5, rows)})
    frame["price"] = frame["price"].mask(rng.random(rows) < 0.3)
    frame["size"] = pd.Series(rng.integers(0, 9, rows), dtype="Int64").mask(rng.random(rows) < 0.3)
    frame["venue"] = pd.Series(rng.choice(["A", "B"], rows)).mask(rng.random(rows) < 0.3)
    return frame


def chunks(frame: pd.DataFrame, seed: int) -> Iterator[Chunk]:
    rng = np.random.default_rng(seed)
    count = rng.integers(0, MOST_CUTS)
    cuts = [0, *sorted(rng.integers(0, len(frame) + 1, count)), len(frame)]
    columns = ["price", "size", "venue"]
    for start, stop in pairwise(cuts):
        part = frame.iloc[start:stop]
        rows = pa.Table.from_pandas(part[columns], preserve_index=False)
        rows = rows.set_column(2, "venue", rows["venue"].cast(pa.string()).dictionary_encode())
        yield Chunk(rows, part["time"].to_numpy(), part["code"].to_numpy())


def cleaned(frame: pd.DataFrame, seed: int, rules: CleanRules, **plan: object) -> pd.DataFrame:
    cleaner = Cleaner(CleanPlan(rules, **plan), set())  # type: ignore[arg-type]
    parts = list(cleaner.clean(lambda: chunks(frame, seed)))
    rows = pa.Table.from_batches([part.rows for part in parts]).to_pandas()
    rows["code"] = np.concatenate([part.codes for part in parts])  # type: ignore[arg-type]
    rows["time"] = np.concatenate([part.times for part in parts])
    rows["venue"] = rows["venue"].astype(object)
    return rows


def assert_same(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    for name in ("code", "time", "price", "size"):
        numbers = pd.to_numeric(actual[name]).to_numpy(float, na_value=np.nan)
        expected_numbers = pd.to_numeric(expected[name]).to_numpy(float, na_value=np.nan)
        assert numbers == pytest.approx(expected_numbers, nan_ok=True), name
    assert actual["venue"].fillna("").tolist() == expected["venue"].fillna("").tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("max_fill", [None, 1, 2])
def test_filling_forward_equals_pandas_in_each_series(seed: int, max_fill: int | None) -> None:
    frame = panel(seed)
    expected = frame.copy()
    columns = ["price", "size", "venue"]
    expected[columns] = frame.groupby("code")[columns].ffill(limit=max_fill)
    rules = CleanRules(nulls="forward_fill", max_fill=max_fill, outliers="keep")
    assert_same(cleaned(frame, seed, rules), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_filling_forward_does_not_depend_on_later_values(seed: int) -> None:
    frame = panel(seed)
    later = frame.copy()
    later["price"] += np.where(later.index < 40, 0, 1)
    later["size"] += np.where(later.index < 40, 0, 1)
    rules = CleanRules(nulls="forward_fill", outliers="keep")
    before, after = (cleaned(data, seed, rules).iloc[:40] for data in (frame, later))
    assert_same(before, after)


@pytest.mark.parametrize("seed", SEEDS)
def test_interpolation_follows_time_and_stays_within_its_series(seed: int) -> None:
    frame = panel(seed)
    expected = frame.copy()
    for _, own in frame.groupby("code"):
        present = own["price"].dropna()
        inside = (
            own["time"].between(own["time"][present.index.min()], own["time"][present.index.max()])
            if len(present)
            else pd.Series(False, own.index)
        )
        values = (
            np.interp(own["time"], own["time"][present.index], present) if len(present) else np.nan
        )
        expected.loc[own.index, "price"] = pd.Series(values, own.index).where(inside)
    rules = CleanRules(nulls="interpolate", outliers="keep")
    # Wherever chunks end: some of them hold no known value of a series that goes on.
    for cuts in (seed, seed + 100, seed + 200):
        filled = cleaned(frame, cuts, rules)
        assert filled["price"].to_numpy() == pytest.approx(
            expected["price"].to_numpy(), nan_ok=True
        )
        assert filled["venue"].fillna("").tolist() == frame["venue"].fillna("").tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_with_anything_missing_are_dropped(seed: int) -> None:
    frame = panel(seed)
    actual = cleaned(frame, seed, CleanRules(nulls="drop", outliers="keep"))
    assert_same(actual, frame.dropna().reset_index(drop=True))


@pytest.mark.parametrize("policy", ["flag", "clip", "drop", "keep"])
def test_outliers_are_flagged_clipped_dropped_or_kept(policy: str) -> None:
    frame = panel(3)
    fences = {"price": Fences(np.full(4, 98.0), np.array([101.0, 102.0, 103.0, np.nan]))}
    high = fences["price"].high[frame["code"]]
    far = (frame["price"] < 98) | (frame["price"] > high)
    rules = CleanRules(nulls="keep", outliers=policy)  # type: ignore[arg-type]
    actual = cleaned(frame, 3, rules, fences={} if policy == "keep" else fences)
    if policy == "flag":
        assert actual["price_outlier"].tolist() == far.tolist()
        assert actual["price"].equals(frame["price"])
    elif policy == "clip":
        upper = np.where(np.isnan(high), np.inf, high)
        assert actual["price"].equals(frame["price"].clip(98.0, upper))
    else:
        remaining = frame[~far] if policy == "drop" else frame
        assert actual["time"].tolist() == remaining["time"].tolist()
    assert ("price_outlier" in actual) == (policy == "flag")


def test_infinite_values_are_missing() -> None:
    rows = pa.table({"x": [1.0, float("inf"), float("nan"), None, 2.0]})
    cleaner = Cleaner(CleanPlan(CleanRules(outliers="keep")), set())
    cleaned_chunks = list(cleaner.clean(lambda: [Chunk(rows, np.arange(5), None)]))
    assert cleaned_chunks[0].rows["x"].to_pylist() == [1.0, 1.0, 1.0, 1.0, 2.0]
    assert cleaner.counts == {"filled": 3}


def test_a_forest_finds_isolated_rows_and_is_reproducible() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 2))
    rows[7] = [30.0, -30.0]
    first, second = (Forest(rows, 0.7).find(rows) for _ in range(2))
    assert np.flatnonzero(first).tolist() == [7]
    assert (first == second).all()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtraError, match="scikit-learn") as caught:
        require_forest()
    assert "gigacast[quality]" in str(caught.value.hint)
