"""Conditions of values beyond their type, written as ``Annotated[int, Limits(1)]``."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

LARGEST_FLOAT = 1.7976931348623157e308  # of float64; as a limit it excludes infinity


@dataclass(frozen=True, slots=True)
class Limits:
    """The least and the greatest number accepted. NaN and infinity are always refused."""

    low: float = -LARGEST_FLOAT
    high: float = LARGEST_FLOAT


@dataclass(frozen=True, slots=True)
class Fits:
    """A test that a value must pass, and a noun phrase for messages that says what is expected."""

    test: Callable[[Any], object]
    expected: str


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Annotations of some keys of a mapping; its other keys may hold anything."""

    known: Mapping[str, Any]
    required: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReadAs:
    """The annotation of the stored form, and the function that makes the value from it."""

    stored: Any
    make: Callable[[Any], Any]


def is_time(text: str) -> bool:
    """Whether a text is a date or time in ISO 8601."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def moment_of(text: str) -> datetime:
    """Return the moment of a stored time; a time without a zone is in UTC, as all are written."""
    moment = datetime.fromisoformat(text)
    # A time without a zone could not be subtracted from the clock, which has one.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Count = Annotated[int, Limits(0)]
"""A whole number from 0 on."""

Amount = Annotated[float, Limits(0)]
"""A finite number from 0 on."""

Time = Annotated[str, Fits(is_time, "a time in ISO 8601")]

Text = Annotated[str, ReadAs(str | int | float | bool | date, str)]
"""Text that YAML may read as another scalar: ``version: 1`` becomes ``"1"``."""

Names = Annotated[
    tuple[str, ...],
    ReadAs(str | tuple[str, ...], lambda names: (names,) if isinstance(names, str) else names),
]
"""A tuple of names; a single name may be stored as text instead of a list."""
