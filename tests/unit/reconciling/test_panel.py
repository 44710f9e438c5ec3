"""The series of a month and their sums."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.item_key import ItemKey
from gigacast.core.series.reason import Reason
from gigacast.errors import ConfigError
from gigacast.reconciling.panel import TOTAL, check_sums, panels_of
from tests.support.tiny_models import series_batch

COLUMNS = ("region", "store", "sku")


def keyed(values: list[list[float]], rows: list[tuple[int, str]]) -> SeriesBatch:
    key = ItemKey(("store", "sku"), (pa.int64(), pa.string()))
    stores, skus = pa.array([r[0] for r in rows]), pa.array([r[1] for r in rows])
    batch = series_batch(values)
    return replace(batch, item_ids=key.encode([stores, skus]), item_key=key)


@pytest.mark.parametrize(
    ("sums", "levels"),
    [
        ([], [()]),
        (["region"], [(), ("region",)]),
        (["store,region", "region,store", "sku"], [(), ("region", "store"), ("sku",)]),
    ],
)
def test_sums_are_named_by_columns_in_any_order(
    sums: list[str], levels: list[tuple[str, ...]]
) -> None:
    assert check_sums(sums, COLUMNS) == levels


@pytest.mark.parametrize("sums", [["mood"], ["region,store,sku"], [""]])
def test_sums_of_unknown_columns_or_of_all_are_refused(sums: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^sum: "):
        check_sums(sums, COLUMNS)


def test_sums_are_aligned_at_the_end_and_lack_what_a_series_lacks() -> None:
    nan = float("nan")
    batch = keyed([[1, 2, 3, 4], [10, nan, 30], [100, 200]], [(1, "tea"), (1, "rye"), (2, "tea")])
    (panel,), apart = panels_of(batch, [(), ("store",)])
    assert apart.tolist() == []
    series = [values.tolist() for values in panel.series]
    np.testing.assert_equal(series[0], [1.0, 12.0, nan, 234.0])
    np.testing.assert_equal(series[1], [1.0, 12.0, nan, 34.0])
    assert series[2:][0] == [100.0, 200.0]
    np.testing.assert_equal(series[3:], [[1, 2, 3, 4], [10, nan, 30], [100, 200]])
    assert panel.sum_by.to_pylist() == [TOTAL, "store", "store", None, None, None]
    assert [column.to_pylist() for column in panel.items] == [
        [None, 1, 2, 1, 1, 2],
        [None, None, None, "tea", "rye", "tea"],
    ]
    assert len(set(panel.series.item_ids.to_pylist())) == 6


def test_series_with_another_end_or_without_a_value_are_in_no_sum() -> None:
    batch = series_batch([[1, 2], [3, 4], [float("nan")] * 2, [5, 6], [7, 8]])
    batch = replace(
        batch,
        last_timestamps=np.array([5, 5, 5, 4, 5]) * 86_400_000_000,
        reasons=np.array([0, 0, 0, 0, Reason.NOT_FINITE], np.int8),
    )
    (panel,), apart = panels_of(batch, [()])
    assert apart.tolist() == [2, 3, 4]
    assert next(iter(panel.series)).tolist() == [4, 6]


def test_targets_are_summed_apart() -> None:
    batch = series_batch([[1, 2], [3, 4], [5, 6]])
    batch = replace(batch, target_names=pa.array(["sales", "stock", "sales"]))
    panels, _ = panels_of(batch, [()])
    totals = {p.series.target_names[0].as_py(): next(iter(p.series)).tolist() for p in panels}
    assert totals == {"sales": [6, 8], "stock": [3, 4]}
