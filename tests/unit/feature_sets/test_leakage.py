"""A feature of a row depends only on this row and on earlier rows of its item."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gigacast.feature_sets.kernel.compute import compute_features
from gigacast.feature_sets.kernel.shift import lag
from tests.unit.feature_sets.recipes import EVERYTHING, bars_of, setting_of

ROWS = {"a": 40, "b": 55, "c": 1, "d": 30}
COLUMNS = ("open", "high", "low", "close", "volume")


def features_of(table: pa.Table) -> pa.Table:
    return compute_features(table, EVERYTHING, setting_of(table))


def assert_same(actual: pa.Table, expected: pa.Table) -> None:
    assert actual.schema == expected.schema
    for name in actual.column_names:
        actual_column, expected_column = actual[name], expected[name]
        if pa.types.is_floating(actual_column.type):
            actual_column, expected_column = (
                column.to_numpy(zero_copy_only=False) for column in (actual_column, expected_column)
            )
            np.testing.assert_array_equal(actual_column, expected_column, err_msg=name)
        else:
            assert actual_column.equals(expected_column)


def changed(table: pa.Table, rows: np.ndarray, seed: int) -> pa.Table:
    """Replace the values of some rows by others, missing and enormous ones among them."""
    rng = np.random.default_rng(seed)
    for name in COLUMNS:
        wild = rng.choice([np.nan, 1e15, -3.0, 0.0, 50.0], table.num_rows)
        values = np.where(rows, wild, table[name].to_numpy())
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


@pytest.mark.parametrize("seed", range(6))
def test_a_change_in_the_future_changes_no_past_feature(seed: int) -> None:
    table = bars_of(ROWS, seed)
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    cut = np.quantile(times, [0.2, 0.4, 0.5, 0.6, 0.8, 0.95][seed])
    before = pc.less_equal(table["timestamp"].cast(pa.int64()), int(cut))
    changed_table = changed(table, times > cut, seed)
    assert_same(features_of(changed_table).filter(before), features_of(table).filter(before))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_appended_rows_change_no_past_feature(share: float) -> None:
    table = bars_of(ROWS)
    numbers = table["timestamp"].cast(pa.int64())
    before = pc.less_equal(numbers, int(np.quantile(numbers.to_numpy(), share)))
    assert_same(features_of(table.filter(before)), features_of(table).filter(before))


def test_features_of_an_item_do_not_depend_on_other_items() -> None:
    table = bars_of(ROWS)
    together = features_of(table)
    for item in ("a", "c", "d"):
        own = pc.equal(table["symbol"], item)
        with_reference = pc.or_(own, pc.equal(table["symbol"], "b"))
        alone = features_of(table.filter(with_reference))
        alone = alone.filter(pc.equal(alone["symbol"], item))
        assert_same(alone, together.filter(own))
        without_reference = changed(table, ~np.asarray(with_reference), 1)
        assert_same(features_of(without_reference).filter(own), together.filter(own))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_in_the_input_does_not_matter(seed: int) -> None:
    table = bars_of(ROWS)
    order = np.random.default_rng(seed).permutation(table.num_rows)
    assert_same(features_of(table.take(pa.array(order))), features_of(table))


def test_the_leakage_tests_detect_a_feature_that_looks_ahead() -> None:
    values, offsets = np.arange(10.0), np.array([0, 10])
    later = values.copy()
    later[6:] = 0
    ahead = [lag(column, offsets, -1)[:6] for column in (values, later)]
    assert not np.array_equal(ahead[0], ahead[1], equal_nan=True)
