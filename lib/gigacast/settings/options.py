"""The table of all settings, made from their fields.

Flags, keyword arguments, names of environment variables and the guide's tables are made from it: a
new option is one field in `gigacast.settings.model` or `loader`, and its use. Flags of single
commands, which are no settings, have their rows in `gigacast.settings.command`.
"""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.settings.argument import as_text
from gigacast.settings.model import Settings
from gigacast.settings.option import GROUPS, Kind, Option


def nest_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by section of arguments by name; ``None`` counts as not given.

    Raises
    ------
    ConfigError
        If a name is not that of a flag.
    """
    nested: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            # A key of a settings file, as model_path, may have another name as an argument.
            keys = {option.path[-1]: own for own, option in ARGUMENTS.items()}
            near = f"did you mean {keys[name]}?" if name in keys else did_you_mean(name, ARGUMENTS)
            raise ConfigError(
                f"{name}: no such argument", hint=near or f"one of {', '.join(ARGUMENTS)}"
            )
        if value is None:
            continue
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str):
                as_text(name, text)
        *sections, key = ARGUMENTS[name].path
        section = nested
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    if arguments.get("model") is not None:
        # If the named model does not exist, `model_type` must not be used in its place.
        nested["model"]["model_type"] = arguments["model"]
    return nested


def names_of(*groups: str) -> tuple[str, ...]:
    """Return the names of the flags of some groups, in the order of ``--help``."""
    return tuple(name for name, option in ARGUMENTS.items() if option.group in groups)


def options_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield the options of a section and of the sections in it."""
    for name, field in model.model_fields.items():
        # `schema` is an alias: files and variables have that name, which pydantic itself uses.
        own_path = (*path, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from options_of(field.annotation, own_path)
        else:
            yield _option_of(own_path, field)


def _option_of(path: tuple[str, ...], field: FieldInfo) -> Option:
    # pydantic keeps only JSON values beside a field, so the row is a dictionary until here.
    row = field.json_schema_extra
    if not isinstance(row, dict):
        raise TypeError(f"{'.'.join(path)}: declare it by `gigacast.settings.field.option`")
    kind, choices = _kind_of(field)
    group: Any = row["group"] or ""
    flag: Any = row["flag"] or path[-1]
    aliases: Any = row["aliases"]
    return Option(
        name=flag if group else "",
        path=path,
        kind=kind,
        choices=choices,
        default=field.default,
        help=field.description or "",
        details=str(row["details"]),
        group=group,
        aliases=tuple(aliases),
        without_effect=str(row["without_effect"]),
    )


def _kind_of(field: FieldInfo) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of a field's values, and their choices."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal:
        return "choice", get_args(kind)
    if get_origin(kind) is tuple:
        return ("numbers" if float in get_args(kind) else "names"), ()
    # A whole number that may be written as a text: `loader.Size`, or `loader.Jobs`, which is
    # optional.
    if kind is int and any(isinstance(part, BeforeValidator) for part in field.metadata):
        return ("size" if kind is field.annotation else "jobs"), ()
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return kinds.get(kind, "text"), ()


OPTIONS: tuple[Option, ...] = tuple(options_of(Settings))
"""All settings, in the order of a settings file."""
ARGUMENTS: Mapping[str, Option] = {
    option.name: option for group in GROUPS for option in OPTIONS if option.group == group
}
"""Options with a flag and keyword by their names, in the order of ``--help``."""
KEYWORDS: tuple[Option, ...] = tuple(
    option for option in ARGUMENTS.values() if option.name != "bucket"
)
"""Options of functions that take ``**options``. They have the bucket as a parameter of its own."""
