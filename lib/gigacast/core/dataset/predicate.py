"""Filters of rows: a mask of the matching rows, and a check whether a file can contain any.

A filter has the form of pyarrow and pandas: a list of ``(column, operator, value)`` that must all
hold, or a list of such lists, of which one must hold. A row with a missing value never matches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import ConfigError

Filters = Sequence[tuple[str, str, Any]] | Sequence[Sequence[tuple[str, str, Any]]]
Bounds = tuple[Any, Any]
"""Least and greatest value of a column."""

_COMPARE: Mapping[str, Callable[..., Any]] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_OPERATORS = (*_COMPARE, "in", "not in")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a column with a value, or with several (``in``, ``not in``)."""

    column: str
    operator: str
    value: Any

    def mask(self, column: pa.Array | pa.ChunkedArray) -> Any:
        """Return the mask of matching rows, boolean [N]; False for missing values."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        try:
            if self.operator in {"in", "not in"}:
                values = pa.array(list(self.value)).cast(column.type)
                is_in = pc.is_in(column, value_set=values)
                # `is_in` treats null as a value; a filter matches no missing value.
                if self.operator == "in":
                    return pc.and_(is_in, column.is_valid())
                return pc.and_(pc.invert(is_in), column.is_valid())
            value = _scalar(self.value, column.type)
            return pc.fill_null(_COMPARE[self.operator](column, value), fill_value=False)
        except pa.ArrowException as error:
            raise self._incomparable(str(column.type)) from error

    def may_match(self, bounds: Bounds) -> bool:
        """Check whether any value between the bounds can match; True if this is unknown."""
        low, high = bounds
        try:
            return self._overlaps(low, high)
        except (TypeError, ValueError):
            return True

    def _overlaps(self, low: Any, high: Any) -> bool:
        # Bounds of floats leave NaN out, and NaN differs from every value.
        if self.operator in {"!=", "not in"} and isinstance(low, float):
            return True
        if self.operator == "not in":
            return not (low == high and any(_like(v, low) == low for v in self.value))
        if self.operator == "in":
            # value != value is NaN, which pyarrow's is_in finds although the bounds leave it out.
            values = [_like(value, low) for value in self.value]
            return any(value != value or low <= value <= high for value in values)  # noqa: PLR0124
        value = _like(self.value, low)
        match self.operator:
            case "==":
                overlaps = low <= value <= high
            case "!=":
                overlaps = not (low == high == value)
            case "<":
                overlaps = low < value
            case "<=":
                overlaps = low <= value
            case ">":
                overlaps = high > value
            case _:
                overlaps = high >= value
        return bool(overlaps)

    def _incomparable(self, kind: str) -> ConfigError:
        return ConfigError(
            f"the filter {self.column} {self.operator} {self.value!r} does not fit a {kind} column"
        )


@dataclass(frozen=True, slots=True)
class Predicate:
    """Alternatives, each of which is a group of conditions that must all hold.

    Examples
    --------
    >>> predicate = Predicate.parse([("close", ">", 2.0)])
    >>> predicate.mask(pa.table({"close": [1.0, 3.0, None]})).to_pylist()
    [False, True, False]
    >>> predicate.may_match({"close": (0.0, 1.5)})
    False
    """

    alternatives: tuple[tuple[Condition, ...], ...]

    @classmethod
    def parse(cls, filters: Filters | None) -> "Predicate | None":
        """Return the predicate of filters; ``None`` if there are none, so that all rows match.

        Raises
        ------
        ConfigError
            If a filter is not ``(column, operator, value)``.
        """
        if not filters:
            return None
        nested = filters if _is_nested(filters) else [filters]
        if not all(isinstance(group, Sequence) for group in nested):
            raise ConfigError(
                "filters: expected lists of (column, operator, value)", hint='as [("a", ">", 0)]'
            )
        return cls(tuple(tuple(_condition(entry) for entry in group) for group in nested))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the conditions, in their order."""
        names = (condition.column for group in self.alternatives for condition in group)
        return tuple(dict.fromkeys(names))

    def mask(self, table: pa.Table | pa.RecordBatch) -> Any:
        """Return the mask of matching rows, boolean [N]."""
        masks = [
            _all_of([c.mask(table.column(c.column)) for c in group], table.num_rows)
            for group in self.alternatives
        ]
        matches = masks[0]
        for mask in masks[1:]:
            matches = pc.or_(matches, mask)
        return matches

    def may_match(self, bounds: Mapping[str, Bounds]) -> bool:
        """Check whether rows with these bounds can contain a match.

        A column without bounds can have any value.
        """
        return any(
            all(c.may_match(bounds[c.column]) for c in group if c.column in bounds)
            for group in self.alternatives
        )

    def settle(self, values: Mapping[str, Any]) -> "tuple[bool, Predicate | None]":
        """Evaluate the conditions on columns that have the same value in all rows of a folder.

        Parameters
        ----------
        values : mapping
            Value of each such column; ``None`` for a missing value.

        Returns
        -------
        bool
            Whether any row can match.
        Predicate or None
            Conditions that remain to be tested on the rows; ``None`` if all rows match or none
            can.
        """
        remaining = []
        for group in self.alternatives:
            constant = [condition for condition in group if condition.column in values]
            if not all(_holds(condition, values[condition.column]) for condition in constant):
                continue
            variable = tuple(condition for condition in group if condition.column not in values)
            if not variable:
                return True, None
            remaining.append(variable)
        return bool(remaining), Predicate(tuple(remaining)) if remaining else None


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    # A folder such as asset=700 is read as a number, but the column may be text.
    if isinstance(condition.value, str) and not isinstance(value, str | date):
        value = str(value)
    mask = condition.mask(pa.array([value]))
    return bool(mask[0].as_py())


def _all_of(masks: list[Any], rows: int) -> Any:
    if not masks:
        return pa.array([True] * rows)
    matches = masks[0]
    for mask in masks[1:]:
        matches = pc.and_(matches, mask)
    return matches


def _is_nested(filters: Any) -> bool:
    first = filters[0]
    return not (isinstance(first, tuple | list) and first and isinstance(first[0], str))


def _condition(entry: Any) -> Condition:
    hint = f"write (column, operator, value); the operators are {', '.join(_OPERATORS)}"
    if not isinstance(entry, tuple | list) or len(entry) != 3 or not isinstance(entry[0], str):
        raise ConfigError(f"{entry!r} is not a filter", hint=hint)
    column, operator, value = entry
    operator = "==" if operator == "=" else operator
    if operator not in _OPERATORS:
        raise ConfigError(f"{entry!r}: unknown operator {operator!r}", hint=hint)
    if operator in {"in", "not in"} and (isinstance(value, str) or not _is_collection(value)):
        raise ConfigError(f"{entry!r}: {operator!r} takes a list of values", hint=hint)
    return Condition(column, operator, value)


def _is_collection(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset)


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return a filter's value in the type of a column. Text and dates may stand for timestamps."""
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    if scalar.type == kind:
        return scalar
    if pa.types.is_timestamp(kind) and pa.types.is_string(scalar.type):
        return pa.scalar(_moment(str(value)), type=kind)
    # 1.5 is not cast to an integer: pyarrow compares both as floats.
    if pa.types.is_floating(scalar.type) and pa.types.is_integer(kind):
        return scalar
    return scalar.cast(kind)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"a filter compares times with {text!r}, which is not a time",
            hint="write it as 2024-01-31 or with a time",
        ) from error


def _like(value: Any, bound: Any) -> Any:
    """Return a filter's value in a type that can be compared with a bound."""
    if isinstance(bound, datetime):
        if isinstance(value, str):
            value = _moment(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - zoned below
        if hasattr(value, "to_pydatetime"):
            value = value.to_pydatetime()
        if bound.tzinfo is not None and value.tzinfo is None:
            value = value.replace(tzinfo=bound.tzinfo)
        return value
    if isinstance(bound, date) and isinstance(value, datetime):
        return value.date() if value.time() == value.time().min else value
    if isinstance(bound, date) and isinstance(value, str):
        return _moment(value).date()
    return value
