"""Options of jobs over files: what is expected of rows, how they are measured and cleaned.

The rules of the jobs are subclasses.
"""

from dataclasses import dataclass
from typing import Literal

from gigacast.series.source import Aggregate, PartialBins
from gigacast.settings.flag import flag
from gigacast.settings.option import Range

NullPolicy = Literal["keep", "forward_fill", "interpolate", "drop"]
OutlierPolicy = Literal["keep", "flag", "clip", "drop"]
OutlierMethod = Literal["iqr", "zscore", "isolation_forest"]
DuplicatePolicy = Literal["first", "last", "keep"]
Alignment = Literal["none", "floor", "nearest"]
_POSITIVE = Range(0, above=True)


@dataclass(frozen=True, kw_only=True)
class FileJobOptions:
    """Flags of `data quality` and `data clean`: files, calendar, limits."""

    every: bool = flag(False, "Read all snapshots or versions, not only the latest.", group="which")
    calendar: str | None = flag(
        None,
        "Times of rows: 24/7 (default), weekdays, 'mon-fri 09:30-16:00 Asia/Tokyo'.",
        group="quality",
    )
    holidays: str | None = flag(
        None, "Days without rows (commas), as 2024-12-25.", placeholder="DAYS", group="quality"
    )
    zone: str | None = flag(
        None, "Time zone of timestamps without one; UTC by default.", group="columns"
    )
    warn: tuple[str, ...] = flag(
        (),
        "Limit above which a measure warns, as missing=0.01; 'never' for none.",
        placeholder="NAME=LIMIT",
        group="quality",
    )
    fail: tuple[str, ...] = flag(
        (),
        "Limit above which a measure fails; the partition is set aside.",
        placeholder="NAME=LIMIT",
        group="quality",
    )


@dataclass(frozen=True)
class OutlierLimits:
    """Distances beyond which values and rows count as outliers."""

    iqr: float = flag(
        3.0,
        "Distance of outliers beyond the quartiles, in interquartile ranges.",
        group="quality",
        range_=_POSITIVE,
    )
    zscore: float = flag(
        5.0,
        "Distance of outliers from the mean, in standard deviations.",
        group="quality",
        range_=_POSITIVE,
    )
    forest: float | None = flag(
        None,
        "Isolation forest score above which a row is an anomaly, as 0.7; none by default.",
        placeholder="SCORE",
        group="quality",
        range_=Range(0, 1),
    )


@dataclass(frozen=True, kw_only=True)
class AccuracyOption:
    """Comparison of forecasts with the measured rows."""

    accuracy: bool = flag(
        False, "Also show the accuracy of finished forecasts, by partition.", group="quality"
    )


@dataclass(frozen=True, kw_only=True)
class CleanPolicies:
    """Rules of cleaning that are chosen by flags."""

    nulls: NullPolicy = flag(
        "forward_fill",
        "Treatment of missing values; interpolate looks ahead.",
        group="rules",
        details="`forward_fill` repeats the last value of the series, `interpolate` draws a line "
        "over time between two values, `drop` removes the row.",
    )
    max_fill: int | None = flag(
        None, "Maximum number of values to fill in a row.", group="rules", range_=Range(1)
    )
    outliers: OutlierPolicy = flag(
        "flag",
        "Treatment of outliers.",
        group="rules",
        details="`flag` marks them in an additional column, `clip` replaces them by the nearest "
        "value that is no outlier, `drop` removes the row.",
    )
    method: OutlierMethod = flag("iqr", "Method that detects outliers, per series.", group="rules")
    duplicates: DuplicatePolicy = flag(
        "last", "Row to keep among those of the same series and time.", group="rules"
    )
    align: Alignment = flag(
        "none",
        "Move times to the grid of --freq.",
        group="rules",
        details="`floor` is the grid point before, `nearest` the nearest one.",
    )
    aggregate: Aggregate | None = flag(
        None,
        "Make one row of the rows of each calendar bin of --freq, such as W-MON or MS.",
        group="rules",
        details="Columns of numbers get the operation, others the last value of the bin.",
    )
    partial_bins: PartialBins = flag(
        "drop",
        "Treatment of the first and last bin of a series that its rows do not cover.",
        group="rules",
    )
    optimise: bool = flag(True, "Use the narrowest type that holds all values.", group="rules")
    float_tolerance: float = flag(
        0.0,
        "Share by which narrowing may change a float; 0 is lossless.",
        placeholder="SHARE",
        group="rules",
    )


@dataclass(frozen=True, kw_only=True)
class CleanFlags(CleanPolicies):
    """Flags of `gigacast data clean` that are no settings."""

    outlier_limit: float | None = flag(
        None,
        "Limit of the method: by default 3 ranges (iqr), 5 deviations (zscore), 0.7 "
        "(isolation_forest).",
        placeholder="X",
        group="rules",
    )
