"""Scores: the errors of a partition's forecasts from all its origins, as rows of a file.

A row holds the `Sums` of a group, from which all figures follow. There are three kinds of rows:
``origin``, all series and steps of an origin; ``step``, all series at a step of an origin; and
``series``, all steps of a series from a cutoff. An origin is named by the newest cutoff of its
forecast, as in keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.series.item_key import item_names, items_of
from gigacast.forecasters.metric import Sums, add_up, interval_name, intervals_of, measure
from gigacast.forecasting.prediction import CUTOFF, level_name

_PLAIN = tuple(f.name for f in fields(Sums) if f.name not in {"quantile", "below", "inside"})
KINDS = ("origin", "step", "series")


@dataclass(frozen=True)
class ScoredPart:
    """Some series of several origins, their forecasts and the names of their origins.

    Parameters
    ----------
    series : pa.Table
        Columns of items, ``target_name`` and ``cutoff`` of each of N series.
    labels : tuple of str [N]
        Origin of each series.
    forecasts : Forecasts
        N series.
    times : pa.ChunkedArray [N * H]
        Timestamps of the steps, series by series, in the type of the predictions.
    """

    series: pa.Table
    labels: tuple[str, ...]
    forecasts: Forecasts
    times: pa.ChunkedArray


def join_parts(parts: Sequence[tuple[str, pa.Table, Forecasts]]) -> ScoredPart:
    """Return parts of files as one: the origin of each, its rows in the long layout, forecasts."""
    tables, labels = [], []
    for label, rows, forecasts in parts:
        count, horizon = forecasts.median.shape
        tables.append(series_of(rows, horizon))
        labels += [label] * count
    joined = pa.concat_tables(
        [table.replace_schema_metadata() for table in tables], promote_options="permissive"
    )
    steps = [rows.select(["timestamp"]).replace_schema_metadata() for _, rows, _ in parts]
    times = pa.concat_tables(steps, promote_options="permissive")["timestamp"]
    keys = pa.concat_tables(
        [forecasts.keys for _, _, forecasts in parts], promote_options="permissive"
    )
    return ScoredPart(
        joined.replace_schema_metadata(tables[0].schema.metadata),
        tuple(labels),
        Forecasts(
            keys.set_column(3, "row", to_arrow(np.arange(keys.num_rows))),
            np.concatenate([forecasts.median for _, _, forecasts in parts]),
            np.concatenate([forecasts.quantiles for _, _, forecasts in parts]),
            parts[0][2].levels,
        ),
        times,
    )


def series_of(rows: pa.Table, horizon: int) -> pa.Table:
    """Return the columns that name each series of predictions in the long layout, [N]."""
    first = to_arrow(np.arange(0, rows.num_rows, horizon))
    chosen = rows.take(first)
    if CUTOFF not in chosen.column_names:  # an earlier release wrote it
        chosen = chosen.append_column(CUTOFF, pa.nulls(len(first), pa.timestamp("us")))
    names = [*item_names(rows.schema), "target_name", CUTOFF]
    series = chosen.select(names)
    plain = series["target_name"].cast(pa.string())
    return series.set_column(len(names) - 2, "target_name", plain)


class Seen:
    """The series and cutoffs that a later forecast has: of two forecasts the last one counts."""

    def __init__(self) -> None:
        self._names: pa.Array = pa.array([], pa.string())

    def new(self, series: pa.Table) -> BoolArray:
        """Return which series were not there before, [N], and remember all.

        Those without a cutoff always are new.
        """
        cutoffs = series[CUTOFF].cast(pa.string())
        columns = [items_of(series).cast(pa.string()), series["target_name"], cutoffs]
        # Joined by a zero byte, which no key contains. A missing cutoff makes the name null.
        names = pc.binary_join_element_wise(*columns, pa.scalar("\0")).combine_chunks()
        numbers = names.dictionary_encode().indices
        codes = to_numpy(pc.fill_null(numbers, -1))
        is_new = np.zeros(len(codes), np.bool_)
        is_new[np.unique(codes, return_index=True)[1]] = True
        is_new &= ~to_numpy(pc.is_in(names, value_set=self._names))
        is_new |= codes < 0
        self._names = pa.concat_arrays([self._names, pc.drop_null(names)])
        return is_new


@dataclass
class Scores:
    """The rows of a partition, added part by part.

    Parameters
    ----------
    levels : tuple of float
    """

    levels: tuple[float, ...]
    _series: list[pa.Table] = field(default_factory=list)
    _steps: dict[str, list[tuple[Sums, DoubleArray]]] = field(default_factory=dict)
    _totals: dict[str, list[tuple[Sums, DoubleArray]]] = field(default_factory=dict)

    def add(
        self, part: ScoredPart, actual: FloatArray, scales: DoubleArray, rows: IntArray
    ) -> None:
        """Add the chosen series of a part.

        Parameters
        ----------
        part : ScoredPart
            N series over H steps.
        actual : float32 [N, H]
        scales : float64 [N]
        rows : int64 [M]
            Series that count.
        """
        # In the order of the labels, so that those of an origin are together.
        names, codes = np.unique(np.array(part.labels, object)[rows], return_inverse=True)
        origins = [str(name) for name in names]
        self._add_series(part, actual, scales, rows)
        steps = [
            self._sums(part, actual[:, k : k + 1], scales, slice(k, k + 1), rows, codes, len(names))
            for k in range(actual.shape[1])
        ]
        totals = self._sums(part, actual, scales, slice(None), rows, codes, len(names))
        counts = np.bincount(codes, minlength=len(names)).astype(np.float64)
        for n, origin in enumerate(origins):
            only = np.array([n])
            by_step = [sums.take(only) for sums in steps]
            entry = (stack_sums(by_step), np.full(len(steps), counts[n]))
            self._steps.setdefault(origin, []).append(entry)
            total = (totals.take(only), np.array([counts[n] * len(steps)]))
            self._totals.setdefault(origin, []).append(total)

    def _sums(  # noqa: PLR0913, PLR0917 - the parts of one comparison
        self,
        part: ScoredPart,
        actual: FloatArray,
        scales: DoubleArray,
        at: slice,
        rows: IntArray,
        codes: IntArray,
        count: int,
    ) -> Sums:
        forecasts = part.forecasts
        median, quantiles = forecasts.median[rows, at], forecasts.quantiles[rows, at]
        losses = measure(actual[rows], median, quantiles, self.levels, scales[rows])
        return add_up(losses, codes, count)

    def _add_series(
        self, part: ScoredPart, actual: FloatArray, scales: DoubleArray, rows: IntArray
    ) -> None:
        met = rows[np.isfinite(actual[rows]).any(axis=1)]
        if not len(met):
            return
        sums = self._sums(part, actual, scales, slice(None), met, np.arange(len(met)), len(met))
        named = part.series.take(to_arrow(met))
        labels = np.array(part.labels, object)[met]
        expected = np.full(len(met), actual.shape[1], np.float64)
        head = _head("series", labels, np.zeros(len(met)), len(met))
        self._series.append(
            _table({**head, **dict(zip(named.column_names, named.columns, strict=True))})
            .append_column("expected", to_arrow(expected))
            .replace_schema_metadata(part.series.schema.metadata)
        )
        self._series[-1] = _with_sums(self._series[-1], sums, self.levels)

    @property
    def origins(self) -> set[str]:
        """Origins of all parts."""
        return {*self._totals}

    def to_table(self) -> pa.Table:
        """Return all rows; the columns of series are null in those of origins and steps."""
        tables = []
        for origin in sorted(self._totals):
            total = add_sums(self._totals[origin])
            steps = add_sums(self._steps[origin])
            tables.append(self._group("origin", origin, total, np.zeros(1)))
            count = len(steps[1])
            tables.append(self._group("step", origin, steps, np.arange(1, count + 1)))
        metadata = self._series[0].schema.metadata if self._series else None
        plain = [table.replace_schema_metadata() for table in (*tables, *self._series)]
        joined = pa.concat_tables(plain, promote_options="permissive")
        return joined.replace_schema_metadata(metadata)

    def _group(
        self, kind: str, origin: str, group: tuple[Sums, DoubleArray], steps: DoubleArray | IntArray
    ) -> pa.Table:
        sums, expected = group
        count = len(expected)
        head = _head(kind, np.array([origin] * count, object), steps, count)
        return _with_sums(_table({**head, "expected": to_arrow(expected)}), sums, self.levels)


def _head(kind: str, origins: object, steps: object, count: int) -> dict[str, pa.Array]:
    return {
        "kind": text_column([kind] * count),
        "origin": text_column([str(origin) for origin in origins]),  # type: ignore[attr-defined]
        "step": to_arrow(np.asarray(steps, np.int32)),
    }


def _table(columns: dict[str, object]) -> pa.Table:
    return pa.table(columns)


def _with_sums(table: pa.Table, sums: Sums, levels: Sequence[float]) -> pa.Table:
    for name, column in _columns_of(sums, levels):
        table = table.append_column(name, to_arrow(np.ascontiguousarray(column)))
    return table


def _columns_of(sums: Sums, levels: Sequence[float]) -> Iterable[tuple[str, DoubleArray]]:
    for name in _PLAIN:
        yield name, getattr(sums, name)
    for prefix, names in _matrices(levels).items():
        values = getattr(sums, prefix)
        for place, name in enumerate(names):
            yield name, values[:, place]


def _matrices(levels: Sequence[float]) -> dict[str, list[str]]:
    names = [level_name(level) for level in levels]
    intervals = [interval_name(levels, interval) for interval in intervals_of(levels)]
    return {
        "quantile": [f"loss_{name}" for name in names],
        "below": [f"below_{name}" for name in names],
        "inside": [f"inside_{name}" for name in intervals],
    }


def read_sums(table: pa.Table, levels: Sequence[float]) -> Sums:
    """Return the sums in rows of scores, a group for each row."""
    values = {name: _doubles(table[name]) for name in _PLAIN}
    for prefix, names in _matrices(levels).items():
        columns = [_doubles(table[name]) for name in names]
        values[prefix] = np.stack(columns, axis=1) if columns else np.zeros((table.num_rows, 0))
    return Sums(**values)


def _doubles(column: pa.ChunkedArray) -> DoubleArray:
    return to_numpy(column).astype(np.float64, copy=False)


def levels_of(table: pa.Table) -> tuple[float, ...]:
    """Return the quantile levels of scores."""
    names = (name for name in table.column_names if name.startswith("loss_"))
    return tuple(float(name.removeprefix("loss_")) for name in names)


def stack_sums(parts: Sequence[Sums]) -> Sums:
    """Return the groups of all parts, one after the other."""
    names = [f.name for f in fields(Sums)]
    return Sums(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def add_sums(parts: Sequence[tuple[Sums, DoubleArray]]) -> tuple[Sums, DoubleArray]:
    """Return the sum of parts with the same groups, and of their counts."""
    sums, counts = parts[0]
    for added, more in parts[1:]:
        sums, counts = sums + added, counts + more
    return sums, counts


def group_sums(sums: Sums, codes: IntArray, count: int) -> Sums:
    """Return the sums of the rows of each group.

    Parameters
    ----------
    sums : Sums
        A group for each of R rows.
    codes : int64 [R]
        Group of each row, 0 to ``count - 1``.
    count : int
    """

    def total(values: DoubleArray) -> DoubleArray:
        added = np.zeros((count, *values.shape[1:]))
        np.add.at(added, codes, values)
        return added

    return Sums(*(total(getattr(sums, f.name)) for f in fields(Sums)))
