"""Forms: which plain values an annotation takes, and what they become.

`form_of` compiles the annotations of a dataclass or named tuple, `checker_of` those of any value.
Understood are text, numbers, flags, dates, ``None``, ``Any``, unions, ``Literal``, enumerations,
lists, tuples, mappings by text, dataclasses (stored as mappings) and named tuples (stored as lists
or mappings), and ``Annotated`` with a mark of `core.mark`.
"""

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from enum import Enum
from functools import cache, partial, reduce
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from gigacast.core.mark import LARGEST_FLOAT, Fits, Keys, Limits, ReadAs
from gigacast.core.problem import FormError, describe
from gigacast.errors import GigacastError

Check = Callable[[Any], Any]
"""Returns a value as the record holds it, or raises `FormError`."""


class Taken(NamedTuple):
    """The values that an annotation takes.

    Parameters
    ----------
    checks : mapping of type to Check
        The check of each exact type; ``None`` takes a value as it is.
    expected : str
        A noun phrase, for messages.
    other : Check, optional
        The check of every other type; ``None`` takes a value as it is.
    """

    checks: Mapping[type, Check | None]
    expected: str
    other: Check | None


def _taken(checks: Mapping[type, Check | None], expected: str) -> Taken:
    return Taken(checks, expected, partial(_take_other, checks, expected))


_LEAST, _GREATEST = -(2**63), 2**64 - 1
_FAILURES = (GigacastError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What a constructor or converter may raise about a value that it can't use."""


# -- records ---------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One key of a record, with the checks of its value as `Taken` has them."""

    name: str
    is_required: bool
    checks: Mapping[type, Check | None]
    other: Check | None


class Form:
    """The keys of a record, and how it is made from them.

    Compiled once per class. Closing a run reads thousands of receipts, so a value costs one look-up
    by its exact type and at most one call; everything rarer happens after that look-up failed.
    """

    def __init__(self, kind: type, fields: tuple[Field, ...]) -> None:
        self.names = tuple(field.name for field in fields)
        self._fields = fields
        self._new = _constructor(kind)

    def make(
        self, values: Any, *, required: Collection[str] = (), ignore_unknown: bool = False
    ) -> Any:
        """Return the record made from a mapping; see `core.record.read_record`."""
        if not isinstance(values, Mapping):
            raise FormError(f"expected a mapping, got {describe(values)}")
        for name in required:
            if name not in values:
                raise FormError("missing", name)
        made = {}
        try:
            for name, is_required, checks, other in self._fields:
                if name in values:
                    value = values[name]
                    check = checks.get(type(value), other)
                    made[name] = value if check is None else check(value)
                elif is_required:
                    _refuse_missing()
        except FormError as problem:
            raise problem.within(name) from problem.__cause__
        if len(made) < len(values) and not ignore_unknown:
            unknown = next(name for name in values if name not in self.names)
            raise FormError("unknown key", unknown, hint=f"known keys: {', '.join(self.names)}")
        return _call(self._new, made)

    def make_in_order(self, values: list[Any]) -> Any:
        """Return the record made from a list of its values."""
        if len(values) > len(self.names):
            raise FormError(f"expected {len(self.names)} values, got {len(values)}")
        return self.make(dict(zip(self.names, values, strict=False)))


def _constructor(kind: Any) -> Callable[..., Any]:
    """Return the function that makes a record from its fields.

    The generated ``__init__`` of a frozen dataclass sets each field by a call: half the time of
    reading a receipt. Without ``__post_init__`` and slots, filling the instance's dictionary at
    once does the same.
    """
    is_plain = dataclasses.is_dataclass(kind) and not hasattr(kind, "__post_init__")
    if not is_plain or hasattr(kind, "__slots__"):
        return lambda values: kind(**values)
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    defaults = {f.name: f.default for f in fields if f.default is not missing}
    factories = [(f.name, f.default_factory) for f in fields if f.default_factory is not missing]

    def new(values: dict[str, Any]) -> Any:
        record = object.__new__(kind)
        filled = defaults | values
        for name, factory in factories:
            if name not in filled:
                filled[name] = factory()
        record.__dict__.update(filled)
        return record

    return new


def _refuse_missing() -> NoReturn:
    raise FormError("missing")


def _call(function: Callable[[Any], Any], value: Any) -> Any:
    """Call a constructor or converter; what it refuses is a problem of the value."""
    try:
        return function(value)
    except GigacastError as error:
        raise FormError(error.message, hint=error.hint) from error
    except _FAILURES as error:
        raise FormError(str(error) or type(error).__name__) from error


@cache
def form_of(kind: Any) -> Form:
    """Return the form of a dataclass or named tuple."""
    hints = get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        stored = [field for field in dataclasses.fields(kind) if field.init]
        names = [field.name for field in stored]
        required = {f.name for f in stored if f.default is f.default_factory is dataclasses.MISSING}
    else:
        names = list(kind._fields)
        required = set(names) - set(kind._field_defaults)
    values = {name: taken_by(hints[name]) for name in names}
    fields = (Field(n, n in required, taken.checks, taken.other) for n, taken in values.items())
    return Form(kind, tuple(fields))


# -- values by annotation --------------------------------------------------------------------------


def _check_whole(value: int) -> int:
    # NumPy and Arrow hold 64 bits: a larger number would fail far from the file that holds it.
    if not _LEAST <= value <= _GREATEST:
        raise FormError(f"expected a whole number, got {describe(value)}")
    return value


def checker_of(annotation: Any) -> Check:
    """Return the check of an annotation."""
    checks, _, other = taken_by(annotation)

    def check(value: Any) -> Any:
        known = checks.get(type(value), other)
        return value if known is None else known(value)

    return check


def _take_other(checks: Mapping[type, Check | None], expected: str, value: Any) -> Any:
    """Take a subclass of a type, a tuple for a list, or a mapping that is no ``dict``.

    JSON never gives these; dictionaries that people write in Python do.
    """
    bases = () if isinstance(value, bool) else type(value).__mro__  # a flag is no number
    base = next((base for base in bases if base in checks), None)
    if base is None and isinstance(value, tuple) and list in checks:
        base, value = list, list(value)
    if base is None and isinstance(value, Mapping) and dict in checks:
        base, value = dict, dict(value)
    if base is None:
        raise FormError(f"expected {expected}, got {describe(value)}")
    check = checks[base]
    return value if check is None else check(value)


_SIMPLE: Mapping[Any, Taken] = {
    Any: Taken({}, "anything", None),
    object: Taken({}, "anything", None),
    str: _taken({str: None}, "text"),
    bool: _taken({bool: None}, "true or false"),
    int: _taken({int: _check_whole}, "a whole number"),
    float: _taken({float: None, int: _check_whole}, "a number"),
    date: _taken({date: None}, "a date"),
    datetime: _taken({datetime: None}, "a time"),
    types.NoneType: _taken({types.NoneType: None}, "nothing"),
}


@cache
def taken_by(annotation: Any) -> Taken:
    """Return the values that an annotation takes."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = get_origin(annotation)
    if origin is not None:
        return _composed(origin, get_args(annotation))
    if issubclass(annotation, Enum):
        return _choice({member.value: member for member in annotation})
    form = form_of(annotation)
    if issubclass(annotation, tuple):
        return _taken({dict: form.make, list: form.make_in_order}, "a list or mapping")
    return _taken({dict: form.make}, "a mapping")


def _composed(origin: Any, arguments: tuple[Any, ...]) -> Taken:
    if origin is Annotated:
        return _annotated(*arguments)
    if origin in {Union, types.UnionType}:
        return _union(arguments)
    if origin is Literal:
        return _choice({value: value for value in arguments})
    return _container(origin, arguments)


def _union(members: tuple[Any, ...]) -> Taken:
    checks: dict[type, Check | None] = {}
    for member in members:
        checks = {**taken_by(member).checks, **checks}  # the first member that takes a type decides
    phrases = (taken_by(member).expected for member in members if member is not types.NoneType)
    return _taken(checks, " or ".join(dict.fromkeys(phrases)))


def _choice(values: Mapping[Any, Any]) -> Taken:
    expected = f"one of {', '.join(map(str, values))}"

    def check(value: Any) -> Any:
        if value not in values:
            raise FormError(f"expected {expected}, got {describe(value)}")
        return values[value]

    return _taken(dict.fromkeys(map(type, values), check), expected)


def _container(origin: Any, arguments: tuple[Any, ...]) -> Taken:
    if issubclass(origin, Mapping):
        return _taken({dict: _each_value(arguments[1])}, "a mapping")
    check = _each_entry(arguments[0])
    if issubclass(origin, tuple):
        return _taken({list: lambda values: tuple(check(values))}, "a list")
    return _taken({list: check}, "a list")


def _each_value(annotation: Any) -> Check | None:
    checks, _, other = taken_by(annotation)
    if other is None:
        return None
    unchanged = _unchanged(checks)

    def check_values(values: dict[Any, Any]) -> dict[str, Any]:
        if unchanged.issuperset(map(type, values.values())) and _TEXT.issuperset(map(type, values)):
            return values
        made, key = {}, ""
        try:
            for key, value in values.items():
                check = checks.get(type(value), other)
                made[key] = value if check is None else check(value)
        except FormError as problem:
            raise problem.within(key) from problem.__cause__
        for key in made:
            if type(key) is not str:  # YAML has other keys than text
                raise FormError(f"expected text as a key, got {describe(key)}")
        return made

    return check_values


def _each_entry(annotation: Any) -> Check:
    checks, _, other = taken_by(annotation)
    unchanged = _unchanged(checks)

    def check_entries(values: list[Any]) -> list[Any]:
        if other is None or unchanged.issuperset(map(type, values)):
            return values
        made: list[Any] = []
        try:
            for value in values:
                check = checks.get(type(value), other)
                made.append(value if check is None else check(value))
        except FormError as problem:
            raise problem.within(len(made)) from problem.__cause__
        return made

    return check_entries


_TEXT = frozenset({str})


def _unchanged(checks: Mapping[type, Check | None]) -> frozenset[type]:
    """Return the types that are taken as they are: containers of nothing else need no loop."""
    return frozenset(kind for kind, check in checks.items() if check is None)


def _annotated(annotation: Any, mark: Any, *more: Any) -> Taken:
    if isinstance(mark, ReadAs):  # the annotation is of what is made, which may have no form
        return reduce(_marked, more, _converted(mark))
    return reduce(_marked, (mark, *more), taken_by(annotation))


def _marked(taken: Taken, mark: Any) -> Taken:
    if isinstance(mark, Keys):
        return _taken({dict: _known_keys(mark)}, "a mapping")
    return _limited(taken, mark) if isinstance(mark, Limits) else _fitting(taken, mark)


def _fitting(taken: Taken, mark: Fits) -> Taken:
    def check(value: Any) -> Any:
        if not mark.test(value):
            raise FormError(f"expected {mark.expected}, got {describe(value)}")
        return value

    checks = {kind: _then(first, check) for kind, first in taken.checks.items()}
    return _taken(checks, mark.expected)


def _then(first: Check | None, second: Check) -> Check:
    return second if first is None else lambda value: second(first(value))


def _limited(taken: Taken, limits: Limits) -> Taken:
    # Comparisons with NaN are false, so the limits refuse it together with infinity.
    low = limits.low
    high = limits.high if float in taken.checks else min(limits.high, _GREATEST)
    least = f" from {low:g}" if low > -LARGEST_FLOAT else ""
    most = f" to {limits.high:g}" if limits.high < LARGEST_FLOAT else ""
    expected = f"{taken.expected}{least}{most or (' on' if least else '')}"

    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise FormError(f"expected {expected}, got {describe(value)}")
        return value

    return _taken(dict.fromkeys(taken.checks, check), expected)


def _known_keys(mark: Keys) -> Check:
    fields = [(n, checker_of(kind), n in mark.required) for n, kind in mark.known.items()]

    def check(values: dict[str, Any]) -> dict[str, Any]:
        name = ""
        try:
            for name, check_value, is_required in fields:
                if name in values:
                    check_value(values[name])
                elif is_required:
                    _refuse_missing()
        except FormError as problem:
            raise problem.within(name) from problem.__cause__
        return values

    return check


def _converted(mark: ReadAs) -> Taken:
    stored = taken_by(mark.stored)
    check_stored = checker_of(mark.stored)

    def check(value: Any) -> Any:
        return _call(mark.make, check_stored(value))

    return Taken(dict.fromkeys(stored.checks, check), stored.expected, check)
