"""The rules by which rows are cleaned."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from gigacast.core.contract.definition import Contract
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError

NullPolicy = Literal["keep", "forward_fill", "interpolate", "drop"]
OutlierPolicy = Literal["keep", "flag", "clip", "drop"]
OutlierMethod = Literal["iqr", "zscore", "isolation_forest"]
DuplicatePolicy = Literal["first", "last", "keep"]
Alignment = Literal["none", "floor", "nearest"]
NULL_POLICIES: tuple[NullPolicy, ...] = get_args(NullPolicy)
OUTLIER_POLICIES: tuple[OutlierPolicy, ...] = get_args(OutlierPolicy)
OUTLIER_METHODS: tuple[OutlierMethod, ...] = get_args(OutlierMethod)
DUPLICATE_POLICIES: tuple[DuplicatePolicy, ...] = get_args(DuplicatePolicy)
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)
DEFAULT_LIMITS = {"iqr": 3.0, "zscore": 5.0, "isolation_forest": 0.7}
"""Limit by method: interquartile ranges, standard deviations, score of the forest."""


@dataclass(frozen=True)
class CleanRules:
    """The rules by which rows are cleaned. All of them are part of the spec.

    Parameters
    ----------
    nulls : {"keep", "forward_fill", "interpolate", "drop"}
        Treatment of missing values: ``forward_fill`` repeats the last value of the series,
        ``interpolate`` draws a line over time between two values (it looks ahead), ``drop`` removes
        the row.
    max_fill : int, optional
        Maximum number of consecutive rows to fill; no limit by default.
    outliers : {"keep", "flag", "clip", "drop"}
        Treatment of outliers: ``flag`` marks them in an additional column, ``clip`` replaces them
        by the nearest value that is no outlier, ``drop`` removes the row.
    method : {"iqr", "zscore", "isolation_forest"}
        Method that finds outliers.
    limit : float, optional
        Interquartile ranges beyond the quartiles, standard deviations from the mean, or score of
        the forest; see `DEFAULT_LIMITS`.
    duplicates : {"first", "last", "keep"}
        Row to keep of those with the same series and time.
    align : {"none", "floor", "nearest"}
        Grid point that a time is moved to: the one before it, or the nearest.
    frequency : Frequency, optional
        Frequency of the grid; required for ``align``.
    zone : str, optional
        Zone of times without one; UTC by default.
    optimise : bool
        Whether columns get the narrowest type that holds their values.
    float_tolerance : float
        Relative change of a value that is allowed when a float column is narrowed.
    contract : Contract, optional
        Contract whose types columns are converted to; rows that break a rule are dropped.
    """

    nulls: NullPolicy = "forward_fill"
    max_fill: int | None = None
    outliers: OutlierPolicy = "flag"
    method: OutlierMethod = "iqr"
    limit: float | None = None
    duplicates: DuplicatePolicy = "last"
    align: Alignment = "none"
    frequency: Frequency | None = None
    zone: str | None = None
    optimise: bool = True
    float_tolerance: float = 0.0
    contract: Contract | None = field(default=None)

    def __post_init__(self) -> None:
        self._check_choice("nulls", self.nulls, NULL_POLICIES)
        self._check_choice("outliers", self.outliers, OUTLIER_POLICIES)
        self._check_choice("method", self.method, OUTLIER_METHODS)
        self._check_choice("duplicates", self.duplicates, DUPLICATE_POLICIES)
        self._check_choice("align", self.align, ALIGNMENTS)
        if self.max_fill is not None and self.max_fill < 1:
            raise ConfigError(f"max_fill: {self.max_fill} is less than 1")
        if self.limit is not None and self.limit <= 0:
            raise ConfigError(f"limit: {self.limit} is not above 0")
        if not 0 <= self.float_tolerance < 1:
            raise ConfigError(f"float_tolerance: {self.float_tolerance} is not in 0 to 1")
        if self.outliers == "clip" and self.method == "isolation_forest":
            raise ConfigError(
                "outliers: an isolation forest flags whole rows, which cannot be clipped",
                hint="flag or drop them, or use the method iqr or zscore",
            )
        if self.align != "none" and self.frequency is None:
            raise ConfigError("align: the grid needs a frequency", hint="give --freq")

    @property
    def factor(self) -> float:
        """Limit of the method: the given one, or its default."""
        return DEFAULT_LIMITS[self.method] if self.limit is None else self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as plain values."""
        plain = {name: value for name, value in asdict(self).items() if name != "contract"}
        return {
            **plain,
            "limit": self.factor,
            "frequency": self.frequency.alias if self.frequency else None,
            "contract": self.contract.to_dict() if self.contract else None,
        }

    def _check_choice(self, name: str, value: str, choices: tuple[str, ...]) -> None:
        if value not in choices:
            raise ConfigError(f"{name}: there is no {value!r}", hint=f"one of {', '.join(choices)}")
