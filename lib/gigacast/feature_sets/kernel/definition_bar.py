"""The kinds of features of price bars: volatility, momentum, volume."""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.frame import (
    Frame,
    RowsOf,
    Window,
    check_choice,
    check_count,
    check_window,
)
from gigacast.feature_sets.kernel.indicator import convergence, relative_strength
from gigacast.feature_sets.kernel.profile import volume_profile
from gigacast.feature_sets.kernel.volatility import ESTIMATORS, Bars

_SETTLED_STEPS = 21
"""Lengths of a recursive average after which what came before weighs less than 1e-9 (e**-21)."""


@dataclass(frozen=True, slots=True)
class Volatility:
    """Standard deviation of the log returns per bar, over windows.

    Parameters
    ----------
    window : int or str
    estimator : str
        ``close_to_close``, ``realised``, ``parkinson``, ``garman_klass``, ``rogers_satchell`` or
        ``yang_zhang``.
    bars_per_year : int, optional
        Bars of a year, to scale to annual volatility; per bar by default.
    open, high, low, close : str
        Columns of prices. The first two estimators use the close only.
    name : str, optional
    """

    window: Window
    estimator: str = "close_to_close"
    bars_per_year: int | None = None
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    name: str | None = None

    def __post_init__(self) -> None:
        check_choice("volatility: estimator", self.estimator, ESTIMATORS)
        check_window("volatility: window", self.window, 2)
        if self.bars_per_year is not None:
            check_count("volatility: bars_per_year", self.bars_per_year)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name or f"volatility_{self.estimator}_{self.window}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        if self.estimator in {"close_to_close", "realised"}:
            return (self.close,)
        return (self.open, self.high, self.low, self.close)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return rows(self.window)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        close = frame.column(self.close)
        # Estimators that use the close only must work without the other columns.
        bars = Bars(close, close, close, close)
        if self.columns != (self.close,):
            bars = Bars(*(frame.column(name) for name in self.columns))
        volatility = ESTIMATORS[self.estimator](bars, frame.offsets, frame.rows(self.window))
        return (volatility * np.sqrt(self.bars_per_year) if self.bars_per_year else volatility,)


@dataclass(frozen=True, slots=True)
class RelativeStrength:
    """Relative strength index, 0 to 100."""

    column: str = "close"
    window: Window = 14
    name: str = "rsi"

    def __post_init__(self) -> None:
        check_window("rsi: window", self.window)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name,)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return rows(self.window) * _SETTLED_STEPS

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        rows = frame.rows(self.window)
        return (relative_strength(frame.column(self.column), frame.offsets, rows),)


@dataclass(frozen=True, slots=True)
class Convergence:
    """MACD: the fast minus the slow average, its own average (signal), and their difference."""

    column: str = "close"
    fast: int = 12
    slow: int = 26
    signal: int = 9
    name: str = "macd"

    def __post_init__(self) -> None:
        for field in ("fast", "slow", "signal"):
            check_count(f"macd: {field}", getattr(self, field))
        if self.fast >= self.slow:
            raise ConfigError(f"macd: fast {self.fast} is not below slow {self.slow}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name, f"{self.name}_signal", f"{self.name}_histogram")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return (self.slow + self.signal) * _SETTLED_STEPS

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        values = frame.column(self.column)
        return tuple(convergence(values, frame.offsets, self.fast, self.slow, self.signal))


@dataclass(frozen=True, slots=True)
class Profile:
    """Distribution of volume over prices in windows: ``vwap``, ``point_of_control``, and more.

    Parameters
    ----------
    window : int or str
    price, volume : str
    bins : int
        Number of price bins of a window.
    share : float
        Share of the volume in the value area.
    prefix : str
        Prefix of the names of the columns.
    """

    window: Window
    price: str = "close"
    volume: str = "volume"
    bins: int = 24
    share: float = 0.7
    prefix: str = ""

    def __post_init__(self) -> None:
        check_window("volume_profile: window", self.window)
        check_count("volume_profile: bins", self.bins)
        if not 0 < self.share <= 1:
            raise ConfigError(f"volume_profile: share: {self.share!r} is not between 0 and 1")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        ends = ("vwap", "point_of_control", "value_area_high", "value_area_low", "total_volume")
        return tuple(f"{self.prefix}{end}" for end in ends)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.price, self.volume)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return rows(self.window) - 1

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        price, volume = frame.column(self.price), frame.column(self.volume)
        rows = frame.rows(self.window)
        return tuple(volume_profile(price, volume, frame.offsets, rows, self.bins, self.share))
