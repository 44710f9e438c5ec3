"""Comparisons of values as SQL engines make them; nulls are left to the caller."""

from datetime import datetime
from decimal import Decimal
from typing import Any


def equal(first: Any, second: Any) -> bool:
    """Return whether two values are equal.

    Raises
    ------
    TypeError
        If they are of different types, other than numbers.
    """
    if type(first) is not type(second) and not (_is_number(first) and _is_number(second)):
        # Python says that they differ, and engines read a text as a number, or a day as a time.
        raise TypeError("values of different types are compared: CAST one of them")
    if isinstance(first, datetime) and (first.tzinfo is None) != (second.tzinfo is None):
        raise TypeError("a time with a zone is compared with one without")
    # In SQL NaN equals itself and is the greatest number.
    return bool(first == second or (first != first and second != second))  # noqa: PLR0124


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal)


def less(first: Any, second: Any) -> bool:
    """Return whether a value is less than another."""
    if second != second:  # noqa: PLR0124 - true for NaN alone
        return bool(first == first)  # noqa: PLR0124
    return bool(first < second)


def at_most(first: Any, second: Any) -> bool:
    """Return whether a value is less than another, or equal."""
    return not less(second, first)


def both(first: Any, second: Any) -> Any:
    """Return whether two truths hold, of which null is one that is not known."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True
