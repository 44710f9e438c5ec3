"""Which columns a feature set is made of, and what its training part's end means."""

from itertools import chain, pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import ConfigError, SchemaError
from gigacast.feature_sets import stage as features_stage
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.source import FeatureSource, named_items, settle_columns
from gigacast.feature_sets.table import FeatureProcessor, TableRows
from gigacast.feature_sets.training import training_end

DAYS = pd.date_range("2024-01-01", periods=60)
CLOSE = 100 + np.random.default_rng(0).normal(size=60).cumsum()
UNTIL = {"until": "2024-01-20"}
TIMES = {
    "naive": pa.array(DAYS),
    "zoned": pa.array(DAYS.tz_localize("Europe/Berlin")),
    "seconds": pa.array(DAYS.to_numpy().astype("M8[s]")),
    "nanoseconds": pa.array(DAYS.to_numpy().astype("M8[ns]")),
    "dates": pa.array(DAYS.date),
    "steps": pa.array(np.arange(60)),
}


def recipe_of(training: dict[str, object]) -> Recipe:
    return Recipe.from_dict(
        {
            "name": "r",
            "training": training,
            "scale": {"method": "minmax"},
            "features": [{"kind": "lag", "column": "close"}],
        }
    )


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("training", [UNTIL, {"share": 1 / 3}], ids=["until", "share"])
def test_the_training_part_ends_at_the_same_row_whatever_times_are(
    kind: str, training: dict[str, object]
) -> None:
    table = pa.table({"ds": TIMES[kind], "close": CLOSE})
    processor = FeatureProcessor(recipe_of(training))
    if kind == "steps" and training is UNTIL:
        with pytest.raises(ConfigError, match="counts steps"):
            processor.process_training_features(table)
        return
    processor.process_training_features(table)
    assert processor.learned is not None
    assert processor.learned.scaler is not None
    assert processor.learned.scaler.rows == 20
    assert processor.learned.scaler.centre["close_lag_1"] == CLOSE[:19].min()


@pytest.mark.parametrize(
    ("until", "rows"),
    [
        ("2024-01-20T00:00:00+00:00", 20),
        ("2024-01-19T23:00:00+00:00", 20),
        ("2024-01-19T22:59", 19),
    ],
)
def test_a_time_without_a_zone_is_in_the_zone_of_the_column(until: str, rows: int) -> None:
    table = pa.table({"ds": TIMES["zoned"], "close": CLOSE})
    recipe = recipe_of({"until": until})
    columns = settle_columns(TableRows(table), recipe, None)
    end = training_end(TableRows(table), columns.time, recipe)
    times = table["ds"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    scale = {"us": 1, "ns": 1000, "s": 1e-6}[table["ds"].type.unit]
    assert int((times * scale <= end).sum()) == rows


def test_many_rows_are_thinned_evenly_for_ranking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = pa.table({"ds": TIMES["naive"], "close": CLOSE})
    select = {"target": "close", "measure": "pearson"}
    recipe = Recipe.from_dict(recipe_of({"share": 1.0}).to_dict() | {"select": select})
    rows = []
    for row_limit in (1 << 20, 20):
        monkeypatch.setattr(features_stage, "MAX_RANKED_ROWS", row_limit)
        processor = FeatureProcessor(recipe)
        processor.process_training_features(table)
        assert processor.learned is not None
        rows.append(processor.learned.ranks[0].rows)
    assert rows == [58, 19]  # the last row has no target, the first no lag


def test_columns_are_recognised_or_named() -> None:
    table = pa.table({"when": TIMES["naive"], "date": TIMES["naive"], "unique_id": ["a"] * 60})
    table = table.append_column("close", pa.array(CLOSE))
    recipe = recipe_of({"share": 0.5})
    rows = TableRows(table)
    columns_found = settle_columns(rows, recipe, None)
    assert (columns_found.time, columns_found.items) == ("date", ("unique_id",))
    assert settle_columns(rows, recipe, "when").time == "when"
    with pytest.raises(SchemaError, match="no column 'moment'"):
        settle_columns(rows, recipe, "moment")
    with pytest.raises(SchemaError, match="no column is recognised as the times"):
        settle_columns(TableRows(table.select(["close"])), recipe, None)


def test_rows_without_an_item_form_one_item_if_all_rows_fit() -> None:
    table = pa.table({"ds": TIMES["naive"], "symbol": [None, "a"] * 30, "close": CLOSE})
    recipe = recipe_of({"share": 0.5})
    rows = TableRows(table)
    columns = settle_columns(rows, recipe, None)
    (full,) = FeatureSource(rows, recipe, columns, 1 << 30).tables()
    assert full.num_rows == 60
    with pytest.raises(SchemaError, match="some rows have no 'symbol'"):
        list(FeatureSource(rows, recipe, columns, 40 * 24 * 4).tables())


def test_items_come_in_their_order_and_each_once() -> None:
    table = pa.table({"ds": TIMES["naive"], "symbol": list("cabd") * 15, "close": CLOSE})
    recipe = recipe_of({"share": 0.5})
    rows = TableRows(table)
    columns = settle_columns(rows, recipe, None)
    groups = list(FeatureSource(rows, recipe, columns, 31 * 24 * 4).tables())
    names = [sorted(set(group["symbol"].to_pylist())) for group in groups]
    assert names == [["a", "b"], ["c", "d"]]
    assert sum(group.num_rows for group in groups) == 60


@given(
    items=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=60
    ),
    most=st.integers(60, 200),
)
def test_groups_of_items_of_several_columns_have_whole_items_in_order(
    items: list[tuple[int, str, bool]], most: int
) -> None:
    stores, skus, flags = zip(*items, strict=True)
    times = pa.array(range(len(items)), pa.timestamp("us"))
    table = pa.table(
        {"store": stores, "sku": skus, "flag": flags, "ds": times, "close": CLOSE[: len(items)]}
    )
    names = ("store", "sku", "flag")
    recipe = recipe_of({"share": 0.5})
    columns = settle_columns(TableRows(table), recipe, None, names)
    limit = most // 20 * 24 * 6  # six columns with the feature
    largest = max(items.count(item) for item in items)
    source = FeatureSource(TableRows(table), recipe, columns, limit)
    if largest > max(1, most // 20):
        with pytest.raises(ConfigError, match="more than memory_limit"):
            list(source.tables())
        return
    groups = [list(zip(*(t[n].to_pylist() for n in names), strict=True)) for t in source.tables()]
    assert sorted(chain.from_iterable(groups)) == sorted(items)
    assert all(len(group) <= most // 20 for group in groups)
    for first, second in pairwise(groups):
        assert max(first) < min(second)


def test_a_column_of_items_is_named_once_and_by_one_flag() -> None:
    table = pa.table({"ds": TIMES["naive"], "shop": ["a"] * 60, "close": CLOSE})
    with pytest.raises(ConfigError, match="'shop' is named twice"):
        settle_columns(TableRows(table), recipe_of({"share": 0.5}), None, ("shop", "shop"))
    with pytest.raises(ConfigError, match="both name the columns of item ids"):
        named_items("shop", ("shop", "sku"))
