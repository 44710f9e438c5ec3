"""The task of a quality job: measure a partition and write the figures.

The keys are measured first, then one column after the other. The output holds figures and no
verdict, so that thresholds can change without reading a partition again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from gigacast.core.array import DoubleArray
from gigacast.core.column import is_number
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.contract.report import MISSING_COLUMN, TYPE
from gigacast.core.partition.task import Task
from gigacast.datasets.check import BATCH_ROWS, RowSource, check_rows
from gigacast.job.file_job import Reading
from gigacast.job.file_worker import FileOutput, FilePlaces, FileWorker
from gigacast.job.worker import Stopwatch
from gigacast.quality.aggregation import Binned, Binning, aggregate_partition
from gigacast.quality.columns import measure_keys, time_text
from gigacast.quality.file import Keys, PartitionFile, expectation_of, open_partition
from gigacast.quality.measures import (
    BinCounts,
    ColumnQuality,
    Compliance,
    KeyQuality,
    PartitionQuality,
)
from gigacast.repair.outlier import iqr_fences, zscore_fences
from gigacast.repair.outlier_forest import Forest, Scale, require_forest, sample_rows, stack
from gigacast.series.value import doubles, read_values
from gigacast.settings.command.quality import OutlierLimits
from gigacast.storage.store import Store

FOREST_ROWS = 1 << 16
"""Rows scored at a time: the bound of the memory for scores."""


@dataclass(frozen=True)
class Measures(OutlierLimits):
    """The measures of a partition; all of them are part of the spec.

    Parameters
    ----------
    contract : Contract, optional
        Contract to check; none by default.
    mode : Mode
        Mode of the contract's check.
    binning : Binning, optional
        Aggregation of the rows before they are measured; none by default.
    """

    contract: Contract | None = None
    mode: Mode = Mode.STRICT
    binning: Binning | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the measures as JSON values."""
        contract = self.contract.to_dict() if self.contract else None
        plain = {**asdict(self), "contract": contract, "mode": str(self.mode)}
        del plain["binning"]
        # Only with an aggregation, so that older spec digests stay valid.
        return plain if self.binning is None else plain | {"aggregate": self.binning.to_list()}


@dataclass(frozen=True)
class QualitySetup:
    """A picklable recipe for the worker of a quality job."""

    places: FilePlaces
    measures: Measures

    def __call__(self) -> "PartitionInspector":
        """Open the stores and return the worker."""
        if self.measures.forest is not None:
            require_forest()  # a missing library fails the run at once, not every task
        return PartitionInspector(self)


class PartitionInspector(FileWorker):
    """Measures one partition per call."""

    job = "quality"

    def __init__(self, setup: QualitySetup) -> None:
        super().__init__(setup.places)
        self._measures = setup.measures

    def make(self, task: Task, watch: Stopwatch) -> FileOutput:
        """Measure a partition and write the figures."""
        with open_partition(self._inputs, task, self._reading) as file:
            quality = measure_partition(self._inputs, file, self._reading, self._measures, watch)
            compliance = self._comply(file, watch)
        quality = replace(quality, compliance=compliance)
        text = json.dumps(quality.to_dict(), indent=1, ensure_ascii=False, default=str)
        content = text.encode()
        # Without a condition: figures of a former state of the partition are replaced.
        etag = self._outputs.put_unless_equal(task.output_key, content)
        entry = {"key": task.output_key, "etag": etag, "size_bytes": len(content), "rows": 1}
        keys = quality.keys
        return FileOutput(entry, keys.rows, keys.series, keys.newest_timestamp)

    def _comply(self, file: PartitionFile, watch: Stopwatch) -> Compliance | None:
        contract = self._measures.contract
        if contract is None:
            return None
        with watch.measure("contract"):
            return measure_compliance(file, contract, self._measures.mode)


def measure_partition(
    store: Store, file: PartitionFile, reading: Reading, measures: Measures, watch: Stopwatch
) -> PartitionQuality:
    """Return the measures of a partition, without its compliance with a contract.

    With an aggregation its bins are measured, but rows are counted as they are stored.
    """
    with watch.measure("keys"):
        if measures.binning is None:
            keys = file.keys()
            expect = expectation_of(reading, file.task, keys.clock)
            order = measure_keys(keys.arranged, expect, keys.names)
        else:
            binned = aggregate_partition(store, file, reading, measures.binning)
            file, keys = binned.file, binned.file.keys()
            order = _measure_bins(binned, keys)
    survey = _Survey(keys, measures)
    with watch.measure("columns"):
        columns = tuple(survey.add(name, file.column(name)) for name in file.measured)
        anomalies = survey.find_anomalies(file) if measures.forest is not None else None
    return PartitionQuality(file.task.partition, order, columns, None, anomalies)


def _measure_bins(binned: Binned, keys: Keys) -> KeyQuality:
    """Return the gaps of bins, and the duplicates, the order and the extent of their rows."""
    lost, rows = binned.lost, binned.keys.arranged
    order = measure_keys(keys.arranged, binned.expect, keys.names)
    ends = (int(rows.times.min()), int(rows.times.max())) if len(rows.times) else None
    first, last = (time_text(time, binned.expect) for time in ends) if ends else (None, None)
    return replace(
        order,
        rows=lost.rows,
        series=len(rows.codes),
        null_keys=lost.null_keys,
        duplicates=int(np.count_nonzero(rows.repeated)),
        unordered=lost.unordered,
        first=first,
        last=last,
        bins=BinCounts(order.rows, lost.partial_bins, lost.partial_rows, lost.carried),
    )


@dataclass
class _Survey:
    """The columns of a partition measured so far, with their scales for the forest."""

    keys: Keys
    measures: Measures
    scales: dict[str, Scale] = field(default_factory=dict)

    def add(self, name: str, column: pa.ChunkedArray) -> ColumnQuality:
        """Return the figures of a column."""
        if not is_number(column.type):
            missing = int(column.null_count)
            return ColumnQuality(name, type_name(column.type), len(column), missing)
        values = ordered_values(column, self.keys)
        # Rows without a key are not among the arranged values. Their missing values count as well.
        all_values = values if self.keys.arranged.order is None else doubles(column)
        missing = int(len(all_values) - np.count_nonzero(np.isfinite(all_values)))
        arranged = self.keys.arranged
        ranks = self.keys.ranks
        outliers = {}
        for method, make, limit in (
            ("iqr", iqr_fences, self.measures.iqr),
            ("zscore", zscore_fences, self.measures.zscore),
        ):
            far = make(values, arranged.offsets, limit).beyond(values, ranks)
            outliers[method] = int(np.count_nonzero(far & np.isfinite(values)))
        if self.measures.forest is not None:
            self.scales[name] = Scale.of(values, arranged.offsets)
        return ColumnQuality(name, type_name(column.type), len(column), missing, outliers)

    def find_anomalies(self, file: PartitionFile) -> int:
        """Return the number of rows that an isolation forest scores as anomalies."""
        forest = grow_forest(file, self.keys, self.scales, self.measures.forest or 1.0)
        names, start, anomalies = list(self.scales), 0, 0
        ranks, has_key = self.keys.row_ranks
        for batch in file.batches(FOREST_ROWS, names):
            rows = slice(start, start + batch.num_rows)
            of = None if ranks is None else ranks[rows]
            scaled = [
                scale.apply(read_values(batch.column(name)).astype(np.float64), of)
                for name, scale in self.scales.items()
            ]
            apart = forest.find(stack(scaled))
            # The batches have all rows of the file, but rows without a key belong to no series.
            anomalies += int(np.count_nonzero(apart if has_key is None else apart & has_key[rows]))
            start += batch.num_rows
        return anomalies


def grow_forest(file: PartitionFile, keys: Keys, scales: dict[str, Scale], limit: float) -> Forest:
    """Return an isolation forest over the columns with scales, grown from a sample of the rows."""
    chosen, ranks = sample_rows(len(keys.arranged.times)), keys.ranks
    of = None if ranks is None else ranks[chosen]
    columns = [
        scale.apply(ordered_values(file.column(name), keys)[chosen], of)
        for name, scale in scales.items()
    ]
    return Forest(stack(columns), limit)


def ordered_values(column: pa.ChunkedArray, keys: Keys) -> DoubleArray:
    """Return the numbers of a column in the order of the keys, float64 [K]; NaN where missing."""
    values, order = doubles(column), keys.arranged.order
    return values if order is None else values[order]


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type; for a dictionary, that of its values."""
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the types of values in place of dictionaries."""
    kinds = (
        (f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema
    )
    return pa.schema(list(kinds))


def measure_compliance(file: PartitionFile, contract: Contract, mode: Mode) -> Compliance:
    """Return the compliance of a partition with a contract."""
    plain = plain_schema(file.schema)

    def rows(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        names = plain.names if columns is None else list(columns)
        schema = pa.schema([plain.field(name) for name in names])
        for batch in file.batches(BATCH_ROWS, names):
            yield batch.select(names).cast(schema)

    report = check_rows(RowSource(plain, rows), contract, mode)
    # Other rules count by rows: a column counts as bad only if no row of it can comply.
    structural = {v.column for v in report.violations if v.rule in {MISSING_COLUMN, TYPE}}
    return Compliance(
        contract=contract.name,
        bad_rows=report.bad_rows,
        columns=len(contract.columns),
        bad_columns=len(structural),
        violations=tuple(
            {"column": v.column, "rule": v.rule, "count": v.count, "detail": v.detail}
            for v in report.violations
        ),
    )
