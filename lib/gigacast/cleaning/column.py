"""Survey of the columns of a partition: fences, and the narrowest type that holds the values.

Columns are independent of one another, so several are surveyed at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.cleaning.rules import CleanRules
from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.column import is_number, to_numpy
from gigacast.core.contract.cast import cast_column
from gigacast.core.contract.definition import Mode
from gigacast.quality.columns import Arranged
from gigacast.quality.file import PartitionFile
from gigacast.repair.narrow import fits_float32, narrowest_integer
from gigacast.repair.outlier import Fences, iqr_fences, zscore_fences
from gigacast.repair.outlier_forest import Scale, sample_rows
from gigacast.series.segment import offsets_without, spread
from gigacast.series.value import doubles, known_doubles

_MAKERS: dict[str, Callable[[DoubleArray, IntArray, float], Fences]] = {
    "iqr": iqr_fences,
    "zscore": zscore_fences,
}


@dataclass(frozen=True)
class Finding:
    """Findings on a column.

    Parameters
    ----------
    name : str
    unreadable : int
        Number of values that could not be converted to the contract's type.
    narrow : DataType, optional
        Narrowest type that holds all values; ``None`` if it is the column's.
    fences : Fences, optional
        Fences of the column's series; ``None`` if outliers are not found by fences.
    scale, sample : Scale and float64 [S], optional
        Scale of the column, and scaled values to train an isolation forest on; ``None`` if outliers
        are not found by a forest.
    """

    name: str
    unreadable: int = 0
    narrow: pa.DataType | None = None
    fences: Fences | None = None
    scale: Scale | None = None
    sample: DoubleArray | None = None


class ColumnSurvey:
    """Surveys the columns of a partition.

    Parameters
    ----------
    file : PartitionFile
    rules : CleanRules
    targets : mapping of str to DataType
        Types of the contract, for columns of another type.
    arranged : Arranged
        The rows in the order of their keys.
    keep : bool [K], optional
        Arranged rows that stay; all by default.
    """

    def __init__(
        self,
        file: PartitionFile,
        rules: CleanRules,
        targets: Mapping[str, pa.DataType],
        arranged: Arranged,
        keep: BoolArray | None,
    ) -> None:
        self._file = file
        self._rules = rules
        self._targets = targets
        self._arranged = arranged
        self._keep = keep
        self._offsets = arranged.offsets
        if keep is not None:
            self._offsets = offsets_without(~keep, self._offsets)
        self._grows_forest = rules.outliers != "keep" and rules.method == "isolation_forest"
        self._chosen = sample_rows(int(self._offsets[-1]))

    def look(self, schema: pa.Schema) -> Iterator[Finding]:
        """Yield the findings on each column, in their order.

        Parameters
        ----------
        schema : pa.Schema
            Schema of the columns as they are cleaned.
        """
        fields = [schema.field(name) for name in (*self._file.ids, *self._file.measured)]
        at_once = min(pa.cpu_count(), len(fields), self._file.columns_at_once)
        if at_once < 2:
            yield from map(self._find, fields)
            return
        with ThreadPoolExecutor(at_once, thread_name_prefix="gigacast-column") as pool:
            yield from pool.map(self._find, fields)

    def _find(self, field: pa.Field) -> Finding:
        name, kind = field.name, field.type
        # Without `optimise` columns keep plain types: dictionaries are decoded.
        decodes = pa.types.is_dictionary(kind) and not self._rules.optimise
        narrow = kind.value_type if decodes else None
        needs_values = self._rules.outliers != "keep" or self._rules.optimise
        needs_values &= is_number(kind) and name not in self._file.ids
        if name not in self._targets and not needs_values:
            return Finding(name, narrow=narrow)
        column, unreadable = self._file.column(name), 0
        if name in self._targets:
            column, unreadable = converted(column, kind)
        if not needs_values:
            return Finding(name, unreadable, narrow)
        return self._survey_values(name, column, unreadable)

    def _survey_values(self, name: str, column: pa.ChunkedArray, unreadable: int) -> Finding:
        values, offsets, is_complete = self._known(column)
        narrow = self._narrowest(column, values, is_complete=is_complete)
        if self._grows_forest:
            scale, sample = self._sample(column)
            return Finding(name, unreadable, narrow, scale=scale, sample=sample)
        if self._rules.outliers == "keep":
            return Finding(name, unreadable, narrow)
        fences = _MAKERS[self._rules.method](values, offsets, self._rules.factor)
        if self._rules.outliers == "clip" and narrow == pa.float32():
            # A clipped value becomes its fence, which a float32 may not hold without loss.
            low, high = spread(fences.low, offsets), spread(fences.high, offsets)
            if self._rules.float_tolerance == 0 and ((values < low) | (values > high)).any():
                narrow = None
        return Finding(name, unreadable, narrow, fences)

    def _known(self, column: pa.ChunkedArray) -> tuple[DoubleArray, IntArray, bool]:
        """Return the finite values of the rows that stay, their offsets, and if all are finite."""
        arranged, keep = self._arranged, self._keep
        values, is_known = known_doubles(column)
        if arranged.order is not None:
            values, is_known = values[arranged.order], is_known[arranged.order]
        is_complete = bool(is_known.all() if keep is None else is_known[keep].all())
        if keep is not None:
            is_known &= keep
        if is_known.all():
            return values, arranged.offsets, is_complete
        return values[is_known], offsets_without(~is_known, arranged.offsets), is_complete

    def _sample(self, column: pa.ChunkedArray) -> tuple[Scale, DoubleArray]:
        """Return the scale of a column, and its scaled values in the sampled rows, [S]."""
        values, offsets = doubles(column), self._offsets
        if self._arranged.order is not None:
            values = values[self._arranged.order]
        if self._keep is not None:
            values = values[self._keep]
        scale = Scale.of(values, offsets)
        codes = (np.searchsorted(offsets, self._chosen, side="right") - 1).astype(np.int32)
        return scale, scale.apply(values[self._chosen], codes)

    def _narrowest(
        self, column: pa.ChunkedArray, values: DoubleArray, *, is_complete: bool
    ) -> pa.DataType | None:
        kind = column.type
        if not self._rules.optimise:
            return None
        if pa.types.is_integer(kind):
            narrowest = narrowest_integer(column)
            return narrowest if narrowest != kind else None
        if pa.types.is_float64(kind) and fits_float32(values, self._rules.float_tolerance):
            # An interpolated value lies between two float32 values, but need not be one itself.
            interpolates = self._rules.nulls == "interpolate" and not is_complete
            return pa.float32() if not interpolates or self._rules.float_tolerance > 0 else None
        return None


def samples_of(findings: Sequence[Finding]) -> list[DoubleArray]:
    """Return the samples to train an isolation forest on, by column."""
    return [finding.sample for finding in findings if finding.sample is not None]


def converted(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[pa.ChunkedArray, int]:
    """Return a column in a contract's type, and the number of values that cannot be converted."""
    parts, unreadable = [], 0
    for chunk in column.chunks:
        part, failed = cast_column(chunk, kind, Mode.COERCE)
        parts.append(part)
        if failed is not None:
            unreadable += int(np.count_nonzero(to_numpy(pc.fill_null(failed, False))))
    return pa.chunked_array(parts, kind), unreadable
