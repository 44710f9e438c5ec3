"""Computation of the features of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from gigacast.core.array import DoubleArray
from gigacast.core.column import to_arrow
from gigacast.errors import SchemaError
from gigacast.feature_sets.kernel.frame import Asset, Frame, column_values, value_column
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.shift import lag
from gigacast.series.segment import Segments

LABEL = "__label__"
"""Column of the target, for recipes that select features."""
_DAY_US = 86_400_000_000
_FIRST_ROWS = 1000
"""Rows from which the step between rows is recognised."""

_MAX_REPEATED = 0.05
"""Share of repeated times above which rows are refused as those of several items. It is above zero
because a few rows of a single item may be sent twice."""


@dataclass(frozen=True)
class Setting:
    """The setting in which a recipe is computed.

    Parameters
    ----------
    time : str
        Column of times.
    items : tuple of str
        Columns that identify an item together; none for a table of a single item.
    bars_per_day : int, optional
        Rows of a trading day; unknown by default.
    assets : mapping of str to Asset
        Items that the recipe compares with; see `Recipe.assets`.
    """

    time: str
    items: tuple[str, ...] = ()
    bars_per_day: int | None = None
    assets: Mapping[str, Asset] = field(default_factory=dict)


def compute_features(
    rows: pa.Table, recipe: Recipe, setting: Setting, train_until: int | None = None
) -> pa.Table:
    """Return the features of rows, in the order of item and time.

    Parameters
    ----------
    rows : pyarrow.Table
        Rows of complete items.
    recipe : Recipe
    setting : Setting
    train_until : int, optional
        Last time of the training part, in the unit of the times. With it, the features of a recipe
        that selects include its `LABEL`; they do not by default.

    Returns
    -------
    pyarrow.Table
        Item, time, the kept columns and the features.

    Raises
    ------
    SchemaError, ConfigError
    """
    segments = Segments.of_table(rows, setting.time, setting.items)
    if not setting.items:
        _check_one_item(segments, setting.time)
    values = {
        name: segments.gather(column_values(rows, name))
        for name in recipe.columns
        if name in _numeric(recipe)
    }
    frame = Frame(values, segments, setting.bars_per_day or recipe.bars_per_day, setting.assets)
    # In the order of the recipe, as a feature may use earlier ones.
    for feature in recipe.features:
        frame.values.update(zip(feature.names, feature.compute(frame), strict=True))
    order = to_arrow(segments.order)
    carried = (*setting.items, setting.time, *recipe.keep)
    columns = {name: rows.column(name).take(order) for name in dict.fromkeys(carried)}
    columns |= {name: value_column(frame.values[name]) for name in recipe.names}
    if recipe.select is not None and train_until is not None:
        columns[LABEL] = value_column(_label(frame, recipe, train_until))
    return pa.table(columns)


def _check_one_item(segments: Segments, time: str) -> None:
    """Check that rows of a single item rarely share their times; else they may be of several."""
    repeated = int(np.count_nonzero(segments.times[1:] == segments.times[:-1]))
    if repeated > _MAX_REPEATED * len(segments):
        raise SchemaError(
            f"{repeated:,} of {len(segments):,} rows repeat a {time!r}: they are of several items, "
            "or were sent twice",
            hint="name the column of the items (--item_column, or --item_columns for several); "
            "`gigacast data clean` drops repeated rows",
        )


def _numeric(recipe: Recipe) -> set[str]:
    """Return the columns that features are computed from; kept columns may be text."""
    used = {name for feature in recipe.features for name in feature.columns}
    return used | ({recipe.select.target} if recipe.select else set())


def _label(frame: Frame, recipe: Recipe, until: int) -> DoubleArray:
    """Return the target some rows ahead, [R]; missing if that row is after the training part."""
    assert recipe.select is not None  # noqa: S101 - the caller checked
    ahead = recipe.select.ahead
    times = frame.segments.times
    rows = lag(np.arange(len(times), dtype=np.float64), frame.offsets, -ahead)
    inside = ~np.isnan(rows)
    later = times[np.where(inside, rows, 0).astype(np.int64)] if len(times) else times
    target = lag(frame.column(recipe.select.target), frame.offsets, -ahead)
    # Otherwise ranks would see targets from after the training part.
    return np.where(inside & (later <= until), target, np.nan)


def asset_of(rows: pa.Table, setting: Setting, columns: tuple[str, ...]) -> Asset:
    """Return the columns of an item, for comparison with other items."""
    segments = Segments.of_table(rows, setting.time)
    values = {name: segments.gather(column_values(rows, name)) for name in columns}
    return Asset(segments.times, values)


def daily_bars(rows: pa.Table, setting: Setting) -> int | None:
    """Return 1 if the first rows of the first item are mostly a day apart, else ``None``.

    Only the first rows count, so that rows appended later do not change the result.
    """
    kind = rows.schema.field(setting.time).type
    if pa.types.is_integer(kind):
        return None
    stamp = rows.column(setting.time).cast(pa.timestamp("us"), safe=False)
    table = rows.set_column(rows.schema.names.index(setting.time), setting.time, stamp)
    segments = Segments.of_table(table, setting.time, setting.items)
    stop = int(segments.offsets[1]) if len(segments.offsets) > 1 else 0
    # The median step, so that weekends and holidays do not count.
    steps = np.diff(segments.times[: min(stop, _FIRST_ROWS)])
    steps = steps[steps > 0]
    return 1 if len(steps) and abs(np.median(steps) / _DAY_US - 1) < 0.1 else None
