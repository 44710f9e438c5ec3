"""Aggregations: operations, windows, and the columns they are computed of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from gigacast.core.problem import did_you_mean
from gigacast.feature_store.definition.place import Placed, check_fields, refuse, set_field

_HOURS = {"HOURS": 1, "DAYS": 24}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with its arguments: ``Operation.SUM``, ``Operation.LAST_K(10)``.

    Parameters
    ----------
    name : str
        Name, as ``SUM`` or ``LAST_K``.
    k : int, optional
        Number of values kept (LAST_K, TOP_K, ...), bound of a count, or size of a sketch.
    percentiles : tuple of float
        Levels of APPROX_PERCENTILE, between 0 and 1; empty for other operations.
    """

    name: str
    k: int | None = None
    percentiles: tuple[float, ...] = ()

    COUNT: ClassVar["Operation"]
    SUM: ClassVar["Operation"]
    AVERAGE: ClassVar["Operation"]
    MIN: ClassVar["Operation"]
    MAX: ClassVar["Operation"]
    VARIANCE: ClassVar["Operation"]
    SKEW: ClassVar["Operation"]
    KURTOSIS: ClassVar["Operation"]
    FIRST: ClassVar["Operation"]
    LAST: ClassVar["Operation"]
    FIRST_K: ClassVar["Operation"]
    LAST_K: ClassVar["Operation"]
    TOP_K: ClassVar["Operation"]
    BOTTOM_K: ClassVar["Operation"]
    UNIQUE_COUNT: ClassVar["Operation"]
    BOUNDED_UNIQUE_COUNT: ClassVar["Operation"]
    BOUNDED_UNIQUE_COUNT_K: ClassVar["Operation"]
    APPROX_UNIQUE_COUNT: ClassVar["Operation"]
    APPROX_UNIQUE_COUNT_LGK: ClassVar["Operation"]
    HISTOGRAM: ClassVar["Operation"]
    HISTOGRAM_K: ClassVar["Operation"]
    APPROX_HISTOGRAM_K: ClassVar["Operation"]
    APPROX_PERCENTILE: ClassVar["Operation"]

    def __call__(self, *arguments: Any, k: int | None = None) -> "Operation":
        """Return the operation with arguments: ``k``, or percentiles and the size ``k``.

        Raises
        ------
        ConfigError
            If the operation takes no arguments, or not these.
        """
        if self.name == "APPROX_PERCENTILE" and len(arguments) == 1:
            levels = arguments[0]
            return Operation(self.name, self.k if k is None else k, tuple(map(float, levels)))
        sizes = (*arguments, *(() if k is None else (k,)))
        if not self.takes_k or self.percentiles or len(sizes) != 1 or not _is_whole(sizes[0]):
            raise refuse(
                f"Operation.{self.name} can't be called with these arguments",
                hint="write Operation.SUM, Operation.LAST_K(10) or "
                "Operation.APPROX_PERCENTILE([0.5, 0.9])",
            )
        return Operation(self.name, sizes[0])

    @property
    def takes_k(self) -> bool:
        """Whether the operation has a size."""
        return self.name in _SIZED

    @property
    def needs_k(self) -> bool:
        """Whether the operation has a size and no default of it."""
        return self.takes_k and _SIZED[self.name] is None

    @property
    def args(self) -> Mapping[str, Any]:
        """Arguments by name; empty for operations without."""
        arguments: dict[str, Any] = {} if self.k is None else {"k": self.k}
        return {**arguments, "percentiles": self.percentiles} if self.percentiles else arguments


_PLAIN = (
    "COUNT", "SUM", "AVERAGE", "MIN", "MAX", "VARIANCE", "SKEW", "KURTOSIS",
    "FIRST", "LAST", "UNIQUE_COUNT",
)  # fmt: skip
# Sizes that count if none is written; HISTOGRAM without a size keeps every value.
_SIZED: Mapping[str, int | None] = {
    "FIRST_K": None,
    "LAST_K": None,
    "TOP_K": None,
    "BOTTOM_K": None,
    "APPROX_HISTOGRAM_K": None,
    "HISTOGRAM": 0,
    "BOUNDED_UNIQUE_COUNT": 8,
    "APPROX_UNIQUE_COUNT": 8,
    "APPROX_PERCENTILE": 128,
}
# Spellings of the same operation that ask for a size.
_SPELLINGS = {
    "HISTOGRAM_K": "HISTOGRAM",
    "BOUNDED_UNIQUE_COUNT_K": "BOUNDED_UNIQUE_COUNT",
    "APPROX_UNIQUE_COUNT_LGK": "APPROX_UNIQUE_COUNT",
}
OPERATIONS = (*_PLAIN, *_SIZED)
"""Names of all operations."""
DELETABLE = frozenset({"COUNT", "SUM", "AVERAGE", "HISTOGRAM"})
"""Operations that take a reversed row out again; the others ignore reversals."""


def _set_operations() -> None:
    for name in _PLAIN:
        setattr(Operation, name, Operation(name))
    for name, size in _SIZED.items():
        levels = (0.5,) if name == "APPROX_PERCENTILE" else ()
        setattr(Operation, name, Operation(name, size or None, levels))
    for spelling, name in _SPELLINGS.items():
        setattr(Operation, spelling, getattr(Operation, name))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_set_operations()


class TimeUnit(StrEnum):
    """Unit of a window's length."""

    HOURS = "HOURS"
    DAYS = "DAYS"


_LONGEST_HOURS = 1000 * 366 * 24


@dataclass(frozen=True, slots=True)
class Window:
    """The time before a row that an aggregation sees.

    Parameters
    ----------
    length : int
        Number of units.
    timeUnit : TimeUnit
        Unit: hours or days.
    """

    length: int
    timeUnit: TimeUnit

    def __post_init__(self) -> None:
        if not isinstance(self.timeUnit, str) or self.timeUnit not in tuple(TimeUnit):
            raise refuse(
                f"Window: {self.timeUnit!r} is no unit", hint="write TimeUnit.HOURS or .DAYS"
            )
        set_field(self, "timeUnit", TimeUnit(self.timeUnit))
        if not _is_whole(self.length) or self.length < 1:
            raise refuse(
                f"Window: a length of {self.length!r}", hint="the shortest window is one hour"
            )
        if self.hours > _LONGEST_HOURS:
            raise refuse("Window: longer than a thousand years", hint="leave the windows out")

    @property
    def hours(self) -> int:
        """Length in hours."""
        return self.length * _HOURS[self.timeUnit]

    @property
    def milliseconds(self) -> int:
        """Length in milliseconds."""
        return self.hours * 3_600_000


def read_window(text: "Window | str") -> Window:
    """Return a window of ``7d`` or ``12h``; a window is returned as it is.

    Raises
    ------
    ConfigError
        If the text has another form.
    """
    if isinstance(text, Window):
        return text
    units = {"h": TimeUnit.HOURS, "d": TimeUnit.DAYS}
    if not isinstance(text, str) or not text[:-1].isdecimal() or text[-1:] not in units:
        raise refuse(f"{text!r} is no window", hint="write Window(7, TimeUnit.DAYS) or '7d'")
    return Window(int(text[:-1]), units[text[-1]])


def read_operation(operation: "Operation | str") -> Operation:
    """Return an operation of its name; an operation is returned as it is.

    Raises
    ------
    ConfigError
        If no operation has the name.
    """
    if isinstance(operation, Operation):
        return operation
    name = str(operation).upper()
    if name not in {*OPERATIONS, *_SPELLINGS}:
        raise refuse(
            f"{operation!r} is no operation",
            hint=did_you_mean(name, OPERATIONS) or f"one of {', '.join(OPERATIONS)}",
        )
    value: Operation = getattr(Operation, name)
    return value


@dataclass(frozen=True, slots=True)
class Aggregation(Placed):
    """An operation over a column, in one or more windows.

    Parameters
    ----------
    input_column : str
        Column to aggregate: a name in the selects of the sources.
    operation : Operation
        Operation; the last value by default.
    windows : sequence of Window, optional
        Windows, each of which gives a feature; the whole past by default.
    buckets : sequence of str, optional
        Columns by whose values the feature is divided, each into a map.
    element_wise : bool
        Whether lists are aggregated place by place, instead of over all their elements.
    tags : mapping of str to str, optional
        Notes for people; they change nothing.
    """

    input_column: str | None = None
    operation: Operation = field(default=Operation.LAST)
    windows: Sequence[Window] | None = None
    buckets: Sequence[str] | None = None
    element_wise: bool = False
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        set_field(self, "operation", read_operation(self.operation))
        if self.windows is not None:
            if not isinstance(self.windows, list | tuple):
                raise refuse(
                    "Aggregation(windows=...): expected a list", hint='write ["7d", "30d"]'
                )
            set_field(self, "windows", tuple(read_window(window) for window in self.windows))
        if self.buckets is not None:
            is_list = isinstance(self.buckets, list | tuple)
            if not is_list or not all(isinstance(name, str) for name in self.buckets):
                raise refuse(
                    "Aggregation(buckets=...): expected a list of texts", hint='write ["a"]'
                )
            set_field(self, "buckets", tuple(self.buckets))
        check_fields(self)
