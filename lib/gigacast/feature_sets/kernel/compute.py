"""Rows into features, as a recipe says."""

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
"""The column of what is to be told, where a recipe selects; see `label_column`."""
_DAY_US = 86_400_000_000
_LOOKED_AT = 1000
_MOST_REPEATED = 0.05


@dataclass(frozen=True)
class Setting:
    """What a recipe is computed in.

    Parameters
    ----------
    time, item : str
        The columns of times and of items; a table of one item has none.
    bars_per_day : int, optional
    assets : mapping of str to Asset
        Those the recipe names; see `Recipe.assets`.
    """

    time: str
    item: str | None = None
    bars_per_day: int | None = None
    assets: Mapping[str, Asset] = field(default_factory=dict)


def compute_features(
    rows: pa.Table, recipe: Recipe, setting: Setting, train_until: int | None = None
) -> pa.Table:
    """Return the features of all rows, by item and time.

    Parameters
    ----------
    rows : pyarrow.Table
        Whole items.
    recipe : Recipe
    setting : Setting
    train_until : int, optional
        The last moment of the training part, in the unit of the times: with it a recipe that
        selects gets its `LABEL`.

    Returns
    -------
    pyarrow.Table
        Item, time, the columns that are kept, and the features.

    Raises
    ------
    SchemaError, ConfigError
    """
    segments = Segments.of_table(rows, setting.time, setting.item)
    if setting.item is None:
        _check_one_item(segments, setting.time)
    values = {
        name: segments.gather(column_values(rows, name))
        for name in recipe.columns
        if name in _numeric(recipe)
    }
    frame = Frame(values, segments, setting.bars_per_day or recipe.bars_per_day, setting.assets)
    for feature in recipe.features:
        frame.values.update(zip(feature.names, feature.compute(frame), strict=True))
    order = to_arrow(segments.order)
    carried = [name for name in (setting.item, setting.time, *recipe.keep) if name]
    found = {name: rows.column(name).take(order) for name in dict.fromkeys(carried)}
    found |= {name: value_column(frame.values[name]) for name in recipe.names}
    if recipe.select is not None and train_until is not None:
        found[LABEL] = value_column(_label(frame, recipe, train_until))
    return pa.table(found)


def _check_one_item(segments: Segments, time: str) -> None:
    """Refuse rows of one item that mostly share their times: they are of several."""
    again = int(np.count_nonzero(segments.times[1:] == segments.times[:-1]))
    if again > _MOST_REPEATED * len(segments):
        raise SchemaError(
            f"{again:,} of {len(segments):,} rows have a {time!r} that came before: they are of "
            "several items, or sent twice",
            hint="name the column of the items (--item_column); `gigacast data clean` drops what "
            "was sent twice",
        )


def _numeric(recipe: Recipe) -> set[str]:
    """Return the columns that are computed with; what is only carried along may be text."""
    used = {name for feature in recipe.features for name in feature.columns}
    return used | ({recipe.select.target} if recipe.select else set())


def _label(frame: Frame, recipe: Recipe, until: int) -> DoubleArray:
    """Return the target so many rows later; missing where that is beyond the training part."""
    assert recipe.select is not None  # noqa: S101 - the caller looked
    ahead = recipe.select.ahead
    times = frame.segments.times
    rows = lag(np.arange(len(times), dtype=np.float64), frame.offsets, -ahead)
    inside = ~np.isnan(rows)
    later = times[np.where(inside, rows, 0).astype(np.int64)] if len(times) else times
    target = lag(frame.column(recipe.select.target), frame.offsets, -ahead)
    return np.where(inside & (later <= until), target, np.nan)


def asset_of(rows: pa.Table, setting: Setting, columns: tuple[str, ...]) -> Asset:
    """Return one item's columns, to compare others with."""
    segments = Segments.of_table(rows, setting.time, None)
    found = {name: segments.gather(column_values(rows, name)) for name in columns}
    return Asset(segments.times, found)


def daily_bars(rows: pa.Table, setting: Setting) -> int | None:
    """Return 1 where an item's first rows are mostly a day apart, else ``None``.

    Looks at the first rows of the first item only, so that rows that follow later change nothing.
    """
    kind = rows.schema.field(setting.time).type
    if pa.types.is_integer(kind):
        return None
    stamp = rows.column(setting.time).cast(pa.timestamp("us"), safe=False)
    table = rows.set_column(rows.schema.names.index(setting.time), setting.time, stamp)
    segments = Segments.of_table(table, setting.time, setting.item)
    stop = int(segments.offsets[1]) if len(segments.offsets) > 1 else 0
    steps = np.diff(segments.times[: min(stop, _LOOKED_AT)])
    steps = steps[steps > 0]
    return 1 if len(steps) and abs(np.median(steps) / _DAY_US - 1) < 0.1 else None
