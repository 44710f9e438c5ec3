"""Checks of the arguments of public functions, before they reach code that takes plain values.

Settings have the types of their pydantic models. These are for arguments that are no settings.
"""

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from gigacast.core.utf8 import check_path
from gigacast.errors import ConfigError

T = TypeVar("T")
_LONGEST_NAME = 255
"""Bytes of the longest name that file systems hold."""


def as_text(name: str, value: Any) -> str | None:
    """Return an optional text as it is.

    Raises
    ------
    ConfigError
        If it is no text, or one that no file and no key can hold: NUL, or half a character.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{name}: expected a text, got {_short(value)}")
    if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise ConfigError(f"{name}: {value!r} holds a character that cannot be written")
    return value


def as_path(name: str, value: Any) -> Path | None:
    """Return an optional path; an empty text counts as not given.

    Raises
    ------
    ConfigError
        If it is neither a text nor a path, or cannot be a path.
    """
    if value is None or (isinstance(value, str) and not value):
        return None
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name}: expected a path, got {_short(value)}")
    path = Path(as_text(name, os.fsdecode(value)) or "")
    check_path(str(path))
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise ConfigError(f"{name}: a name in {str(path)[:40]!r}... is too long for a file")
    return path


def as_count(name: str, value: Any) -> int | None:
    """Return an optional whole number.

    Raises
    ------
    ConfigError
        If it is no whole number. True and False are none either.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(f"{name}: expected a whole number, got {_short(value)}")
    try:
        count = operator.index(value)
    except TypeError as error:  # an array of several numbers
        raise ConfigError(f"{name}: expected a whole number, got {_short(value)}") from error
    if count.bit_length() > 63:
        raise ConfigError(f"{name}: a number of {count.bit_length()} bits is too large")
    return count


def _short(value: Any) -> str:
    plain = isinstance(value, str | int | float | bytes | list | tuple)
    return f"{repr(value)[:60] if plain else type(value).__name__}"


# -- by annotation ---------------------------------------------------------------------------------


def checked(target: T) -> T:
    """Return a function, or a class with methods, that refuses arguments of other types.

    The annotations say which types: texts, paths, numbers, collections of texts, pairs of numbers
    and classes. Arguments with other annotations are the function's own concern.

    Raises
    ------
    ConfigError
        At a call; the message names the argument.
    """
    if not isinstance(target, type):
        return cast("T", _checked_function(cast("Any", target)))
    for name, member in list(vars(target).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(target, name, _checked_function(member))
    return target


def _checked_function(function: Callable[..., Any]) -> Callable[..., Any]:
    own = inspect.signature(function, follow_wrapped=False).parameters
    signature = inspect.Signature([*own.values()])
    hints = function.__annotations__
    names = [name for name, p in own.items() if p.kind is not p.VAR_KEYWORD and name in hints]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:  # too many arguments, of which the function itself says more
            arguments = {}
        for name in names:
            if name in arguments:
                check_argument(name, arguments[name], hints[name])
        return function(*args, **kwargs)

    return call


def check_argument(name: str, value: Any, hint: Any) -> None:
    """Check that an argument is of an annotated type.

    Raises
    ------
    ConfigError
    """
    kinds = list(_kinds_of(hint))
    if any(kind in {Any, None} for kind in kinds):
        return
    if Path in kinds and isinstance(value, str | os.PathLike):
        as_path(name, value)
        return
    if any(_fits(name, value, kind) for kind in kinds):
        return
    texts = [_NAMES.get(kind, kind.__name__) for kind in kinds if kind is not NoneType]
    expected = " or ".join(dict.fromkeys(texts))
    raise ConfigError(f"{name}: expected {expected}, got {_short(value)}")


def _kinds_of(hint: Any) -> Iterator[Any]:
    """Yield the types of an annotation; `Any` for what is not known before the call."""
    if isinstance(hint, str):  # the name of a type that is imported for type checkers only
        yield Any
    elif get_origin(hint) in {Union, UnionType}:
        for part in get_args(hint):
            yield from _kinds_of(part)
    elif isinstance(hint, TypeVar):
        yield from _kinds_of(hint.__bound__ if hint.__bound__ is not None else Any)
    elif get_origin(hint) is Sequence and get_args(hint) != (str,):
        yield list
    else:
        yield get_origin(hint) or hint


def _fits(name: str, value: Any, kind: Any) -> bool:
    if kind in _TESTS:
        return _TESTS[kind](name, value)
    # Events are given by whatever has their methods.
    return getattr(kind, "_is_protocol", False) or isinstance(value, kind)


def _is_text(name: str, value: Any) -> bool:
    # `as_text` says more about a text that is none.
    return isinstance(value, str) and as_text(name, value) is not None


def _is_number(name: str, value: Any) -> bool:
    return isinstance(value, Real) and not _is_truth(name, value)


def _is_truth(name: str, value: Any) -> bool:
    del name
    return isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}  # of numpy too


def _is_whole(name: str, value: Any) -> bool:
    try:
        return as_count(name, value) is not None
    except ConfigError:
        return False


def _is_pair(name: str, value: Any) -> bool:
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    return is_pair and all(_is_whole(name, part) for part in value)


def _are_texts(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return _is_text(name, value)
    if isinstance(value, Iterator):  # which only the function itself may read
        return True
    if isinstance(value, Mapping):  # names of columns by the group that they belong to
        parts = [*value, *value.values()]
        return all(_are_texts(name, part) for part in parts)
    is_list = isinstance(value, Sequence | Set) and not isinstance(value, bytes)
    return is_list and all(_is_text(name, part) for part in value)


def _is_list(name: str, value: Any) -> bool:
    del name
    is_text = isinstance(value, str | bytes)
    return not is_text and isinstance(value, Sequence | Set | Iterator)


_NAMES = {
    str: "a text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    Sequence: "a list of texts",
    list: "a list",
    tuple: "a pair of whole numbers",
    Mapping: "a mapping",
}
"""Words for the kinds of arguments."""
_TESTS: dict[Any, Callable[[str, Any], bool]] = {
    str: _is_text,
    int: _is_whole,
    float: _is_number,
    bool: _is_truth,
    Sequence: _are_texts,
    list: _is_list,
    tuple: _is_pair,
}
