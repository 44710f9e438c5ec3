"""Forms: which plain values an annotation takes, and what they become.

`form_of` compiles the annotations of a dataclass or named tuple, `checker_of` those of any value.
Understood are text, numbers, flags, dates, ``None``, ``Any``, unions, ``Literal``, enumerations,
lists, tuples, mappings by text, dataclasses (stored as mappings) and named tuples (stored as lists
or mappings), and ``Annotated`` with a mark of `core.mark`.
"""

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gigacast.core.mark import AS_TEXT, LARGEST_FLOAT, Keys, Limits, ReadAs
from gigacast.errors import GigacastError

Check = Callable[[Any], Any]
"""Returns a value as the record holds it, or raises `FormError`."""

Checks = Mapping[type, Check | None]
"""The check of each exact type that is taken; ``None`` takes a value as it is."""

_LEAST, _GREATEST = -(2**63), 2**64 - 1
_SHOWN_CHARACTERS = 60
_FAILURES = (GigacastError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What a constructor or converter may raise about a value that it can't use."""


class FormError(Exception):
    """Something wrong with a value; containers complete its place while it passes through them."""

    def __init__(self, reason: str, *path: str | int, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.path: list[str | int] = list(path)

    def within(self, key: str | int) -> "FormError":
        """Return the problem with its place extended by the key of the container around it."""
        self.path.insert(0, key)
        return self

    def place(self, root: str) -> str:
        """Return the place below ``root``, such as ``columns[3].type``."""
        text = root
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{_name(part)}"
        return text


def describe(value: Any) -> str:
    """Return a short description of a plain value: its text when it is short, else its kind."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, int) and not _LEAST <= value <= _GREATEST:
        return "a number beyond 64 bits"  # Python refuses to print the longest of them
    shown = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."


def _name(key: Any) -> str:
    """Return a key as part of a place; the keys of a damaged file may hold control characters."""
    text = str(key)
    return text if text.isprintable() and len(text) <= _SHOWN_CHARACTERS else describe(text)


# -- records ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record."""

    name: str
    checks: Checks
    expected: str
    required: bool


class Form:
    """The keys of a record, and how it is made from them.

    Compiled once per class. Closing a run reads thousands of receipts, so a value costs one look-up
    by its exact type and at most one call; everything rarer happens after that look-up failed.
    """

    def __init__(self, kind: type, fields: tuple[Field, ...]) -> None:
        self.names = tuple(field.name for field in fields)
        self._kind = kind
        self._fields = fields

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
        for field in self._fields:
            name = field.name
            if name in values:
                value = values[name]
                try:
                    check = field.checks[type(value)]
                except KeyError:
                    made[name] = _within(name, _take_other, field.checks, field.expected, value)
                else:
                    made[name] = value if check is None else _within(name, check, value)
            elif field.required:
                raise FormError("missing", name)
        if len(made) < len(values) and not ignore_unknown:
            unknown = next(name for name in values if name not in self.names)
            raise FormError("unknown key", unknown, hint=f"known keys: {', '.join(self.names)}")
        return _call(self._kind, **made)

    def make_in_order(self, values: list[Any]) -> Any:
        """Return the record made from a list of its values."""
        if len(values) > len(self.names):
            raise FormError(f"expected {len(self.names)} values, got {len(values)}")
        return self.make(dict(zip(self.names, values, strict=False)))


def _within(key: str | int, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except FormError as problem:
        raise problem.within(key) from problem.__cause__


def _call(function: Callable[..., Any], *arguments: Any, **fields: Any) -> Any:
    """Call a constructor or converter; what it refuses is a problem of the value."""
    try:
        return function(*arguments, **fields)
    except GigacastError as error:
        raise FormError(error.message, hint=error.hint) from error
    except _FAILURES as error:
        raise FormError(str(error) or type(error).__name__) from error


@cache
def form_of(kind: Any) -> Form:
    """Return the form of a dataclass or named tuple."""
    hints = get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        fields = [field for field in dataclasses.fields(kind) if field.init]
        names = [field.name for field in fields]
        missing = dataclasses.MISSING
        required = {
            field.name
            for field in fields
            if field.default is missing and field.default_factory is missing
        }
    else:
        names = list(kind._fields)
        required = set(names) - set(kind._field_defaults)
    return Form(kind, tuple(Field(n, *_checks_of(hints[n]), n in required) for n in names))


# -- values by annotation --------------------------------------------------------------------------


class _Anything(dict[type, Check | None]):
    """Takes values of every type."""

    def __missing__(self, kind: type) -> None:
        return None


def _check_whole(value: int) -> int:
    # NumPy and Arrow hold 64 bits: a larger number would fail far from the file that holds it.
    if not _LEAST <= value <= _GREATEST:
        raise FormError(f"expected a whole number, got {describe(value)}")
    return value


_SIMPLE: Mapping[Any, tuple[Checks, str]] = {
    Any: (_Anything(), "anything"),
    object: (_Anything(), "anything"),
    str: ({str: None}, "text"),
    bool: ({bool: None}, "true or false"),
    int: ({int: _check_whole}, "a whole number"),
    float: ({float: None, int: _check_whole}, "a number"),
    date: ({date: None}, "a date"),
    datetime: ({datetime: None}, "a time"),
    types.NoneType: ({types.NoneType: None}, "nothing"),
}


def checker_of(annotation: Any) -> Check:
    """Return the check of an annotation."""
    checks, expected = _checks_of(annotation)

    def check(value: Any) -> Any:
        try:
            known = checks[type(value)]
        except KeyError:
            return _take_other(checks, expected, value)
        return value if known is None else known(value)

    return check


def _take_other(checks: Checks, expected: str, value: Any) -> Any:
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


@cache
def _checks_of(annotation: Any) -> tuple[Checks, str]:
    """Return the checks of an annotation by type, and a noun phrase for what it expects."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = get_origin(annotation)
    if origin is not None:
        return _composed(origin, get_args(annotation))
    if issubclass(annotation, Enum):
        return _choice({member.value: member for member in annotation})
    form = form_of(annotation)
    if issubclass(annotation, tuple):
        return {dict: form.make, list: form.make_in_order}, "a list or mapping"
    return {dict: form.make}, "a mapping"


def _composed(origin: Any, arguments: tuple[Any, ...]) -> tuple[Checks, str]:
    if origin is Annotated:
        return _marked(*arguments)
    if origin in {Union, types.UnionType}:
        return _union(arguments)
    if origin is Literal:
        return _choice({value: value for value in arguments})
    return _container(origin, arguments)


def _union(members: tuple[Any, ...]) -> tuple[Checks, str]:
    checks: dict[type, Check | None] = {}
    for member in members:
        checks = {**_checks_of(member)[0], **checks}  # the first member that takes a type decides
    phrases = [_checks_of(member)[1] for member in members if member is not types.NoneType]
    return checks, " or ".join(dict.fromkeys(phrases))


def _choice(values: Mapping[Any, Any]) -> tuple[Checks, str]:
    expected = f"one of {', '.join(map(str, values))}"

    def check(value: Any) -> Any:
        if value not in values:
            raise FormError(f"expected {expected}, got {describe(value)}")
        return values[value]

    return dict.fromkeys(map(type, values), check), expected


def _container(origin: Any, arguments: tuple[Any, ...]) -> tuple[Checks, str]:
    if issubclass(origin, Mapping):
        anything = isinstance(_checks_of(arguments[1])[0], _Anything)
        return {dict: None if anything else _each_value(arguments[1])}, "a mapping"
    check = _each_entry(arguments[0])
    if issubclass(origin, tuple):
        return {list: lambda values: tuple(check(values))}, "a list"
    return {list: check}, "a list"


def _each_value(annotation: Any) -> Check:
    check = checker_of(annotation)

    def check_values(values: dict[Any, Any]) -> dict[str, Any]:
        made = {}
        for key, value in values.items():
            if type(key) is not str:  # YAML has other keys than text
                raise FormError(f"expected text as a key, got {describe(key)}")
            made[key] = _within(key, check, value)
        return made

    return check_values


def _each_entry(annotation: Any) -> Check:
    check = checker_of(annotation)

    def check_entries(values: list[Any]) -> list[Any]:
        return [_within(index, check, value) for index, value in enumerate(values)]

    return check_entries


def _marked(annotation: Any, mark: Any) -> tuple[Checks, str]:
    """Return the checks of an annotation with one mark."""
    if mark == AS_TEXT:
        scalars = dict.fromkeys((float, bool, date, datetime, types.NoneType), str)
        return {str: None, int: lambda value: str(_check_whole(value)), **scalars}, "text"
    if isinstance(mark, ReadAs):
        return _converted(mark)
    if isinstance(mark, Keys):
        return {dict: _known_keys(mark)}, "a mapping"
    checks, expected = _checks_of(annotation)
    if isinstance(mark, Limits):
        return _limited(checks, expected, mark)

    def check(value: Any) -> Any:
        if not mark.test(value):
            raise FormError(f"expected {mark.expected}, got {describe(value)}")
        return value

    return dict.fromkeys(checks, check), mark.expected


def _limited(checks: Checks, expected: str, limits: Limits) -> tuple[Checks, str]:
    # Comparisons with NaN are false, so the limits refuse it together with infinity.
    low, high = limits.low, min(limits.high, _GREATEST) if float not in checks else limits.high
    least = f" from {low:g}" if low > -LARGEST_FLOAT else ""
    most = f" to {limits.high:g}" if limits.high < LARGEST_FLOAT else ""
    phrase = f"{expected}{least}{most or (' on' if least else '')}"

    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise FormError(f"expected {phrase}, got {describe(value)}")
        return value

    return dict.fromkeys(checks, check), phrase


def _known_keys(mark: Keys) -> Check:
    fields = [(name, checker_of(annotation)) for name, annotation in mark.known.items()]

    def check(values: dict[str, Any]) -> dict[str, Any]:
        for name, check_value in fields:
            if name in values:
                _within(name, check_value, values[name])
            elif name in mark.required:
                raise FormError("missing", name)
        return values

    return check


def _converted(mark: ReadAs) -> tuple[Checks, str]:
    checks, expected = _checks_of(mark.stored)
    check_stored = checker_of(mark.stored)

    def check(value: Any) -> Any:
        return _call(mark.make, check_stored(value))

    types_taken = _Every(check) if isinstance(checks, _Anything) else dict.fromkeys(checks, check)
    return types_taken, expected


class _Every(dict[type, Check]):
    """Hands values of every type to one check."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self._check = check

    def __missing__(self, kind: type) -> Check:
        return self._check
