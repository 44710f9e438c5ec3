"""The cleaner: outliers and missing values, chunk by chunk.

Chunks hold rows in the order of series and time and end anywhere. A missing value may be filled
from another chunk: the last known value is carried forward, and interpolation takes the next known
value of the series. Mostly that is in the next chunk, which is at hand. If not, all chunks are read
once more for it, so that the result is the same wherever chunks end. Filling forward reads no later
row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from gigacast.cleaning.rules import CleanRules
from gigacast.core.array import AnyArray, BoolArray, CodeArray, IntArray
from gigacast.core.column import is_number, known_floats, to_arrow
from gigacast.repair.fill import (
    Known,
    Missing,
    Numbered,
    Other,
    Sources,
    interpolate,
    source_values,
)
from gigacast.repair.outlier import Fences
from gigacast.repair.outlier_forest import Forest, Scale, stack
from gigacast.series.columns import ANOMALY, FLAG_SUFFIX
from gigacast.series.segment import run_starts


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows in the order of series and time.

    Parameters
    ----------
    rows : pa.Table [R]
        All columns but the timestamp.
    times : int64 [R]
    codes : int64 [R], optional
        Series of each row, from 0; ``None`` for a single series.
    """

    rows: pa.Table
    times: IntArray
    codes: CodeArray | None

    @property
    def starts(self) -> IntArray:
        """Positions at which the series begin, int64; the first is 0."""
        if self.codes is None or not len(self.codes):
            return np.zeros(1, np.int64)
        return run_starts(self.codes)

    def continues(self, before: "Chunk") -> bool:
        """Return whether the first series is the last series of the chunk before."""
        if self.codes is None or before.codes is None:
            return True
        return bool(self.codes[0] == before.codes[-1])


@dataclass(frozen=True)
class CleanPlan:
    """The rules, and the measures of the whole partition that they need.

    Parameters
    ----------
    rules : CleanRules
    fences : mapping of str to Fences
        Fences by column; empty if outliers are not found by fences.
    forest : Forest, optional
        Isolation forest; none by default.
    scales : mapping of str to Scale
        Scales of the columns of the forest, in their order.
    """

    rules: CleanRules
    fences: Mapping[str, Fences] = field(default_factory=dict)
    forest: Forest | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)


@dataclass
class _Prepared:
    """A chunk whose outliers are treated and whose missing values are not filled yet."""

    chunk: Chunk
    columns: dict[str, Numbered | Other]
    flags: dict[str, BoolArray]
    starts: IntArray = field(init=False)

    def __post_init__(self) -> None:
        self.starts = self.chunk.starts


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Clean rows, and their keys."""

    rows: pa.RecordBatch
    times: IntArray
    codes: CodeArray | None


class Cleaner:
    """Cleans the chunks of a partition.

    Parameters
    ----------
    plan : CleanPlan
    untouched : set of str
        Columns that do not change: the ids of the series.

    Attributes
    ----------
    counts : dict of str to int
        Number of changes: ``outliers``, ``filled``, ``dropped_outliers``, ``dropped_nulls``.
    outliers : dict of str to int
        Number of outliers by column.
    """

    def __init__(self, plan: CleanPlan, untouched: set[str]) -> None:
        self.counts: dict[str, int] = {}
        self.outliers: dict[str, int] = {}
        self._plan = plan
        self._rules = plan.rules
        self._untouched = untouched
        self._carried: dict[str, Known] = {}
        self._row = 0
        self._number = 0
        self._again: Callable[[], Iterable[Chunk]] = tuple
        self._beyond: Sequence[Mapping[str, Known]] | None = None

    def clean(self, chunks: Callable[[], Iterable[Chunk]]) -> Iterator[Cleaned]:
        """Yield clean rows, chunk by chunk.

        Parameters
        ----------
        chunks : callable
            Returns all chunks, the same at each call.
        """
        self._again = chunks
        # One chunk behind: interpolation needs the first known values of the next chunk, after its
        # outliers are treated.
        last: _Prepared | None = None
        before: Chunk | None = None
        for prepared in self._prepared(chunks()):
            if last is not None:
                yield self._finish(last, before, prepared)
                before = last.chunk
            last = prepared
        if last is not None:
            yield self._finish(last, before, None)

    def _prepared(self, chunks: Iterable[Chunk]) -> Iterator[_Prepared]:
        """Yield the chunks with treated outliers, without those that have no row left."""
        for chunk in chunks:
            prepared = self._prepare(chunk)
            if len(prepared.chunk.times):
                yield prepared

    # -- outliers ----------------------------------------------------------------------------------

    def _prepare(self, chunk: Chunk) -> _Prepared:
        columns = {name: self._read(name, chunk.rows) for name in chunk.rows.schema.names}
        flags: dict[str, BoolArray] = {}
        for name, fences in self._plan.fences.items():
            column = columns[name]
            assert isinstance(column, Numbered)  # noqa: S101 - only numbers have fences
            far = fences.beyond(column.values, chunk.codes)
            # The number stored at a missing value is undefined and may be beyond the fences.
            if column.known is not None:
                far &= column.known
            self._note(name, far)
            if self._rules.outliers == "clip" and far.any():
                columns[name] = self._clip(column, fences, chunk.codes, far)
            flags[name + FLAG_SUFFIX] = far
        if self._plan.forest is not None:
            flags[ANOMALY] = self._find_anomalies(columns, chunk)
            self._note(ANOMALY, flags[ANOMALY])
        return self._without_outliers(_Prepared(chunk, columns, flags))

    def _read(self, name: str, rows: pa.Table) -> Numbered | Other:
        column = rows.column(name)
        if name in self._untouched or not is_number(column.type):
            return Other(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
        return Numbered.read(column)

    def _clip(
        self, column: Numbered, fences: Fences, codes: CodeArray | None, far: BoolArray
    ) -> Numbered:
        rows = np.flatnonzero(far)
        values = column.values.copy()
        near = fences.clip(values[rows].astype(np.float64), None if codes is None else codes[rows])
        if values.dtype.kind in "iu":
            # Integers round towards the inside, so that no clipped value is beyond its fence.
            low, high = fences.of(None if codes is None else codes[rows])
            near = np.where(
                near == high, np.floor(near), np.where(near == low, np.ceil(near), near)
            )
        values[rows] = near
        return Numbered(values, column.known)

    def _find_anomalies(self, columns: Mapping[str, Numbered | Other], chunk: Chunk) -> BoolArray:
        forest = self._plan.forest
        assert forest is not None  # noqa: S101 - the caller checked
        scaled = []
        for name, scale in self._plan.scales.items():
            column = columns[name]
            assert isinstance(column, Numbered)  # noqa: S101 - only numbers have scales
            values = column.values.astype(np.float64)
            if column.known is not None:
                values[~column.known] = np.nan
            scaled.append(scale.apply(values, chunk.codes))
        return forest.find(stack(scaled))

    def _note(self, name: str, far: BoolArray) -> None:
        number = int(np.count_nonzero(far))
        column = name.removesuffix(FLAG_SUFFIX)
        self.outliers[column] = self.outliers.get(column, 0) + number
        self._count("outliers", number)

    def _count(self, change: str, number: int) -> None:
        if number:
            self.counts[change] = self.counts.get(change, 0) + number

    def _without_outliers(self, prepared: _Prepared) -> _Prepared:
        flags = prepared.flags
        if self._rules.outliers == "drop" and flags:
            far = np.logical_or.reduce(list(flags.values()))
            self._count("dropped_outliers", int(np.count_nonzero(far)))
            prepared = _take(prepared, ~far) if far.any() else prepared
        if self._rules.outliers != "flag":
            prepared.flags = {}
        return prepared

    # -- missing values ----------------------------------------------------------------------------

    def _finish(
        self, this: _Prepared, before: Chunk | None, following: _Prepared | None
    ) -> Cleaned:
        chunk = this.chunk
        # Values are carried over within a series only.
        if before is None or not chunk.continues(before):
            self._carried = {}
        next_part = following if following and following.chunk.continues(chunk) else None
        filled = {name: self._fill(name, this, next_part) for name in this.columns}
        self._carry(this)
        self._row += len(chunk.times)
        self._number += 1
        cleaned = _Prepared(chunk, filled, this.flags)
        if self._rules.nulls == "drop":
            cleaned = self._without_missing(cleaned)
        return _assemble(cleaned)

    def _fill(self, name: str, this: _Prepared, following: _Prepared | None) -> Numbered | Other:
        column = this.columns[name]
        is_known = column.known
        policy = self._rules.nulls
        if is_known is None or policy in {"keep", "drop"} or name in self._untouched:
            return column
        if policy == "interpolate" and isinstance(column, Other):
            return column
        missing = Missing(is_known, this.chunk.times, this.starts, self._row)
        sources = missing.before(self._carried.get(name))
        near = sources.available
        # Rows are counted over all chunks, so that a limit holds across their borders.
        if self._rules.max_fill is not None:
            near &= missing.rows + self._row - sources.rows <= self._rules.max_fill
        if policy == "forward_fill":
            return self._filled_forward(column, missing, sources, near)
        assert isinstance(column, Numbered)  # noqa: S101 - other columns were returned
        later = missing.after(None if following is None else _first_known(following, name))
        if following is not None and len(following.starts) == 1 and (near & ~later.available).any():
            later = missing.after(self._known_beyond(name))
        near &= later.available
        values = interpolate(column, this.chunk.times, missing, (sources, later), near)
        return self._placed(column, missing.rows[near], values)

    def _known_beyond(self, name: str) -> Known | None:
        """Return the next known value of a chunk's last series, in any later chunk."""
        if self._beyond is None:
            # The chunks again, as to hold them until a value is known has no bound.
            scout = Cleaner(self._plan, self._untouched)
            self._beyond = _known_after(scout._prepared(self._again()))
        return self._beyond[self._number].get(name)

    def _filled_forward(
        self, column: Numbered | Other, missing: Missing, sources: "Sources", near: BoolArray
    ) -> Numbered | Other:
        if isinstance(column, Numbered):
            values = source_values(column, sources, near)
            return self._placed(column, missing.rows[near], values)
        self._count("filled", int(near.sum()))
        kind = column.column.type
        # The carried value stands before the column, at place 0, so that one take fills all rows.
        head = pa.nulls(1, kind) if sources.outside is None else pa.repeat(sources.outside, 1)
        places = np.arange(1, len(column.column) + 1)
        places[missing.rows[near]] = sources.at[near] + 1
        return Other(pa.concat_arrays([head, column.column]).take(to_arrow(places)))

    def _placed(self, column: Numbered, rows: IntArray, values: AnyArray) -> Numbered:
        self._count("filled", len(rows))
        return column.placed(rows, values)

    def _carry(self, this: _Prepared) -> None:
        """Keep the last known value of each column in the last series for the next chunk."""
        start = int(this.starts[-1])
        carried: dict[str, Known] = {}
        for name, column in this.columns.items():
            is_known = column.known
            last = len(this.chunk.times) - 1
            if is_known is not None:
                back = int(is_known[start:][::-1].argmax())
                last = last - back if is_known[last - back] else -1
            if last >= 0:
                value = column.values[last] if isinstance(column, Numbered) else column.column[last]
                carried[name] = Known(self._row + last, int(this.chunk.times[last]), value)
            elif start == 0 and name in self._carried:
                # The series has no known value in this chunk, and began before it: the value that
                # was carried into the chunk is carried on.
                carried[name] = self._carried[name]
        self._carried = carried

    def _without_missing(self, cleaned: _Prepared) -> _Prepared:
        masks = [
            column.known
            for name, column in cleaned.columns.items()
            if name not in self._untouched and column.known is not None
        ]
        if not masks:
            return cleaned
        keep = np.logical_and.reduce(masks)
        self._count("dropped_nulls", int(len(keep) - keep.sum()))
        return _take(cleaned, keep)


def _first_known(prepared: _Prepared, name: str) -> Known | None:
    """Return the first known value of a chunk's first series."""
    column = prepared.columns[name]
    assert isinstance(column, Numbered)  # noqa: S101 - only numbers are interpolated
    stop = int(prepared.starts[1]) if len(prepared.starts) > 1 else len(column.values)
    known_rows = np.arange(1) if column.known is None else np.flatnonzero(column.known[:stop])
    if not len(known_rows):
        return None
    row = int(known_rows[0])
    return Known(row, int(prepared.chunk.times[row]), column.values[row])


def _known_after(parts: Iterable[_Prepared]) -> list[dict[str, Known]]:
    """Return the next known value of each column after each chunk, in the chunk's last series."""
    firsts: list[dict[str, Known]] = []
    continues: list[bool] = []
    is_whole: list[bool] = []
    before: Chunk | None = None
    for part in parts:
        numbers = [name for name, column in part.columns.items() if isinstance(column, Numbered)]
        known = ((name, _first_known(part, name)) for name in numbers)
        firsts.append({name: first for name, first in known if first is not None})
        continues.append(before is not None and part.chunk.continues(before))
        is_whole.append(len(part.starts) == 1)
        before = part.chunk
    after: list[dict[str, Known]] = [{} for _ in firsts]
    for number in reversed(range(len(firsts) - 1)):
        if continues[number + 1]:
            further = after[number + 1] if is_whole[number + 1] else {}
            after[number] = {**further, **firsts[number + 1]}
    return after


def _take(prepared: _Prepared, keep: BoolArray) -> _Prepared:
    # `chunk.rows` keeps all rows: from here on, values are read from `columns` only.
    chunk = prepared.chunk
    codes = None if chunk.codes is None else chunk.codes[keep]
    return _Prepared(
        Chunk(chunk.rows, chunk.times[keep], codes),
        {name: column.take(keep) for name, column in prepared.columns.items()},
        {name: flag[keep] for name, flag in prepared.flags.items()},
    )


def _assemble(cleaned: _Prepared) -> Cleaned:
    arrays = {name: column.to_arrow() for name, column in cleaned.columns.items()}
    arrays |= {name: to_arrow(flag) for name, flag in cleaned.flags.items()}
    rows = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    return Cleaned(rows, cleaned.chunk.times, cleaned.chunk.codes)


def missing_of(column: pa.Array | pa.ChunkedArray) -> int:
    """Count the values of a column that are null, NaN or infinite."""
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        _, is_known = known_floats(column)
        return len(column) - int(np.count_nonzero(is_known))
    return int(column.null_count)
