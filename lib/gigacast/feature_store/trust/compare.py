"""Comparison of two tables of features by keys, a day at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import ConfigError, DataError, DataNotFoundError, SchemaError
from gigacast.feature_store.definition.name import PARTITION_COLUMN, table_name
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.engine.engine import ALL_DAYS, DaySpan, Engine
from gigacast.feature_store.engine.match import match_type
from gigacast.feature_store.offline.day import end_of
from gigacast.feature_store.offline.source import BoundTable, Catalog
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.trust.equality import Ints
from gigacast.feature_store.trust.figures import SCHEMA, Pair, figures_by_hour

_PLACE, _OTHER = "#row", "#other"
DIFFERENT = ("mismatch", "left_null", "right_null")


@dataclass(frozen=True)
class TablesComparison:
    """The result of a comparison of two tables.

    Parameters
    ----------
    names : (str, str)
        Tables.
    days : tuple of str
        Days that both have.
    only : (tuple of str, tuple of str)
        Days that one of them has alone.
    rows : int
        Rows that both have.
    missing : (int, int)
        Rows that the first has and the second lacks, and the other way round.
    figures : pyarrow.Table
        Rows of `figures.SCHEMA`, a row per day and column.
    """

    names: tuple[str, str]
    days: tuple[str, ...] = ()
    only: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    rows: int = 0
    missing: tuple[int, int] = (0, 0)
    figures: pa.Table = field(default_factory=SCHEMA.empty_table)

    @property
    def different(self) -> int:
        """Number of values that differ in rows that both have."""
        return sum(int(pc.sum(self.figures[name]).as_py() or 0) for name in DIFFERENT)

    @property
    def is_equal(self) -> bool:
        """Whether both have the same days, rows and values."""
        return not (self.different or any(self.missing) or any(self.only))


def compare_tables(
    catalog: Catalog,
    engine: Engine,
    names: tuple[str, str],
    keys: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    within: DaySpan = ALL_DAYS,
) -> TablesComparison:
    """Compare two tables by keys, in the days that both have.

    Parameters
    ----------
    catalog : Catalog
    engine : Engine
    names : (str, str)
        Tables, or compiled definitions whose tables are compared.
    keys : sequence of str
        Columns that tell the rows of a day apart, on both sides.
    columns : mapping of str to str, optional
        Columns of the second table by those of the first; all of the same name by default.
    within : DaySpan
        First and last day.

    Raises
    ------
    SchemaError
        If a column is missing.
    DataError
        If keys are not unique.
    DataNotFoundError
        If a table has no rows, or both have no day in common.
    """
    left, right = (_bound(catalog, name) for name in names)
    mine = {day for day in left.partitions if day in within}
    other = {day for day in right.partitions if day in within}
    both = tuple(sorted(mine & other))
    if not both:
        raise DataNotFoundError(
            f"{left.name} and {right.name} have no day in common", hint="see --start_ds and --ds"
        )
    rows, missing, figures = 0, np.zeros(2, np.int64), []
    for day in both:
        tables = [side.reading(day, None, {}, DaySpan(day, day)) for side in (left, right)]
        pieces = [engine.rows(reading) for reading in tables]
        matched, absent, table = compare_rows((pieces[0], pieces[1]), keys, day, columns)
        rows += matched
        missing += absent
        figures.append(table)
    return TablesComparison(
        (left.name, right.name),
        both,
        (tuple(sorted(mine - other)), tuple(sorted(other - mine))),
        rows,
        (int(missing[0]), int(missing[1])),
        pa.concat_tables(figures),
    )


def compare_rows(
    sides: tuple[pa.Table, pa.Table],
    keys: Sequence[str],
    day: str,
    columns: Mapping[str, str] | None = None,
) -> tuple[int, tuple[int, int], pa.Table]:
    """Return the number of matched rows, of those that a side lacks, and the figures of a day."""
    left, right = sides
    _check_keys(sides, keys)
    places = _match(left, right, keys)
    pairs = [
        Pair(name, _taken(left[name], places[0]), _taken(right[other], places[1]))
        for name, other in _columns(sides, keys, columns)
    ]
    start = end_of(day) - 86_400_000
    figures = figures_by_hour(np.full(len(places[0]), start), pairs)
    missing = left.num_rows - len(places[0]), right.num_rows - len(places[1])
    return len(places[0]), missing, figures


def _bound(catalog: Catalog, name: str) -> BoundTable:
    try:
        table = table_name(find_stored(catalog.tables.store, name).definition)
    except (DataNotFoundError, ConfigError):
        table = name  # no definition is called so
    return BoundTable.of(catalog, table, Query(), "compare")


def _check_keys(sides: tuple[pa.Table, pa.Table], keys: Sequence[str]) -> None:
    for number, side in enumerate(sides):
        for key in keys:
            if key not in side.column_names:
                raise SchemaError(
                    f"--keys: the {('first', 'second')[number]} table has no column {key}",
                    hint=f"it has {', '.join(side.column_names[:12])}",
                )
        distinct = side.select(list(keys)).group_by(list(keys)).aggregate([]).num_rows
        if distinct < side.num_rows:
            raise DataError(
                f"--keys {','.join(keys)}: {side.num_rows - distinct} rows have the keys of others",
                hint="name the columns that tell the rows of a day apart",
            )


def _match(left: pa.Table, right: pa.Table, keys: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the places of rows with equal keys, in the order of the left side."""
    names = list(keys)
    mine = left.select(names).append_column(_PLACE, pa.array(np.arange(left.num_rows)))
    arrays = [match_type(right[name], left.schema.field(name).type) for name in names]
    other = pa.table(arrays, names=names).append_column(_OTHER, pa.array(np.arange(right.num_rows)))
    joined = mine.join(other, names, join_type="inner").sort_by(_PLACE)
    return joined[_PLACE].to_numpy(), joined[_OTHER].to_numpy()


def _columns(
    sides: tuple[pa.Table, pa.Table], keys: Sequence[str], columns: Mapping[str, str] | None
) -> Iterator[tuple[str, str]]:
    left, right = sides
    chosen = columns or {name: name for name in left.column_names if name in right.column_names}
    for name, other in chosen.items():
        for side, column in ((left, name), (right, other)):
            if column not in side.column_names:
                raise SchemaError(
                    f"--columns: a table has no column {column}",
                    hint=f"it has {', '.join(side.column_names[:12])}",
                )
        if name not in keys and name != PARTITION_COLUMN:
            yield name, other


def _taken(values: pa.ChunkedArray, places: Ints) -> pa.Array:
    chosen = values.take(pa.array(places))
    return pa.concat_arrays(chosen.chunks) if chosen.num_chunks else pa.array([], values.type)
