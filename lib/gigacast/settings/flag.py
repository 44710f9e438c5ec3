"""Declaration of options that are no settings: fields of a dataclass, each with its row.

A command's own flags are such a dataclass in `gigacast.settings.command`. Public functions and jobs
take their defaults, choices and descriptions from it.
"""

from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gigacast.settings.option import Kind, Option, Range

T = TypeVar("T")
_KINDS: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number", Path: "path"}


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns of a row that are neither the name nor the type nor the default of the field."""

    help: str
    group: str
    name: str
    placeholder: str
    details: str
    range: Range | None
    kind: Kind | None
    aliases: tuple[str, ...]


def flag(  # noqa: PLR0913 - keywords, each a column of the table of options
    default: Any,
    help_text: str,
    *,
    group: str = "output",
    name: str = "",
    placeholder: str = "",
    details: str = "",
    range_: Range | None = None,
    kind: Kind | None = None,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Declare an option of single commands: a field of a dataclass, and a row of the table.

    The field's name and type complete the row: a type of literals or an enumeration has choices, a
    tuple is given by repeating the flag.

    Parameters
    ----------
    default : object
        Value without the flag; ``...`` if the flag is required.
    help_text : str
        One line for ``--help``.
    group : str
        One of `gigacast.settings.option.GROUPS`.
    name : str
        Name of the flag; the field's by default.
    placeholder : str
        Placeholder of the value in ``--help``; by default that of the kind.
    details : str
        Sentences that the guide and docstrings add to ``help_text``.
    range_ : Range, optional
        Numbers that the flag takes.
    kind : str, optional
        Kind of a path: ``file``, ``folder``, or by default ``path``, which is either.
    aliases : tuple of str
        Other names of the flag; one of a letter is written with one hyphen.
    """
    row = _Row(help_text, group, name, placeholder, details, range_, kind, aliases)
    return field(default=MISSING if default is ... else default, metadata={"row": row})


def rows_of(options: type[Any]) -> tuple[Option, ...]:
    """Return the rows of a class of options, in the order of its fields."""
    hints = get_type_hints(options)
    rows = ((entry, entry.metadata.get("row")) for entry in fields(options))
    # A class that takes part of its fields from the table, as the rules of cleaning, has others.
    return tuple(_option_of(entry, row, hints[entry.name]) for entry, row in rows if row)


def _option_of(entry: Any, row: _Row, hint: Any) -> Option:
    kind, choices = _kind_of(hint)
    default = entry.default
    return Option(
        name=row.name or entry.name,
        key=entry.name,
        kind=row.kind or kind,
        choices=choices,
        default=None if default is MISSING else _plain(default),
        help=row.help,
        details=row.details,
        group=row.group,
        aliases=row.aliases,
        placeholder=row.placeholder,
        range=row.range,
        is_repeated=kind == "names",
        is_required=default is MISSING,
    )


def _kind_of(hint: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return "choice", get_args(hint)
    if get_origin(hint) is tuple:
        return "names", ()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "choice", tuple(str(member) for member in hint)
    return _KINDS.get(hint, "text"), ()


def _plain(default: Any) -> Any:
    return str(default) if isinstance(default, Path | Enum) else default


def take(options: type[T], flags: dict[str, Any]) -> T:
    """Return the options of a class, whose values are taken out of a command's flags.

    Parameters
    ----------
    options : type
        Dataclass whose fields are declared by `flag`.
    flags : dict
        Values by name; ``None`` and an empty tuple count as not given.
    """
    values = {row.keyword: flags.pop(row.keyword) for row in rows_of(options)}
    chosen = {name: value for name, value in values.items() if value not in (None, ())}
    enums = {n: h for n, h in get_type_hints(options).items() if isinstance(h, type)}
    for name in chosen.keys() & enums.keys():
        if issubclass(enums[name], Enum):
            chosen[name] = enums[name](chosen[name])
    return options(**chosen)
