"""The rules by which rows are cleaned."""

from dataclasses import asdict, dataclass
from typing import Any

from gigacast.core.contract.definition import Contract
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError
from gigacast.quality.aggregation import Binning
from gigacast.settings.command.quality import CleanPolicies
from gigacast.settings.flag import rows_of

DEFAULT_LIMITS = {"iqr": 3.0, "zscore": 5.0, "isolation_forest": 0.7}
"""Limit by method: interquartile ranges, standard deviations, score of the forest."""


@dataclass(frozen=True, kw_only=True)
class CleanRules(CleanPolicies):
    """The rules by which rows are cleaned. All of them are part of the spec.

    `CleanPolicies` describes the rules that have a flag of their own name.

    Parameters
    ----------
    limit : float, optional
        Interquartile ranges beyond the quartiles, standard deviations from the mean, or score of
        the forest; see `DEFAULT_LIMITS`.
    frequency : Frequency, optional
        Frequency of the grid; required for ``align`` and ``aggregate``.
    zone : str, optional
        Zone of times without one; UTC by default.
    contract : Contract, optional
        Contract whose types columns are converted to; rows that break a rule are dropped.
    """

    limit: float | None = None
    frequency: Frequency | None = None
    zone: str | None = None
    contract: Contract | None = None

    def __post_init__(self) -> None:
        for row in rows_of(CleanPolicies):
            value = getattr(self, row.keyword)
            if row.choices and (value is not None or row.default is not None):
                self._check_choice(row.keyword, value, row.choices)
        if self.max_fill is not None and self.max_fill < 1:
            raise ConfigError(f"max_fill: {self.max_fill} is less than 1")
        if self.limit is not None and not self.limit > 0:
            raise ConfigError(f"outlier_limit: {self.limit} is not above 0")
        if not 0 <= self.float_tolerance < 1:
            raise ConfigError(f"float_tolerance: {self.float_tolerance} is not in 0 to 1")
        if self.outliers == "clip" and self.method == "isolation_forest":
            raise ConfigError(
                "outliers: an isolation forest flags whole rows, which cannot be clipped",
                hint="flag or drop them, or use the method iqr or zscore",
            )
        if self.align != "none" and self.frequency is None:
            raise ConfigError("align: the grid needs a frequency", hint="give --freq")
        if self.aggregate is not None and self.frequency is None:
            raise ConfigError("aggregate: the bins have no frequency", hint="give --freq")
        if self.aggregate is not None and self.align != "none":
            raise ConfigError(
                "align: the times of bins are on a grid", hint="leave out --align or --aggregate"
            )

    @property
    def factor(self) -> float:
        """Limit of the method: the given one, or its default."""
        return DEFAULT_LIMITS[self.method] if self.limit is None else self.limit

    @property
    def binning(self) -> Binning | None:
        """How rows are aggregated; ``None`` if they are not."""
        if self.aggregate is None or self.frequency is None:
            return None
        return Binning(self.aggregate, self.frequency, self.partial_bins, self.duplicates)

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as plain values."""
        left_out = {"contract", "aggregate", "partial_bins"}
        plain = {name: value for name, value in asdict(self).items() if name not in left_out}
        # Only with an aggregation, so that older spec digests stay valid.
        if self.binning is not None:
            plain["aggregate"] = self.binning.to_list()
        return {
            **plain,
            "limit": self.factor,
            "frequency": self.frequency.alias if self.frequency else None,
            "contract": self.contract.to_dict() if self.contract else None,
        }

    def _check_choice(self, name: str, value: str, choices: tuple[str, ...]) -> None:
        if value not in choices:
            raise ConfigError(f"{name}: there is no {value!r}", hint=f"one of {', '.join(choices)}")
