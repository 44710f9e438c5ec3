"""Which rows are wanted, as a value: it masks rows, and rules out what cannot hold any.

The form is the one pyarrow and pandas take: a list of ``(column, operator, value)`` that must all
hold, or a list of such lists of which one must. A row whose value is missing matches nothing.
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
"""The least and the greatest value."""

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
    """One comparison of a column with a value, or with several (``in``, ``not in``)."""

    column: str
    operator: str
    value: Any

    def mask(self, column: pa.Array | pa.ChunkedArray) -> Any:
        """Return which rows match, boolean [N]; missing values are false."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        try:
            if self.operator in {"in", "not in"}:
                values = pa.array(list(self.value)).cast(column.type)
                found = pc.is_in(column, value_set=values)
                if self.operator == "in":
                    return pc.and_(found, column.is_valid())
                return pc.and_(pc.invert(found), column.is_valid())
            value = _scalar(self.value, column.type)
            return pc.fill_null(_COMPARE[self.operator](column, value), fill_value=False)
        except pa.ArrowException as error:
            raise self._incomparable(str(column.type)) from error

    def may_match(self, bounds: Bounds) -> bool:
        """Whether any value between the bounds can match; true when that cannot be told."""
        low, high = bounds
        try:
            return self._overlaps(low, high)
        except (TypeError, ValueError):
            return True

    def _overlaps(self, low: Any, high: Any) -> bool:
        if self.operator in {"!=", "not in"} and isinstance(low, float):
            return True  # bounds say nothing of NaN, which is unlike every value
        if self.operator == "not in":
            return not (low == high and any(_like(v, low) == low for v in self.value))
        if self.operator == "in":
            values = [_like(value, low) for value in self.value]
            return any(value != value or low <= value <= high for value in values)  # noqa: PLR0124
        value = _like(self.value, low)
        match self.operator:
            case "==":
                found = low <= value <= high
            case "!=":
                found = not (low == high == value)
            case "<":
                found = low < value
            case "<=":
                found = low <= value
            case ">":
                found = high > value
            case _:
                found = high >= value
        return bool(found)

    def _incomparable(self, kind: str) -> ConfigError:
        return ConfigError(
            f"the filter {self.column} {self.operator} {self.value!r} does not fit a {kind} column"
        )


@dataclass(frozen=True, slots=True)
class Predicate:
    """Alternatives, each of conditions that must all hold.

    Examples
    --------
    >>> wanted = Predicate.parse([("close", ">", 2.0)])
    >>> wanted.mask(pa.table({"close": [1.0, 3.0, None]})).to_pylist()
    [False, True, False]
    >>> wanted.may_match({"close": (0.0, 1.5)})
    False
    """

    alternatives: tuple[tuple[Condition, ...], ...]

    @classmethod
    def parse(cls, filters: Filters | None) -> "Predicate | None":
        """Read filters; ``None`` and an empty list ask for everything.

        Raises
        ------
        ConfigError
            When a filter is not ``(column, operator, value)``.
        """
        if not filters:
            return None
        nested = filters if _is_nested(filters) else [filters]
        return cls(tuple(tuple(_condition(one) for one in group) for group in nested))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at, in the order they are named."""
        names = (one.column for group in self.alternatives for one in group)
        return tuple(dict.fromkeys(names))

    def mask(self, table: pa.Table | pa.RecordBatch) -> Any:
        """Return which rows match, boolean [N]."""
        masks = [
            _all_of([one.mask(table.column(one.column)) for one in group], table.num_rows)
            for group in self.alternatives
        ]
        found = masks[0]
        for mask in masks[1:]:
            found = pc.or_(found, mask)
        return found

    def may_match(self, bounds: Mapping[str, Bounds]) -> bool:
        """Whether a set of rows with these bounds can hold a match.

        A column that is not among them says nothing.
        """
        return any(
            all(one.may_match(bounds[one.column]) for one in group if one.column in bounds)
            for group in self.alternatives
        )

    def settle(self, values: Mapping[str, Any]) -> "tuple[bool, Predicate | None]":
        """Decide what can be decided when some columns are the same in all rows.

        Parameters
        ----------
        values : mapping
            The value of each such column; ``None`` where it is missing.

        Returns
        -------
        bool
            Whether any row can match.
        Predicate or None
            What is left to look at; ``None`` when all rows match, or none can.
        """
        left = []
        for group in self.alternatives:
            known = [one for one in group if one.column in values]
            if not all(_holds(one, values[one.column]) for one in known):
                continue
            rest = tuple(one for one in group if one.column not in values)
            if not rest:
                return True, None
            left.append(rest)
        return bool(left), Predicate(tuple(left)) if left else None


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(condition.value, str) and not isinstance(value, str | date):
        value = str(value)  # the folder asset=007 was read as a number
    found = condition.mask(pa.array([value]))
    return bool(found[0].as_py())


def _all_of(masks: list[Any], rows: int) -> Any:
    if not masks:
        return pa.array([True] * rows)
    found = masks[0]
    for mask in masks[1:]:
        found = pc.and_(found, mask)
    return found


def _is_nested(filters: Any) -> bool:
    first = filters[0]
    return not (isinstance(first, tuple | list) and first and isinstance(first[0], str))


def _condition(entry: Any) -> Condition:
    hint = f"write (column, operator, value); the operators are {', '.join(_OPERATORS)}"
    if not isinstance(entry, tuple | list) or len(entry) != 3 or not isinstance(entry[0], str):
        raise ConfigError(f"{entry!r} is no filter", hint=hint)
    column, operator, value = entry
    operator = "==" if operator == "=" else operator
    if operator not in _OPERATORS:
        raise ConfigError(f"{entry!r}: no operator {operator!r}", hint=hint)
    if operator in {"in", "not in"} and (isinstance(value, str) or not _is_collection(value)):
        raise ConfigError(f"{entry!r}: {operator!r} takes a list of values", hint=hint)
    return Condition(column, operator, value)


def _is_collection(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset)


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return a filter's value in a column's type: text and dates compare with timestamps."""
    found = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    if found.type == kind:
        return found
    if pa.types.is_timestamp(kind) and pa.types.is_string(found.type):
        return pa.scalar(_moment(str(value)), type=kind)
    if pa.types.is_floating(found.type) and pa.types.is_integer(kind):
        return found  # 1.5 against integers: pyarrow compares both as floats
    return found.cast(kind)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"a filter compares times with {text!r}", hint="write it as 2024-01-31 or with a time"
        ) from error


def _like(value: Any, bound: Any) -> Any:
    """Return a filter's value as it compares with a bound."""
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
