"""Quality of loaded rows, and completeness of a context.

`gigacast data quality` measures whole datasets, by more criteria.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.plural import counted
from gigacast.core.time.zone import zone_of
from gigacast.errors import ConfigError, DataQualityError, IncompleteContextError
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.process import Processing, find_outliers
from gigacast.parquet_loader.rows import item_starts, last_of_key
from gigacast.series.grid import count_missing, find_frequencies, to_own_clock
from gigacast.series.rows import ItemRows


def context_problems(
    data: LoadedDataset, context_length: int | None = None, max_gaps: int = 0
) -> list[str]:
    """Return a description of the rows that a context lacks; empty if it is complete.

    Every item needs ``context_length`` rows (by default the number that was requested when the
    context was loaded), with a value for each target and feature, and at most ``max_gaps`` steps
    without a row in all.
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
    for name in _measured(data):
        missing = int(_missing(data.table.column(name)).sum())
        if missing:
            problems.append(f"{counted(missing, 'missing value')} of {name}")
    steps = np.diff(to_numpy(data.table.column(columns.timestamp).cast(pa.int64())))
    inner = np.ones(len(steps), dtype=np.bool_)
    inner[starts[1:] - 1] = False  # from the last row of an item to the first of the next
    if repeated := int((steps[inner] <= 0).sum()):
        problems.append(counted(repeated, "repeated timestamp"))
    return problems + _gaps(data, max_gaps)


def check_context(
    data: LoadedDataset, context_length: int | None = None, max_gaps: int = 0
) -> None:
    """Check that a context is complete; see `context_problems`.

    Raises
    ------
    IncompleteContextError
    """
    if problems := context_problems(data, context_length, max_gaps):
        raise IncompleteContextError(
            f"{data.symbol}: Insufficient context data for prediction: {'; '.join(problems)}",
            hint="load more months, fill missing values (parquet_loader.processing.null_handling), "
            "or allow gaps: max_gaps",
        )


def _gaps(data: LoadedDataset, max_gaps: int) -> list[str]:
    gaps = count_gaps(data)
    return [f"{counted(gaps, 'step')} without a row"] if gaps > max_gaps else []


def count_gaps(data: LoadedDataset) -> int:
    """Count the steps without a row between the first and last row of each item.

    The steps are those of the regular grid on which a forecast of the rows would put them.
    """
    if not len(data):
        return 0
    columns = data.columns
    kind = data.table.schema.field(columns.timestamp).type
    starts = item_starts(data.table, columns)
    times = to_numpy(data.table.column(columns.timestamp).cast(pa.int64()))
    numbers = to_arrow(np.arange(len(starts)))
    offsets = np.append(starts, len(times))
    items = ItemRows(numbers, offsets, times, (), np.ones(len(starts), np.bool_))
    items, _ = to_own_clock(items, zone_of(kind), None)
    inferred = find_frequencies(items, steps=not pa.types.is_timestamp(kind))
    return count_missing(items, inferred)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Shares above which loaded rows are invalid.

    Parameters
    ----------
    missing : float
        Of the values of a target or feature.
    duplicates : float
        Of the rows, those that repeat an item and time.
    gaps : float
        Of the steps between an item's first and last row, those without a row.
    outliers : float
        Of the values of a target, if the settings count outliers.
    """

    missing: float = 0.2
    duplicates: float = 0.0
    gaps: float = 0.5
    outliers: float = 0.2

    @classmethod
    def parse(cls, limits: Iterable[str]) -> "QualityLimits":
        """Return the limits of ``quality.fail`` of the settings, as ``missing=0.05``.

        Those of other measures are for `gigacast data quality`, which reads and checks them all.

        Raises
        ------
        ConfigError
            If a limit of these measures is no share.
        """
        names = {entry.name for entry in fields(cls)}
        shares: dict[str, float] = {}
        for text in limits:
            name, _, share = (part.strip() for part in text.partition("="))
            if name in names:
                shares[name] = _share_of(name, share)
        return cls(**shares)

    def with_shares(self, **shares: float | None) -> "QualityLimits":
        """Return other limits, where given."""
        return replace(self, **{name: s for name, s in shares.items() if s is not None})


def _share_of(name: str, text: str) -> float:
    if text == "never":
        return np.inf
    try:
        share = float(text)
    except ValueError:
        share = -1.0  # refused below, with numbers out of range
    if not 0 <= share < np.inf:
        raise ConfigError(f"quality.fail: {name}: {text!r} is no limit", hint="as missing=0.05")
    return share


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
    bad_files, replaced : mapping of str to str
        Files that could not be read: those left out, with the error, and those for which a file of
        a fallback root was read.
    """

    issues: tuple[str, ...]
    missing: dict[str, float]
    duplicates: int
    gaps: int
    outliers: dict[str, int]
    bad_files: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether no measure exceeds its limit."""
        return not self.issues

    def check(self, label: str) -> None:
        """Check that the rows are valid.

        Raises
        ------
        DataQualityError
            If a measure exceeds its limit; ``label`` names the rows.
        """
        if self.issues:
            raise DataQualityError(
                f"{label}: {'; '.join(self.issues)}",
                hint="`gigacast data clean` repairs rows; quality.fail has the limits",
            )


def measure_quality(
    data: LoadedDataset, limits: QualityLimits | None = None, processing: Processing | None = None
) -> LoadQuality:
    """Measure rows, and compare the measures with their limits.

    Parameters
    ----------
    data : LoadedDataset
    limits : QualityLimits, optional
    processing : Processing, optional
        Its method finds outliers; none are sought by default.
    """
    limits, rows = limits or QualityLimits(), len(data)
    if not rows:
        return LoadQuality(("there are no rows",), {}, 0, 0, {}, *_files(data))
    table, targets = data.table, data.columns.targets
    missing = {name: float(_missing(table.column(name)).mean()) for name in _measured(data)}
    duplicates = int((~last_of_key(table, data.columns)).sum())
    gaps = count_gaps(data)
    outliers = find_outliers(table, data.columns, processing) if processing is not None else {}
    filled = {name: round(rows * (1 - missing.get(name, 0.0))) for name in targets}
    issues = [
        f"{share:.1%} of {name} is missing (over {limits.missing:.4g})"
        for name, share in missing.items()
        if share > limits.missing
    ]
    if duplicates / rows > limits.duplicates:
        repeated = counted(duplicates, "repeated row")
        issues.append(f"{repeated} (over {limits.duplicates:.4g})")
    if gaps / (rows + gaps) > limits.gaps:
        steps = counted(rows + gaps, "step")
        issues.append(f"no row at {gaps} of {steps} (over {limits.gaps:.4g})")
    issues += outlier_issues(outliers, filled, limits)
    return LoadQuality(tuple(issues), missing, duplicates, gaps, outliers, *_files(data))


def outlier_issues(
    outliers: Mapping[str, int], filled: Mapping[str, int], limits: QualityLimits
) -> list[str]:
    """Return the targets with too many outliers among their known values, in words."""
    shares = {name: number / max(1, filled[name]) for name, number in outliers.items()}
    return [
        f"{share:.1%} of {name} are outliers (over {limits.outliers:.4g})"
        for name, share in shares.items()
        if share > limits.outliers
    ]


def _files(data: LoadedDataset) -> tuple[dict[str, str], dict[str, str]]:
    return dict(data.stats.bad_files), dict(data.stats.replaced)


def _measured(data: LoadedDataset) -> list[str]:
    """Return the targets and the features that the rows have, without those that hold times."""
    columns = data.columns
    names = dict.fromkeys((*columns.targets, *columns.features))
    return [n for n in names if n in data.table.column_names and n not in columns.timestamps]


def _missing(column: pa.ChunkedArray) -> BoolArray:
    missing: BoolArray = to_numpy(pc.is_null(column, nan_is_null=True))
    return missing
