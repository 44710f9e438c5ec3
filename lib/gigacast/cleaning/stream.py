"""The cleaned rows of a partition, as a stream of batches."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.cleaning.cleaner import Chunk, Cleaned, Cleaner, missing_of
from gigacast.cleaning.contract import ContractFilter
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.survey import Survey
from gigacast.core.array import CodeArray, IntArray
from gigacast.core.column import keep_rows, to_arrow
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import NO_TIME
from gigacast.job.file_job import Reading
from gigacast.quality.columns import arranged_rows, measure_keys
from gigacast.quality.file import PartitionFile
from gigacast.quality.measures import ColumnQuality, KeyQuality, PartitionQuality
from gigacast.quality.partition import type_name
from gigacast.repair.narrow import narrow_column

_CHUNK_ROWS = 1 << 18
_CHUNK_SHARE = 16
"""A chunk takes at most this part of the memory limit, at 12 bytes per value."""
_LOSSES = ("null_keys", "duplicates", "dropped_nulls", "dropped_outliers", "broken_rows")


class CleanStream:
    """Iterable over the cleaned rows of a partition. `notes` is complete once it is exhausted.

    Parameters
    ----------
    file : PartitionFile
    survey : Survey
    reading : Reading
    rules : CleanRules

    Attributes
    ----------
    schema : pa.Schema
        Schema of the cleaned rows.
    """

    def __init__(
        self, file: PartitionFile, survey: Survey, reading: Reading, rules: CleanRules
    ) -> None:
        self._file = file
        self._survey = survey
        self._reading = reading
        self._rules = rules
        untouched = set(file.ids)
        self._cleaner = Cleaner(survey.plan, untouched)
        self._contract = ContractFilter.of(
            self._rules.contract, survey.schema, {*untouched, file.timestamp}
        )
        self.schema = self._final_schema()
        self._rows = 0
        self._missing = dict.fromkeys(file.measured, 0)
        self._clean_keys = survey.order
        self._keys: list[tuple[IntArray, CodeArray | None]] = []

    def _final_schema(self) -> pa.Schema:
        flags = [pa.field(name, pa.bool_()) for name in self._survey.flags]
        fields = [f.with_type(self._survey.narrow.get(f.name, f.type)) for f in self._survey.schema]
        return pa.schema([*fields, *flags])

    def __iter__(self) -> Iterator[pa.Table]:
        for cleaned in self._cleaner.clean(self._chunks):
            rows = self._finish(cleaned)
            if rows.num_rows:
                yield rows
        # In the thread that reads ahead, so that it runs while the last rows are being written.
        self._clean_keys = self._measure_keys()

    def _finish(self, cleaned: Cleaned) -> pa.Table:
        timestamp = self._file.timestamp
        times = self._survey.clock_column(cleaned.times)
        columns = dict(zip(cleaned.rows.schema.names, cleaned.rows.columns, strict=True))
        columns[timestamp] = times
        wide = pa.RecordBatch.from_arrays(
            [columns[name] for name in self.schema.names], names=self.schema.names
        )
        arrays = [
            narrow_column(column, field.type)
            for column, field in zip(wide.columns, self.schema, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        rows, codes, at = pa.Table.from_batches([batch]), cleaned.codes, cleaned.times
        # Checked before narrowing: the wide rows have the types of the contract.
        if self._contract is not None and not (good := self._contract.find_good(wide)).all():
            rows, at = keep_rows(batch, good), at[good]
            codes = None if codes is None else codes[good]
        self._rows += rows.num_rows
        for name in self._missing:
            self._missing[name] += missing_of(rows.column(name))
        self._keys.append((at, codes))
        return rows

    # -- chunks ------------------------------------------------------------------------------------

    def _chunks(self) -> Iterator[Chunk]:
        survey, keys = self._survey, self._survey.keys
        arranged, keep, ranks = keys.arranged, survey.keep, keys.ranks
        for start, rows in self._ordered_rows():
            stop = start + rows.num_rows
            chosen = slice(start, stop)
            times = survey.times[chosen]
            codes = None if ranks is None else ranks[chosen]
            if keep is not None and not (staying := keep[chosen]).all():
                rows = keep_rows(rows, staying)  # noqa: PLW2901 - a part of the same rows
                times, codes = times[staying], None if codes is None else codes[staying]
            yield Chunk(rows, times, codes)
        assert arranged.rows == self._file.rows  # noqa: S101 - the keys are those of the file

    def _ordered_rows(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield parts of the rows in the order of the keys, with the position where each begins."""
        arranged = self._survey.keys.arranged
        size = self._chunk_rows()
        # Rows out of order can't be streamed: the next row may be anywhere in the file.
        if not arranged.in_order:
            table = self._survey.convert(self._file.table().select(self._columns))
            for start in range(0, len(arranged.times), size):
                yield start, table.take(to_arrow(arranged.order[start : start + size]))  # type: ignore[index]
            return
        begin = row = 0
        for batch in self._file.batches(size, self._columns):
            rows = self._survey.convert(pa.Table.from_batches([batch]))
            stop = row + rows.num_rows
            # `order` ascends, so the arranged rows of this batch are a slice of it.
            if arranged.order is not None:
                low, high = np.searchsorted(arranged.order, [row, stop])
                rows = rows.take(to_arrow(arranged.order[low:high] - row))
            row = stop
            yield begin, rows
            begin += rows.num_rows

    @property
    def _columns(self) -> list[str]:
        return [name for name in self._file.schema.names if name != self._file.timestamp]

    def _chunk_rows(self) -> int:
        """Return the number of rows of a chunk, such that several chunks fit into memory."""
        limit = self._reading.memory_limit_bytes // _CHUNK_SHARE
        return int(min(_CHUNK_ROWS, max(4096, limit // (12 * max(1, len(self._file.schema))))))

    # -- notes -------------------------------------------------------------------------------------

    def notes(self, task: Task) -> dict[str, Any]:
        """Return the changes that were made, and the quality of the cleaned rows."""
        survey, entry = self._survey, task.inputs[-1]
        changes = {
            "null_keys": survey.order.null_keys,
            "sorted": survey.order.unordered,
            "duplicates": survey.duplicates,
            "moved": survey.moved,
            "unreadable": survey.unreadable,
            **self._cleaner.counts,
            "broken_rows": self._contract.dropped if self._contract is not None else 0,
            # `narrow` also holds dictionaries that are decoded to text: these get no narrower.
            "narrowed": sum(not pa.types.is_string(kind) for kind in survey.narrow.values()),
        }
        return {
            "input": {"key": entry.key, "etag": entry.etag},
            "spec": task.spec,
            "rows_read": self._file.rows,
            "changes": changes,
            "quality": self._quality(task).to_dict(),
            "lost": self._lost(changes),
            "dropped": {
                "null_keys": changes["null_keys"],
                "conflicting": survey.repeats.conflicting,
                "apart": list(survey.repeats.apart),
                "ids": list(self._file.ids),
                "unreadable": list(survey.worst),
            },
        }

    def _lost(self, changes: dict[str, int]) -> str | None:
        """Return the reason why all rows were lost; ``None`` if some remain, or there were none."""
        if self._rows or not self._file.rows:
            return None
        if (self._survey.keys.times == NO_TIME).all():
            column = self._file.column(self._file.timestamp).drop_null()
            first = f", the first is {str(column[0])!r}" if len(column) else ""
            return f"no row has a time that can be read{first}"
        reasons = ", ".join(f"{changes[name]:,} {name}" for name in _LOSSES if changes.get(name))
        return f"no row is left of {self._file.rows:,}: {reasons or 'all were dropped'}"

    def _quality(self, task: Task) -> PartitionQuality:
        # Clipped and dropped outliers are no longer in the rows.
        remaining = {} if self._rules.outliers in {"clip", "drop"} else self._cleaner.outliers
        method = self._rules.method
        columns = tuple(
            ColumnQuality(
                name=name,
                type=type_name(self.schema.field(name).type),
                values=self._rows,
                missing=self._missing[name],
                outliers={method: remaining[name]} if name in remaining else {},
            )
            for name in self._file.measured
        )
        anomalies = remaining.get("row") if method == "isolation_forest" else None
        compliance = self._contract.compliance() if self._contract is not None else None
        return PartitionQuality(task.partition, self._clean_keys, columns, compliance, anomalies)

    def _measure_keys(self) -> KeyQuality:
        """Return the quality of the keys of the cleaned rows."""
        survey = self._survey
        # If only duplicates were dropped, the measures of the survey still hold.
        if self._rows == len(survey.times) - survey.duplicates:
            doubled = survey.order.duplicates - survey.duplicates
            mended = replace(survey.order, unordered=0, null_keys=0)
            return replace(mended, rows=self._rows, duplicates=doubled)
        times = np.concatenate([at for at, _ in self._keys] or [np.empty(0, np.int64)])
        codes = None
        if survey.keys.ranks is not None:
            codes = np.concatenate([own for _, own in self._keys if own is not None])
            codes = survey.keys.arranged.codes[codes]
        self._keys = []
        quality = measure_keys(arranged_rows(codes, times), survey.expect, survey.keys.names)
        return replace(quality, unordered=0, null_keys=0)
