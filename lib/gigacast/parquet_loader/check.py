"""How good loaded rows are, and what a context lacks.

For rows at hand; `gigacast data quality` measures whole datasets, and more.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray
from gigacast.core.column import to_numpy
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.rows import item_starts, last_of_key
from gigacast.series.reader import read_series


def context_problems(
    data: LoadedDataset, context_length: int | None = None, max_gaps: int = 0
) -> list[str]:
    """Return what a context lacks, in words; nothing when it is complete.

    Every item needs ``context_length`` rows (those asked for when absent), each a step after the
    one before (but for ``max_gaps`` steps in all), with a value for each target.
    """
    length = context_length or getattr(data, "context_length", None) or 1
    own = data.columns
    if len(data) == 0:
        return ["there are no rows"]
    starts = item_starts(data.table, own)
    counts = np.diff(np.append(starts, len(data)))
    problems = []
    if (counts < length).any():
        problems.append(f"{int(counts.min())} rows of the {length} asked for")
    for name in own.targets:
        missing = int(_missing(data.table.column(name)).sum())
        if missing:
            problems.append(f"{missing} missing values of {name}")
    steps = np.diff(to_numpy(data.table.column(own.timestamp).cast(pa.int64())))
    inner = np.ones(len(steps), dtype=np.bool_)
    inner[starts[1:] - 1] = False
    if (steps[inner] <= 0).any():
        problems.append(f"{int((steps[inner] <= 0).sum())} timestamps that come twice")
    return problems + _gaps(data, max_gaps)


def _gaps(data: LoadedDataset, most: int) -> list[str]:
    gaps = count_gaps(data)
    return [f"{gaps} steps without a row"] if gaps > most else []


def count_gaps(data: LoadedDataset) -> int:
    """Return how many steps of the regular grid have no row, as the readers count them."""
    reader = read_series([data.source()], data.read_options(len(data)))
    for _ in reader:
        pass
    return int(reader.stats.gaps)


@dataclass(frozen=True)
class LoadQuality:
    """How good loaded rows are.

    Parameters
    ----------
    issues : tuple of str
        What is worse than allowed, in words.
    missing : mapping of str to float
        Share of the values that are missing, by target and feature.
    duplicates, gaps : int
        Rows whose item and time came before; steps without a row.
    outliers : mapping of str to int
        By target, where the settings have them counted.
    """

    issues: tuple[str, ...]
    missing: dict[str, float]
    duplicates: int
    gaps: int
    outliers: dict[str, int]

    @property
    def is_valid(self) -> bool:
        """Whether nothing is worse than allowed."""
        return not self.issues


def measure_quality(
    data: LoadedDataset,
    max_missing: float = 0.2,
    max_duplicates: float = 0.0,
    max_gaps: float = 0.5,
) -> LoadQuality:
    """Measure rows, and hold them against the shares that are allowed.

    Parameters
    ----------
    data : LoadedDataset
    max_missing : float
        Of the values of any target or feature.
    max_duplicates, max_gaps : float
        Of the rows; of the steps between each item's first row and its last.
    """
    rows, own = len(data), data.columns
    if not rows:
        return LoadQuality(("there are no rows",), {}, 0, 0, {})
    names = [name for name in (*own.targets, *own.features) if name in data.table.column_names]
    missing = {name: float(_missing(data.table.column(name)).mean()) for name in names}
    duplicates = int((~last_of_key(data.table, own)).sum())
    gaps = count_gaps(data)
    issues = [
        f"{share:.1%} of {name} is missing (over {max_missing:.4g})"
        for name, share in missing.items()
        if share > max_missing
    ]
    if duplicates / rows > max_duplicates:
        issues.append(f"{duplicates} rows come twice (over {max_duplicates:.4g})")
    if gaps / (rows + gaps) > max_gaps:
        issues.append(f"{gaps} of {rows + gaps} steps have no row (over {max_gaps:.4g})")
    return LoadQuality(tuple(issues), missing, duplicates, gaps, dict(data.stats.outliers))


def _missing(column: pa.ChunkedArray) -> BoolArray:
    found: BoolArray = to_numpy(pc.is_null(column, nan_is_null=True))
    return found
