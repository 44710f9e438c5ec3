"""Quality of loaded rows, and completeness of a context.

`gigacast data quality` measures whole datasets, by more criteria.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray
from gigacast.core.column import to_numpy
from gigacast.core.plural import counted
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.rows import item_starts, last_of_key
from gigacast.series.reader import read_series


def context_problems(
    data: LoadedDataset, context_length: int | None = None, max_gaps: int = 0
) -> list[str]:
    """Return a description of the rows that a context lacks; empty if it is complete.

    Every item needs ``context_length`` rows (by default the number that was requested when the
    context was loaded), with a value for each target, and at most ``max_gaps`` steps without a row
    in all.
    """
    length = context_length or getattr(data, "context_length", None) or 1
    columns = data.columns
    if len(data) == 0:
        return ["there are no rows"]
    starts = item_starts(data.table, columns)
    counts = np.diff(np.append(starts, len(data)))
    problems = []
    if (counts < length).any():
        problems.append(f"{counted(int(counts.min()), 'row')} of the {length} requested")
    for name in columns.targets:
        missing = int(_missing(data.table.column(name)).sum())
        if missing:
            problems.append(f"{counted(missing, 'missing value')} of {name}")
    steps = np.diff(to_numpy(data.table.column(columns.timestamp).cast(pa.int64())))
    inner = np.ones(len(steps), dtype=np.bool_)
    inner[starts[1:] - 1] = False  # from the last row of an item to the first of the next
    if repeated := int((steps[inner] <= 0).sum()):
        problems.append(counted(repeated, "repeated timestamp"))
    return problems + _gaps(data, max_gaps)


def _gaps(data: LoadedDataset, max_gaps: int) -> list[str]:
    gaps = count_gaps(data)
    return [f"{counted(gaps, 'step')} without a row"] if gaps > max_gaps else []


def count_gaps(data: LoadedDataset) -> int:
    """Count the steps of the regular grid that have no row, as the readers count them."""
    # The gaps are those that a forecast of the rows would fill, so its readers count them.
    # Duplicates are counted by themselves, so here they are no error.
    options = replace(data.read_options(len(data)), duplicates="mean")
    reader = read_series([data.source()], options)
    for _ in reader:
        pass
    return int(reader.stats.gaps)


@dataclass(frozen=True)
class LoadQuality:
    """Quality of loaded rows.

    Parameters
    ----------
    issues : tuple of str
        Measures that exceed their limits, in words.
    missing : mapping of str to float
        Share of missing values, by target and feature.
    duplicates, gaps : int
        Number of rows that repeat an item and time; number of steps without a row.
    outliers : mapping of str to int
        Number of outliers by target; empty unless the settings count them.
    """

    issues: tuple[str, ...]
    missing: dict[str, float]
    duplicates: int
    gaps: int
    outliers: dict[str, int]

    @property
    def is_valid(self) -> bool:
        """Whether no measure exceeds its limit."""
        return not self.issues


def measure_quality(
    data: LoadedDataset,
    max_missing: float = 0.2,
    max_duplicates: float = 0.0,
    max_gaps: float = 0.5,
) -> LoadQuality:
    """Measure rows, and compare the measures with their limits.

    Parameters
    ----------
    data : LoadedDataset
    max_missing : float
        Share of the values of a target or feature that may be missing.
    max_duplicates, max_gaps : float
        Share of the rows that may repeat an item and time; share of the steps between an item's
        first and last row that may lack a row.
    """
    rows, columns = len(data), data.columns
    if not rows:
        return LoadQuality(("there are no rows",), {}, 0, 0, {})
    names = [
        name for name in (*columns.targets, *columns.features) if name in data.table.column_names
    ]
    missing = {name: float(_missing(data.table.column(name)).mean()) for name in names}
    duplicates = int((~last_of_key(data.table, columns)).sum())
    gaps = count_gaps(data)
    issues = [
        f"{share:.1%} of {name} is missing (over {max_missing:.4g})"
        for name, share in missing.items()
        if share > max_missing
    ]
    if duplicates / rows > max_duplicates:
        issues.append(f"{counted(duplicates, 'repeated row')} (over {max_duplicates:.4g})")
    if gaps / (rows + gaps) > max_gaps:
        issues.append(f"no row at {gaps} of {counted(rows + gaps, 'step')} (over {max_gaps:.4g})")
    return LoadQuality(tuple(issues), missing, duplicates, gaps, dict(data.stats.outliers))


def _missing(column: pa.ChunkedArray) -> BoolArray:
    missing: BoolArray = to_numpy(pc.is_null(column, nan_is_null=True))
    return missing
