"""The kinds of features a recipe may name, as values.

Each says which columns it makes, of which, and computes them by the kernels beside this module. A
column may be a feature that stands before it in the recipe.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray
from gigacast.feature_sets.kernel.frame import (
    Frame,
    Window,
    check_choice,
    check_count,
    check_window,
)
from gigacast.feature_sets.kernel.shift import (
    difference,
    lag,
    log_return,
    relative_spread,
    simple_return,
)
from gigacast.feature_sets.kernel.window import STATISTICS, rolling_correlation

_CHANGES = {"log": log_return, "simple": simple_return, "difference": difference, "none": None}


@dataclass(frozen=True, slots=True)
class Lag:
    """A column so many rows before."""

    column: str
    steps: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("lag: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        return (self.name or f"{self.column}_lag_{self.steps}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.column,)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        return (lag(frame.column(self.column), frame.offsets, self.steps),)


@dataclass(frozen=True, slots=True)
class Rolling:
    """A statistic of a column's last rows, this one included.

    Parameters
    ----------
    column : str
    window : int or str
    statistic : {"mean", "std", "min", "max", "median", "sum"}
    min_count : int, optional
        Values a window needs; all of it when absent.
    name : str, optional
    """

    column: str
    window: Window
    statistic: str = "mean"
    min_count: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        check_choice("rolling: statistic", self.statistic, STATISTICS)
        check_window("rolling: window", self.window, 2 if self.statistic == "std" else 1)
        if self.min_count is not None:
            check_count("rolling: min_count", self.min_count)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        return (self.name or f"{self.column}_{self.statistic}_{self.window}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.column,)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        values, rows = frame.column(self.column), frame.rows(self.window)
        return (STATISTICS[self.statistic](values, frame.offsets, rows, self.min_count),)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference to so many rows before, taken ``order`` times: 1 is momentum, 2 its change."""

    column: str
    order: int = 1
    steps: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("difference: order", self.order)
        check_count("difference: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        ending = f"_{self.steps}" if self.steps > 1 else ""
        return (self.name or f"{self.column}_diff_{self.order}{ending}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.column,)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        return (difference(frame.column(self.column), frame.offsets, self.order, self.steps),)


@dataclass(frozen=True, slots=True)
class Return:
    """The relative change from so many rows before; its logarithm by default."""

    column: str
    steps: int = 1
    log: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("return: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        return (self.name or f"{self.column}_{'log_' if self.log else ''}return_{self.steps}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.column,)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        change = log_return if self.log else simple_return
        return (change(frame.column(self.column), frame.offsets, self.steps),)


@dataclass(frozen=True, slots=True)
class Spread:
    """One column less another: ask less bid, a long yield less a short one.

    With ``relative`` the difference by the middle of the two, as quotes are compared.
    """

    above: str
    below: str
    relative: bool = False
    name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        kind = "relative_spread" if self.relative else "spread"
        return (self.name or f"{self.above}_{self.below}_{kind}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.above, self.below)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        above, below = frame.column(self.above), frame.column(self.below)
        return (relative_spread(below, above) if self.relative else above - below,)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One column by another; missing where that is zero."""

    above: str
    below: str
    name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        return (self.name or f"{self.above}_by_{self.below}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.above, self.below)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        above, below = frame.column(self.above), frame.column(self.below)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = np.where(below != 0, above / below, np.nan)
        return (np.where(np.isinf(found), np.nan, found),)


@dataclass(frozen=True, slots=True)
class Correlation:
    """The correlation of two columns over windows: of two assets, or of price and volume.

    Parameters
    ----------
    column, other : str
    window : int or str
    item : str, optional
        Whose ``other`` is taken, at the same times: another asset of the panel. The row's own item
        when absent.
    of : {"log", "simple", "difference", "none"}
        Which change is correlated: log returns by default; levels of prices always look alike.
    min_count : int, optional
    name : str, optional
    """

    column: str
    other: str
    window: Window
    item: str | None = None
    of: str = "log"
    min_count: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        check_choice("correlation: of", self.of, _CHANGES)  # type: ignore[arg-type]
        check_window("correlation: window", self.window, 2)
        if self.min_count is not None:
            check_count("correlation: min_count", self.min_count, 2)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        other = f"{self.item}_{self.other}" if self.item else self.other
        return (self.name or f"{self.column}_{other}_corr_{self.window}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return (self.column, self.other)

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        x = frame.column(self.column)
        y = frame.asset(self.item, self.other) if self.item else frame.column(self.other)
        change = _CHANGES[self.of]
        if change is not None:
            x, y = change(x, frame.offsets), change(y, frame.offsets)
        rows = frame.rows(self.window)
        return (rolling_correlation(x, y, frame.offsets, rows, self.min_count),)
