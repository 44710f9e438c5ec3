"""The kinds of features of a recipe.

Each kind names the columns it computes and those it is computed from. The latter may be earlier
features of the recipe.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray
from gigacast.feature_sets.kernel.frame import (
    Frame,
    RowsOf,
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
    """A column ``steps`` rows earlier."""

    column: str
    steps: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("lag: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name or f"{self.column}_lag_{self.steps}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return self.steps

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        return (lag(frame.column(self.column), frame.offsets, self.steps),)


@dataclass(frozen=True, slots=True)
class Rolling:
    """A statistic of the last rows of a column, this row included.

    Parameters
    ----------
    column : str
    window : int or str
    statistic : {"mean", "std", "min", "max", "median", "sum"}
    min_count : int, optional
        Number of values that a window needs; the length of the window by default.
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
        """Names of the computed columns."""
        return (self.name or f"{self.column}_{self.statistic}_{self.window}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return rows(self.window) - 1

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        values, rows = frame.column(self.column), frame.rows(self.window)
        return (STATISTICS[self.statistic](values, frame.offsets, rows, self.min_count),)


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference to ``steps`` rows earlier, taken ``order`` times (2 is the change of momentum)."""

    column: str
    order: int = 1
    steps: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("difference: order", self.order)
        check_count("difference: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        ending = f"_{self.steps}" if self.steps > 1 else ""
        return (self.name or f"{self.column}_diff_{self.order}{ending}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return self.order * self.steps

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        return (difference(frame.column(self.column), frame.offsets, self.order, self.steps),)


@dataclass(frozen=True, slots=True)
class Return:
    """Relative change since ``steps`` rows earlier; its logarithm by default."""

    column: str
    steps: int = 1
    log: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        check_count("return: steps", self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name or f"{self.column}_{'log_' if self.log else ''}return_{self.steps}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column,)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return self.steps

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        change = log_return if self.log else simple_return
        return (change(frame.column(self.column), frame.offsets, self.steps),)


@dataclass(frozen=True, slots=True)
class Spread:
    """One column minus another, such as ask minus bid, or a long yield minus a short yield.

    With ``relative`` the difference is divided by the mean of the two, as for quotes.
    """

    above: str
    below: str
    relative: bool = False
    name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        kind = "relative_spread" if self.relative else "spread"
        return (self.name or f"{self.above}_{self.below}_{kind}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.above, self.below)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return 0

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        above, below = frame.column(self.above), frame.column(self.below)
        return (relative_spread(below, above) if self.relative else above - below,)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One column divided by another; missing where the divisor is zero."""

    above: str
    below: str
    name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        return (self.name or f"{self.above}_by_{self.below}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.above, self.below)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        return 0

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        above, below = frame.column(self.above), frame.column(self.below)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            ratio = np.where(below != 0, above / below, np.nan)
        # A ratio beyond float64 counts as missing, like every infinite value.
        return (np.where(np.isinf(ratio), np.nan, ratio),)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of two columns over windows: of two assets, or of price and volume.

    Parameters
    ----------
    column, other : str
    window : int or str
    item : str, optional
        Item whose column ``other`` is taken, at the same times; the row's own item by default.
    of : {"log", "simple", "difference", "none"}
        Change that is correlated; log returns by default, as price levels always look correlated.
    min_count : int, optional
        Number of rows that a window needs; the length of the window by default.
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
        """Names of the computed columns."""
        second = f"{self.item}_{self.other}" if self.item else self.other
        return (self.name or f"{self.column}_{second}_corr_{self.window}",)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        return (self.column, self.other)

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        # A change takes one row more than the level.
        return rows(self.window) - int(self.of == "none")

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        x = frame.column(self.column)
        # Taken at the times of this item first, so that the changes of both span the same steps.
        y = frame.asset(self.item, self.other) if self.item else frame.column(self.other)
        change = _CHANGES[self.of]
        if change is not None:
            x, y = change(x, frame.offsets), change(y, frame.offsets)
        rows = frame.rows(self.window)
        return (rolling_correlation(x, y, frame.offsets, rows, self.min_count),)
