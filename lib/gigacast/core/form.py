"""Checks of plain values, as JSON and YAML give them, compiled from type annotations.

`form_of` compiles a dataclass or named tuple, `checker_of` any other annotation. Supported are
text, numbers, booleans, dates, ``None``, ``Any``, unions, ``Literal``, enumerations, lists, tuples,
mappings with text keys, dataclasses (stored as mappings), named tuples (stored as lists or
mappings), and ``Annotated`` with a mark of `core.mark`.
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
"""Takes a plain value and returns the value that the record holds, or raises `FormError`."""


class Accepted(NamedTuple):
    """The plain values that an annotation accepts.

    Parameters
    ----------
    checks : mapping of type to Check
        Check of each exact type; ``None`` accepts its values unchanged.
    expected : str
        Noun phrase for messages, such as ``a whole number``.
    fallback : Check, optional
        Check of all types that are not in ``checks``; by default they are accepted unchanged.
    """

    checks: Mapping[type, Check | None]
    expected: str
    fallback: Check | None


def _accepted(checks: Mapping[type, Check | None], expected: str) -> Accepted:
    return Accepted(checks, expected, partial(_check_fallback, checks, expected))


_LEAST, _GREATEST = -(2**63), 2**64 - 1  # of int64 and of uint64
_FAILURES = (GigacastError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""Errors of a constructor or converter that refuses a value."""


# -- records ---------------------------------------------------------------------------------------


class Field(NamedTuple):
    """A key of a record, with the checks of its value (see `Accepted`)."""

    name: str
    is_required: bool
    checks: Mapping[type, Check | None]
    fallback: Check | None


class Form:
    """The keys of a record class with their checks, and its constructor.

    Compiled once per class. Closing a run reads thousands of receipts, so a value costs one look-up
    by its exact type and at most one call; rare types are handled only if that look-up fails.
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
        converted = {}
        try:
            for name, is_required, checks, fallback in self._fields:
                if name in values:
                    value = values[name]
                    check = checks.get(type(value), fallback)
                    converted[name] = value if check is None else check(value)
                elif is_required:
                    _refuse_missing()
        except FormError as problem:
            raise problem.within(name) from problem.__cause__
        # All known keys that are present were converted: if there are fewer, one is unknown.
        if len(converted) < len(values) and not ignore_unknown:
            unknown = next(name for name in values if name not in self.names)
            raise FormError("unknown key", unknown, hint=f"known keys: {', '.join(self.names)}")
        return _call(self._new, converted)

    def make_in_order(self, values: list[Any]) -> Any:
        """Return the record made from a list of its values."""
        if len(values) > len(self.names):
            raise FormError(f"expected {len(self.names)} values, got {len(values)}")
        return self.make(dict(zip(self.names, values, strict=False)))


def _constructor(kind: Any) -> Callable[..., Any]:
    """Return the function that makes a record from a mapping of its fields.

    The generated ``__init__`` of a frozen dataclass calls a function per field, half the time of
    reading a receipt. One update of ``__dict__`` does the same without ``__post_init__`` and slots.
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
    """Call a constructor or converter, and raise its error as a `FormError` about the value."""
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
    values = {name: accepted_by(hints[name]) for name in names}
    fields = (Field(n, n in required, v.checks, v.fallback) for n, v in values.items())
    return Form(kind, tuple(fields))


# -- values by annotation --------------------------------------------------------------------------


def _check_whole(value: int) -> int:
    # NumPy and Arrow hold 64 bits: a larger number would fail far from the file that holds it.
    if not _LEAST <= value <= _GREATEST:
        raise FormError(f"expected a whole number, got {describe(value)}")
    return value


def checker_of(annotation: Any) -> Check:
    """Return the check of an annotation."""
    checks, _, fallback = accepted_by(annotation)

    def check(value: Any) -> Any:
        check_type = checks.get(type(value), fallback)
        return value if check_type is None else check_type(value)

    return check


def _check_fallback(checks: Mapping[type, Check | None], expected: str, value: Any) -> Any:
    """Check a subclass of an accepted type, a tuple for a list, or a mapping of another class."""
    # JSON never gives these, but dictionaries that people write in Python may hold them.
    # bool is a subclass of int in Python, but true is not a number in a file.
    bases = () if isinstance(value, bool) else type(value).__mro__
    base = next((base for base in bases if base in checks), None)
    if base is None and isinstance(value, tuple) and list in checks:
        base, value = list, list(value)
    if base is None and isinstance(value, Mapping) and dict in checks:
        base, value = dict, dict(value)
    if base is None:
        raise FormError(f"expected {expected}, got {describe(value)}")
    check = checks[base]
    return value if check is None else check(value)


_SIMPLE: Mapping[Any, Accepted] = {
    Any: Accepted({}, "anything", None),
    object: Accepted({}, "anything", None),
    str: _accepted({str: None}, "text"),
    bool: _accepted({bool: None}, "true or false"),
    int: _accepted({int: _check_whole}, "a whole number"),
    float: _accepted({float: None, int: _check_whole}, "a number"),
    date: _accepted({date: None}, "a date"),
    datetime: _accepted({datetime: None}, "a time"),
    types.NoneType: _accepted({types.NoneType: None}, "nothing"),
}


@cache
def accepted_by(annotation: Any) -> Accepted:
    """Return the plain values that an annotation accepts."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = get_origin(annotation)
    if origin is not None:
        return _composed(origin, get_args(annotation))
    if issubclass(annotation, Enum):
        return _choice({member.value: member for member in annotation})
    form = form_of(annotation)
    if issubclass(annotation, tuple):
        return _accepted({dict: form.make, list: form.make_in_order}, "a list or mapping")
    return _accepted({dict: form.make}, "a mapping")


def _composed(origin: Any, arguments: tuple[Any, ...]) -> Accepted:
    if origin is Annotated:
        return _annotated(*arguments)
    if origin in {Union, types.UnionType}:
        return _union(arguments)
    if origin is Literal:
        return _choice({value: value for value in arguments})
    return _container(origin, arguments)


def _union(members: tuple[Any, ...]) -> Accepted:
    checks: dict[type, Check | None] = {}
    for member in members:
        checks = {**accepted_by(member).checks, **checks}  # the first member with a type decides
    phrases = (accepted_by(member).expected for member in members if member is not types.NoneType)
    return _accepted(checks, " or ".join(dict.fromkeys(phrases)))


def _choice(values: Mapping[Any, Any]) -> Accepted:
    expected = f"one of {', '.join(map(str, values))}"

    def check(value: Any) -> Any:
        if value not in values:
            raise FormError(f"expected {expected}, got {describe(value)}")
        return values[value]

    return _accepted(dict.fromkeys(map(type, values), check), expected)


def _container(origin: Any, arguments: tuple[Any, ...]) -> Accepted:
    if issubclass(origin, Mapping):
        return _accepted({dict: _each_value(arguments[1])}, "a mapping")
    check = _each_entry(arguments[0])
    if issubclass(origin, tuple):
        return _accepted({list: lambda values: tuple(check(values))}, "a list")
    return _accepted({list: check}, "a list")


def _each_value(annotation: Any) -> Check | None:
    checks, _, fallback = accepted_by(annotation)
    if fallback is None:
        return None
    unchanged = _unchanged(checks)

    def check_values(values: dict[Any, Any]) -> dict[str, Any]:
        # Nearly all mappings hold plain text and numbers: two passes in C instead of a Python loop.
        if unchanged.issuperset(map(type, values.values())) and _TEXT.issuperset(map(type, values)):
            return values
        converted, key = {}, ""
        try:
            for key, value in values.items():
                check = checks.get(type(value), fallback)
                converted[key] = value if check is None else check(value)
        except FormError as problem:
            raise problem.within(key) from problem.__cause__
        for key in converted:
            if type(key) is not str:  # YAML allows keys that are not text
                raise FormError(f"expected text as a key, got {describe(key)}")
        return converted

    return check_values


def _each_entry(annotation: Any) -> Check:
    checks, _, fallback = accepted_by(annotation)
    unchanged = _unchanged(checks)

    def check_entries(values: list[Any]) -> list[Any]:
        # Most lists hold plain values, which one look at their types accepts.
        if fallback is None or unchanged.issuperset(map(type, values)):
            return values
        converted: list[Any] = []
        try:
            for value in values:
                check = checks.get(type(value), fallback)
                converted.append(value if check is None else check(value))
        except FormError as problem:
            raise problem.within(len(converted)) from problem.__cause__
        return converted

    return check_entries


_TEXT = frozenset({str})


def _unchanged(checks: Mapping[type, Check | None]) -> frozenset[type]:
    """Return the types whose values are accepted unchanged."""
    return frozenset(kind for kind, check in checks.items() if check is None)


def _annotated(annotation: Any, mark: Any, *more: Any) -> Accepted:
    # With `ReadAs` the annotation is the class of the converted value; the mark has the stored one.
    if isinstance(mark, ReadAs):
        return reduce(_marked, more, _converted(mark))
    return reduce(_marked, (mark, *more), accepted_by(annotation))


def _marked(accepted: Accepted, mark: Any) -> Accepted:
    if isinstance(mark, Keys):
        return _accepted({dict: _known_keys(mark)}, "a mapping")
    return _limited(accepted, mark) if isinstance(mark, Limits) else _fitting(accepted, mark)


def _fitting(accepted: Accepted, mark: Fits) -> Accepted:
    def check(value: Any) -> Any:
        if not mark.test(value):
            raise FormError(f"expected {mark.expected}, got {describe(value)}")
        return value

    checks = {kind: _then(first, check) for kind, first in accepted.checks.items()}
    return _accepted(checks, mark.expected)


def _then(first: Check | None, second: Check) -> Check:
    return second if first is None else lambda value: second(first(value))


def _limited(accepted: Accepted, limits: Limits) -> Accepted:
    # Comparisons with NaN are false, so the limits refuse it together with infinity.
    low = limits.low
    high = limits.high if float in accepted.checks else min(limits.high, _GREATEST)
    lower = f" from {low:g}" if low > -LARGEST_FLOAT else ""
    upper = f" to {limits.high:g}" if limits.high < LARGEST_FLOAT else ""
    expected = f"{accepted.expected}{lower}{upper or (' on' if lower else '')}"

    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise FormError(f"expected {expected}, got {describe(value)}")
        return value

    return _accepted(dict.fromkeys(accepted.checks, check), expected)


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


def _converted(mark: ReadAs) -> Accepted:
    stored = accepted_by(mark.stored)
    check_stored = checker_of(mark.stored)

    def check(value: Any) -> Any:
        return _call(mark.make, check_stored(value))

    return Accepted(dict.fromkeys(stored.checks, check), stored.expected, check)
