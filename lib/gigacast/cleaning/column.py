"""What cleaning has to know of each column: fences, and its narrowest type.

No column has to know of another: those of a partition that is held are looked at side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
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

_MAKERS = {"iqr": iqr_fences, "zscore": zscore_fences}


@dataclass(frozen=True)
class Finding:
    """What was found of a column.

    Parameters
    ----------
    name : str
    unreadable : int
        Values that could not be converted to the contract's type.
    narrow : DataType, optional
        What holds all values, where that is narrower.
    fences : Fences, optional
        Of columns whose outliers lie beyond them.
    scale, sample : Scale and float64 [S], optional
        Of columns that an isolation forest looks at.
    """

    name: str
    unreadable: int = 0
    narrow: pa.DataType | None = None
    fences: Fences | None = None
    scale: Scale | None = None
    sample: DoubleArray | None = None


class ColumnSurvey:
    """Looks at the columns of a partition.

    Parameters
    ----------
    file : PartitionFile
    rules : CleanRules
    targets : mapping of str to DataType
        The contract's types of columns that have another.
    arranged : Arranged
        The rows in the order of their keys.
    keep : bool [K], optional
        Which of them stay; all when absent.
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
        """Yield a finding for each column there is something to say of, in their order.

        Parameters
        ----------
        schema : pa.Schema
            Of the columns as they are cleaned.
        """
        ids = [self._file.item_id] if self._file.item_id is not None else []
        fields = [schema.field(name) for name in (*ids, *self._file.measured)]
        side_by_side = min(pa.cpu_count(), len(fields), self._file.columns_at_once)
        if side_by_side < 2:
            yield from map(self._find, fields)
            return
        with ThreadPoolExecutor(side_by_side, thread_name_prefix="gigacast-column") as pool:
            yield from pool.map(self._find, fields)

    def _find(self, field: pa.Field) -> Finding:
        name, kind = field.name, field.type
        decodes = pa.types.is_dictionary(kind) and not self._rules.optimise
        narrow = kind.value_type if decodes else None
        looks = self._rules.outliers != "keep" or self._rules.optimise
        looks &= is_number(kind) and name != self._file.item_id
        if name not in self._targets and not looks:
            return Finding(name, narrow=narrow)
        column, unreadable = self._file.column(name), 0
        if name in self._targets:
            column, unreadable = converted(column, kind)
        if not looks:
            return Finding(name, unreadable, narrow)
        return self._look_at(name, column, unreadable)

    def _look_at(self, name: str, column: pa.ChunkedArray, unreadable: int) -> Finding:
        values, offsets, is_whole = self._known(column)
        narrow = self._narrowest(column, values, is_whole=is_whole)
        if self._grows_forest:
            scale, sample = self._sample(column)
            return Finding(name, unreadable, narrow, scale=scale, sample=sample)
        if self._rules.outliers == "keep":
            return Finding(name, unreadable, narrow)
        fences = _MAKERS[self._rules.method](values, offsets, self._rules.factor)
        if self._rules.outliers == "clip" and narrow == pa.float32():
            # what is clipped becomes its fence, which no narrow type need hold
            low, high = spread(fences.low, offsets), spread(fences.high, offsets)
            if self._rules.float_tolerance == 0 and ((values < low) | (values > high)).any():
                narrow = None
        return Finding(name, unreadable, narrow, fences)

    def _known(self, column: pa.ChunkedArray) -> tuple[DoubleArray, IntArray, bool]:
        """Return the finite values of the rows that stay, their offsets, and if none is missing."""
        arranged, keep = self._arranged, self._keep
        values, known = known_doubles(column)
        if arranged.order is not None:
            values, known = values[arranged.order], known[arranged.order]
        is_whole = bool(known.all() if keep is None else known[keep].all())
        if keep is not None:
            known &= keep
        if known.all():
            return values, arranged.offsets, is_whole
        return values[known], offsets_without(~known, arranged.offsets), is_whole

    def _sample(self, column: pa.ChunkedArray) -> tuple[Scale, DoubleArray]:
        """Return some rows of a column for the forest, scaled, and how."""
        values, offsets = doubles(column), self._offsets
        if self._arranged.order is not None:
            values = values[self._arranged.order]
        if self._keep is not None:
            values = values[self._keep]
        scale = Scale.of(values, offsets)
        of = (np.searchsorted(offsets, self._chosen, side="right") - 1).astype(np.int32)
        return scale, scale.apply(values[self._chosen], of)

    def _narrowest(
        self, column: pa.ChunkedArray, values: DoubleArray, *, is_whole: bool
    ) -> pa.DataType | None:
        kind = column.type
        if not self._rules.optimise:
            return None
        if pa.types.is_integer(kind):
            found = narrowest_integer(column)
            return found if found != kind else None
        if pa.types.is_float64(kind) and fits_float32(values, self._rules.float_tolerance):
            # what is interpolated lies between, where no narrow number need be
            made = self._rules.nulls == "interpolate" and not is_whole
            return pa.float32() if not made or self._rules.float_tolerance > 0 else None
        return None


def samples_of(findings: Sequence[Finding]) -> list[DoubleArray]:
    """Return what an isolation forest grows from, column after column."""
    return [found.sample for found in findings if found.sample is not None]


def converted(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[pa.ChunkedArray, int]:
    """Return a column as a contract's type, and how many values have none."""
    parts, unreadable = [], 0
    for chunk in column.chunks:
        done, failed = cast_column(chunk, kind, Mode.COERCE)
        parts.append(done)
        if failed is not None:
            unreadable += int(np.count_nonzero(to_numpy(pc.fill_null(failed, False))))
    return pa.chunked_array(parts, kind), unreadable
