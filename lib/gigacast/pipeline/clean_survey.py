"""What cleaning has to know of all rows of a partition before it changes one. Imports all below."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.alignment import align
from gigacast.core.cleaning import ANOMALY, FLAG_SUFFIX, CleanRules
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.contract import Mode
from gigacast.core.contract_cast import cast_column, plain_type
from gigacast.core.quality import KeyQuality
from gigacast.errors import SchemaError
from gigacast.pipeline.clean_contract import contract_types
from gigacast.pipeline.quality_file import Keys, PartitionFile, Reading
from gigacast.pipeline.quality_partition import doubles, known_doubles
from gigacast.series.clean import CleanPlan
from gigacast.series.fill import is_number
from gigacast.series.narrow import fits_float32, narrowest_integer
from gigacast.series.outlier import Fences, iqr_fences, zscore_fences
from gigacast.series.outlier_forest import Forest, Scale, sample_rows, stack
from gigacast.series.quality import Expectation, arrange, measure_keys
from gigacast.series.quantile import RealArray
from gigacast.series.segment import BoolArray, IntArray, offsets_without, spread
from gigacast.series.timestamp import is_text

_REPEATED_SHARE = 0.05
"""Of more repeated times than this it is asked what tells them apart."""
_MAKERS = {"iqr": iqr_fences, "zscore": zscore_fences}


@dataclass
class Survey:
    """What was found.

    Parameters
    ----------
    keys : Keys
        Arranged by their times on the grid.
    order : KeyQuality
        As the rows came, but for times that were moved.
    expect : Expectation
    schema : pa.Schema
        Of all columns as they are cleaned: in the contract's types, times in UTC.
    keep : bool [K], optional
        Which arranged rows stay of those with one key; all when absent.
    moved : int
        Times that were not on the grid.
    plan : CleanPlan
    narrow : mapping of str to DataType
        Columns that get a narrower type.
    unreadable : int
        Values that could not be converted to the contract's types.
    """

    keys: Keys
    order: KeyQuality
    expect: Expectation
    schema: pa.Schema
    keep: BoolArray | None
    moved: int
    plan: CleanPlan
    targets: Mapping[str, pa.DataType] = field(default_factory=dict)
    narrow: dict[str, pa.DataType] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def times(self) -> IntArray:
        """The times of the arranged rows, int64 [K]."""
        return self.keys.arranged.times

    @property
    def duplicates(self) -> int:
        """Rows that go because their key comes twice."""
        return 0 if self.keep is None else int(len(self.keep) - np.count_nonzero(self.keep))

    @property
    def flags(self) -> list[str]:
        """The columns of marks that are added."""
        if self.plan.rules.outliers != "flag":
            return []
        anomaly = [ANOMALY] if self.plan.forest is not None else []
        return [*(name + FLAG_SUFFIX for name in self.plan.fences), *anomaly]

    def clock_column(self, times: IntArray) -> pa.Array:
        """Return times as the column they become."""
        if self.expect.counts_steps:
            return to_arrow(times)
        return to_arrow(times).cast(pa.timestamp("us", "UTC"))

    def convert(self, rows: pa.Table) -> pa.Table:
        """Return rows in the contract's types; values that have none are missing."""
        for name, kind in self.targets.items():
            if name in rows.schema.names:
                place = rows.schema.get_field_index(name)
                rows = rows.set_column(place, name, _converted(rows.column(name), kind)[0])
        return rows


def survey_partition(file: PartitionFile, reading: Reading, rules: CleanRules) -> Survey:
    """Look at a whole partition.

    Raises
    ------
    SchemaError, CorruptedFileError
    """
    targets = contract_types(rules.contract, file.schema, file.timestamp, file.task.partition)
    keys, moved = _keys(file, rules)
    if file.item_id is None:
        _check_one_item(file, keys, rules)
    expect = reading.expectation(file.task, counts_steps=keys.clock.counts_steps)
    order = measure_keys(keys.arranged, expect, keys.names)
    survey = Survey(
        keys=keys,
        order=order,
        expect=expect,
        schema=_schema(file, targets, counts_steps=expect.counts_steps),
        keep=_keep(keys, rules, order.duplicates),
        moved=moved,
        plan=CleanPlan(rules),
        targets=targets,
    )
    _Columns(file, survey, rules).look()
    return survey


def _check_one_item(file: PartitionFile, keys: Keys, rules: CleanRules) -> None:
    """Refuse to drop rows that a column nobody named tells apart: they are of many items.

    Raises
    ------
    SchemaError
    """
    repeated = int(np.count_nonzero(keys.arranged.repeated))
    if rules.duplicates == "keep" or repeated <= file.rows * _REPEATED_SHARE:
        return
    for name in file.measured:
        if not is_text(plain_type(file.schema.field(name).type)):
            continue
        codes, values = file.codes(name)
        left = int(np.count_nonzero(arrange(codes, keys.times).repeated))
        if left < repeated // 2:
            raise SchemaError(
                f"{file.task.partition}: {repeated:,} of {file.rows:,} rows have a time that came "
                f"before, and {name!r} ({len(values):,} values) tells them apart",
                hint=f"say --item_column {name}; or leave the column out, if all is one item",
            )


def _keys(file: PartitionFile, rules: CleanRules) -> tuple[Keys, int]:
    """Return the keys with their times on the grid, and how many times were not."""
    wanted = rules.contract.ordered_by[:1] if rules.contract is not None else ()
    ascending = wanted == (file.item_id,)
    keys = file.keys(ascending=ascending)
    if rules.align == "none":
        return keys, 0
    assert rules.frequency is not None  # noqa: S101 - the rules were checked
    arranged = keys.arranged
    times = keys.times.copy()
    known = slice(None) if arranged.order is None else arranged.order
    on_grid = align(times[known], rules.frequency, rules.align)
    moved = int(np.count_nonzero(on_grid != times[known]))
    times[known] = on_grid
    if not moved:
        return keys, 0
    again = replace(arrange(keys.codes, times, ascending=ascending), unordered=arranged.unordered)
    return replace(keys, times=times, arranged=again), moved


def _schema(
    file: PartitionFile, targets: Mapping[str, pa.DataType], *, counts_steps: bool
) -> pa.Schema:
    time = pa.int64() if counts_steps else pa.timestamp("us", "UTC")
    kinds = {field.name: _plain(field.type) for field in file.schema}
    kinds |= {**targets, file.timestamp: time}
    return pa.schema([(name, kinds[name]) for name in file.schema.names])


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return a type as rows are cleaned: float16 has no arithmetic."""
    return pa.float32() if pa.types.is_float16(kind) else kind


def _keep(keys: Keys, rules: CleanRules, duplicates: int) -> BoolArray | None:
    if rules.duplicates == "keep" or not duplicates:
        return None
    repeated = keys.arranged.repeated
    if rules.duplicates == "first":
        return ~repeated
    return ~np.append(repeated[1:], False)  # the last of those that follow one another


class _Columns:
    """Looks at column after column."""

    def __init__(self, file: PartitionFile, survey: Survey, rules: CleanRules) -> None:
        self._file = file
        self._survey = survey
        self._rules = rules
        self._fences: dict[str, Fences] = {}
        self._scales: dict[str, Scale] = {}
        self._samples: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
        self._offsets = survey.keys.arranged.offsets
        if survey.keep is not None:
            self._offsets = offsets_without(~survey.keep, self._offsets)
        self._chosen = sample_rows(int(self._offsets[-1]))

    def look(self) -> None:
        """Fill in the survey."""
        ids = [self._file.item_id] if self._file.item_id is not None else []
        for name in [*ids, *self._file.measured]:
            kind = self._survey.schema.field(name).type
            if pa.types.is_dictionary(kind) and not self._rules.optimise:
                self._survey.narrow[name] = kind.value_type
            looks = self._rules.outliers != "keep" or self._rules.optimise
            looks &= is_number(kind) and name not in ids
            if name not in self._survey.targets and not looks:
                continue
            column, unreadable = self._read(name, kind)
            self._survey.unreadable += unreadable
            if looks:
                self._look_at(name, column)
        forest = None
        if self._scales:
            forest = Forest(stack(self._samples), self._rules.factor)
        self._survey.plan = CleanPlan(self._rules, self._fences, forest, self._scales)

    def _read(self, name: str, kind: pa.DataType) -> tuple[pa.ChunkedArray, int]:
        column = self._file.column(name)
        return _converted(column, kind) if name in self._survey.targets else (column, 0)

    def _look_at(self, name: str, column: pa.ChunkedArray) -> None:
        if self._rules.outliers != "keep" and self._rules.method == "isolation_forest":
            self._sample(name, column)
        values, offsets, is_whole = self._known(column)
        if self._rules.optimise:
            self._narrow(name, column, values, is_whole=is_whole)
        if name in self._scales or self._rules.outliers == "keep":
            return
        make = _MAKERS[self._rules.method]
        self._fences[name] = fences = make(values, offsets, self._rules.factor)
        if self._rules.outliers == "clip" and self._is_narrowed(name):
            # what is clipped becomes its fence, which no narrow type need hold
            low, high = spread(fences.low, offsets), spread(fences.high, offsets)
            if self._rules.float_tolerance == 0 and ((values < low) | (values > high)).any():
                del self._survey.narrow[name]

    def _known(self, column: pa.ChunkedArray) -> tuple[RealArray, IntArray, bool]:
        """Return the finite values of the rows that stay, their offsets, and if none is missing."""
        arranged, keep = self._survey.keys.arranged, self._survey.keep
        values, known = known_doubles(column)
        if arranged.order is not None:
            values, known = values[arranged.order], known[arranged.order]
        if keep is not None:
            is_whole = bool(known[keep].all())
            known &= keep
        else:
            is_whole = bool(known.all())
        if known.all():
            return values, arranged.offsets, is_whole
        return values[known], offsets_without(~known, arranged.offsets), is_whole

    def _sample(self, name: str, column: pa.ChunkedArray) -> None:
        """Take some rows of a column for the forest."""
        arranged, keep = self._survey.keys.arranged, self._survey.keep
        values, offsets = doubles(column), self._offsets
        if arranged.order is not None:
            values = values[arranged.order]
        if keep is not None:
            values = values[keep]
        scale = Scale.of(values, offsets)
        self._scales[name] = scale
        of = (np.searchsorted(offsets, self._chosen, side="right") - 1).astype(np.int32)
        self._samples.append(scale.apply(values[self._chosen], of))

    def _narrow(
        self, name: str, column: pa.ChunkedArray, values: RealArray, *, is_whole: bool
    ) -> None:
        kind = column.type
        if pa.types.is_integer(kind):
            found = narrowest_integer(column)
            if found != kind:
                self._survey.narrow[name] = found
        elif pa.types.is_float64(kind) and fits_float32(values, self._rules.float_tolerance):
            # what is interpolated lies between, where no narrow number need be
            made = self._rules.nulls == "interpolate" and not is_whole
            if not made or self._rules.float_tolerance > 0:
                self._survey.narrow[name] = pa.float32()

    def _is_narrowed(self, name: str) -> bool:
        return bool(self._survey.narrow.get(name) == pa.float32())


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[pa.ChunkedArray, int]:
    """Return a column as a contract's type, and how many values have none."""
    parts, unreadable = [], 0
    for chunk in column.chunks:
        done, failed = cast_column(chunk, kind, Mode.COERCE)
        parts.append(done)
        unreadable += (
            0 if failed is None else int(np.count_nonzero(to_numpy(pc.fill_null(failed, False))))
        )
    return pa.chunked_array(parts, kind), unreadable
