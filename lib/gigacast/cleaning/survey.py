"""Survey of a partition: the measures of all rows that cleaning needs before it changes any."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.cleaning.alignment import align
from gigacast.cleaning.cleaner import CleanPlan
from gigacast.cleaning.column import ColumnSurvey, converted, samples_of
from gigacast.cleaning.contract import contract_types
from gigacast.cleaning.duplicates import Repeats, find_repeats
from gigacast.cleaning.rules import CleanRules
from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow
from gigacast.job.file_job import Reading
from gigacast.quality.columns import Expectation, arrange, measure_keys
from gigacast.quality.file import Keys, PartitionFile, expectation_of
from gigacast.quality.measures import KeyQuality
from gigacast.repair.outlier_forest import Forest, stack
from gigacast.series.columns import ANOMALY, FLAG_SUFFIX


class WorstColumn(NamedTuple):
    """The column with the most values that could not be converted, and their number."""

    name: str = ""
    unreadable: int = 0


@dataclass
class Survey:
    """Measures of a partition.

    Parameters
    ----------
    keys : Keys
        Keys of the rows, arranged by their times on the grid.
    order : KeyQuality
        Quality of the keys before cleaning, with times on the grid.
    expect : Expectation
    schema : pa.Schema
        Schema of all columns as they are cleaned: in the types of the contract, times in UTC.
    keep : bool [K], optional
        Arranged rows that stay when duplicates are dropped; ``None`` for all.
    moved : int
        Number of times that were moved to the grid.
    plan : CleanPlan
    targets : mapping of str to DataType
        Types of the contract, for columns of another type.
    narrow : mapping of str to DataType
        Columns that get a narrower type.
    unreadable : int
        Number of values that could not be converted to the types of the contract.
    worst : WorstColumn
        Column with the most of these values.
    repeats : Repeats
        Conflicting duplicates, which are dropped.
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
    worst: WorstColumn = field(default_factory=WorstColumn)
    repeats: Repeats = field(default_factory=Repeats)

    @property
    def times(self) -> IntArray:
        """Times of the arranged rows, int64 [K]."""
        return self.keys.arranged.times

    @property
    def duplicates(self) -> int:
        """Number of rows dropped because they repeat a key."""
        return 0 if self.keep is None else int(len(self.keep) - np.count_nonzero(self.keep))

    @property
    def flags(self) -> list[str]:
        """Names of the columns that are added to flag outliers."""
        if self.plan.rules.outliers != "flag":
            return []
        anomaly = [ANOMALY] if self.plan.forest is not None else []
        return [*(name + FLAG_SUFFIX for name in self.plan.fences), *anomaly]

    def clock_column(self, times: IntArray) -> pa.Array:
        """Return times as a column of the cleaned rows."""
        if self.expect.counts_steps:
            return to_arrow(times)
        return to_arrow(times).cast(pa.timestamp("us", "UTC"))

    def convert(self, rows: pa.Table) -> pa.Table:
        """Return rows in the types of the contract; values that cannot be converted are missing."""
        for name, kind in self.targets.items():
            if name in rows.schema.names:
                place = rows.schema.get_field_index(name)
                rows = rows.set_column(place, name, converted(rows.column(name), kind)[0])
        return rows


def survey_partition(file: PartitionFile, reading: Reading, rules: CleanRules) -> Survey:
    """Return the measures of a partition.

    Raises
    ------
    SchemaError, CorruptedFileError
    """
    targets = contract_types(rules.contract, file.schema, file.timestamp, file.task.partition)
    ascending = _ascends(rules, file.ids)
    original = file.keys(ascending=ascending)
    keys, moved = _on_grid(original, rules, ascending=ascending)
    expect = expectation_of(reading, file.task, keys.clock)
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
        repeats=find_repeats(file, original) if rules.duplicates != "keep" else Repeats(),
    )
    _survey_columns(survey, file)
    return survey


def _survey_columns(survey: Survey, file: PartitionFile) -> None:
    rules, keys = survey.plan.rules, survey.keys
    columns = ColumnSurvey(file, rules, survey.targets, keys.arranged, survey.keep)
    findings = list(columns.look(survey.schema))
    survey.unreadable = sum(finding.unreadable for finding in findings)
    worst = max(findings, key=lambda finding: finding.unreadable, default=None)
    if worst is not None:
        survey.worst = WorstColumn(worst.name, worst.unreadable)
    survey.narrow = {f.name: f.narrow for f in findings if f.narrow is not None}
    scales = {f.name: f.scale for f in findings if f.scale is not None}
    survey.plan = CleanPlan(
        rules,
        {f.name: f.fences for f in findings if f.fences is not None},
        # One forest for all columns, as it judges rows.
        Forest(stack(samples_of(findings)), rules.factor) if scales else None,
        scales,
    )


def _ascends(rules: CleanRules, ids: tuple[str, ...]) -> bool:
    """Return whether the contract requires the series in ascending order of their ids."""
    first = rules.contract.ordered_by[: len(ids)] if rules.contract is not None else ()
    return bool(ids) and first == ids


def _on_grid(keys: Keys, rules: CleanRules, *, ascending: bool) -> tuple[Keys, int]:
    """Return the keys with their times on the grid, and the number of times that were moved."""
    if rules.align == "none":
        return keys, 0
    assert rules.frequency is not None  # noqa: S101 - the rules were checked
    arranged = keys.arranged
    times = keys.times.copy()
    # Only rows with a key: `NO_TIME` must not be moved to a grid point.
    valid = slice(None) if arranged.order is None else arranged.order
    on_grid = align(times[valid], rules.frequency, rules.align)
    moved = int(np.count_nonzero(on_grid != times[valid]))
    times[valid] = on_grid
    if not moved:
        return keys, 0
    # Unordered rows are counted by their original times: times on the grid may be equal.
    moved_rows = arrange(keys.codes, times, ascending=ascending)
    moved_rows = replace(moved_rows, unordered=arranged.unordered)
    return replace(keys, times=times, arranged=moved_rows), moved


def _schema(
    file: PartitionFile, targets: Mapping[str, pa.DataType], *, counts_steps: bool
) -> pa.Schema:
    time = pa.int64() if counts_steps else pa.timestamp("us", "UTC")
    kinds = {field.name: _plain(field.type) for field in file.schema}
    kinds |= {**targets, file.timestamp: time}
    return pa.schema([(name, kinds[name]) for name in file.schema.names])


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is cleaned; float16 has no arithmetic."""
    return pa.float32() if pa.types.is_float16(kind) else kind


def _keep(keys: Keys, rules: CleanRules, duplicates: int) -> BoolArray | None:
    if rules.duplicates == "keep" or not duplicates:
        return None
    repeated = keys.arranged.repeated
    if rules.duplicates == "first":
        return ~repeated
    return ~np.append(repeated[1:], False)  # the last of consecutive rows with the same key
