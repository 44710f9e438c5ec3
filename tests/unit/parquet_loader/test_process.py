"""Processing of loaded rows, compared with slow obvious loops."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import MissingExtraError
from gigacast.parquet_loader.dataset import LoadColumns, LoadStats
from gigacast.parquet_loader.process import Processing, process_rows

COLUMNS = LoadColumns("t", "id", ("x",), ("n", "text"))
NAN = float("nan")


def rows(x: list[float | None], items: str | None = None) -> pa.Table:
    ids = list(items or "a" * len(x))
    times = np.cumsum(np.arange(len(x)) + 1).astype("M8[us]")  # steps that grow
    numbers = pa.array([None if v is None or not np.isfinite(v) else int(v) for v in x], pa.int64())
    return pa.table({"id": ids, "t": times, "x": x, "n": numbers, "text": ids})


def processed(table: pa.Table, **options: object) -> pa.Table:
    return process_rows(table, COLUMNS, Processing(**options), LoadStats())  # type: ignore[arg-type]


def slow_fill(table: pa.Table, method: str) -> list[float]:
    values, ids = table["x"].to_pylist(), table["id"].to_pylist()
    times = [t.timestamp() for t in table["t"].to_pylist()]
    present = [v is not None and not np.isnan(v) for v in values]
    filled = []
    for i, value in enumerate(values):
        before = [j for j in range(i) if present[j] and ids[j] == ids[i]]
        after = [j for j in range(i, len(values)) if present[j] and ids[j] == ids[i]]
        if present[i]:
            filled.append(value)
        elif method == "forward_fill":
            filled.append(values[before[-1]] if before else NAN)
        elif before and after:
            b, a = before[-1], after[0]
            share = (times[i] - times[b]) / (times[a] - times[b])
            filled.append(values[b] + share * (values[a] - values[b]))
        else:
            filled.append(NAN)
    return filled


@pytest.mark.parametrize("method", ["forward_fill", "interpolate"])
@pytest.mark.parametrize("seed", range(5))
def test_values_are_filled_within_their_item(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 9, 40).astype(float)
    x[rng.random(40) < 0.5] = np.nan
    table = rows(list(x), "".join(np.repeat(["a", "b", "c", "d"], [10, 1, 17, 12])))
    filled = [NAN if v is None else v for v in processed(table, nulls=method)["x"].to_pylist()]
    np.testing.assert_allclose(filled, slow_fill(table, method))


def test_rows_without_a_target_are_dropped_and_features_do_not_count() -> None:
    table = rows([1.0, None, NAN, 4.0])
    assert processed(table, nulls="drop")["x"].to_pylist() == [1.0, 4.0]
    assert processed(table) is table


@pytest.mark.parametrize(("method", "expected"), [("iqr", 2), ("zscore", 1)])
def test_outliers_are_counted_and_stay(method: str, expected: int) -> None:
    table, stats = rows([*np.linspace(0, 1, 50), 3.0, 100.0, None]), LoadStats()
    processed = process_rows(table, COLUMNS, Processing(outliers=method), stats)  # type: ignore[arg-type]
    assert stats.outliers == {"x": expected}
    assert processed is table


def test_infinite_values_are_neither_filled_nor_counted_as_outliers() -> None:
    inf = float("inf")
    table, stats = rows([1.0, NAN, inf, NAN, 3.0, 1.0, 2.0, 2.0]), LoadStats()
    processing = Processing(nulls="forward_fill", outliers="iqr")
    filled = process_rows(table, COLUMNS, processing, stats)
    assert filled["x"].to_pylist() == [1.0, 1.0, inf, inf, 3.0, 1.0, 2.0, 2.0]
    assert stats.outliers == {"x": 0}


def test_every_other_value_of_a_mostly_constant_target_is_an_outlier() -> None:
    stats = LoadStats()
    process_rows(rows([5.0] * 9 + [4.0, 6.0]), COLUMNS, Processing(outliers="iqr"), stats)
    assert stats.outliers == {"x": 2}


def test_integers_with_missing_values_become_floats_when_they_are_filled() -> None:
    filled = processed(rows([1.0, None, 4.0]), nulls="interpolate")
    assert str(filled.schema.field("n").type) == "double"
    assert filled["n"].to_pylist() == [1.0, 1.0 + 3.0 * 2 / 5, 4.0]
    filled_table = processed(rows([1.0, 2.0]), nulls="interpolate")
    assert str(filled_table.schema.field("n").type) == "int64"


def test_types_are_narrowed_on_request() -> None:
    narrowed = processed(rows([1.0, 2.0]), narrow=True, categories=True)
    kinds = {field.name: str(field.type) for field in narrowed.schema}
    assert kinds["x"] == "float"
    assert kinds["text"] == "dictionary<values=string, indices=int32, ordered=0>"
    assert kinds["n"] == "int8"


def test_an_isolation_forest_counts_the_isolated_values() -> None:
    pytest.importorskip("sklearn", reason="isolation forests need scikit-learn")
    stats, x = LoadStats(), [*np.random.default_rng(0).uniform(size=300), 40.0, -60.0, NAN]
    table = rows(x)
    processed = process_rows(table, COLUMNS, Processing(outliers="isolation_forest"), stats)
    assert stats.outliers == {"x": 2}
    assert processed is table


def test_an_isolation_forest_without_its_library_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtraError, match="isolation forest"):
        Processing(outliers="isolation_forest")
