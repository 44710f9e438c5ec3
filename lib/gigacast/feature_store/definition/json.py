"""Definitions as JSON, and the digest of what in them decides the values of features."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source as Origin
from gigacast.core.record import decode_json
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.aggregation import Aggregation, Operation, Window
from gigacast.feature_store.definition.group_by import Derivation, GroupBy
from gigacast.feature_store.definition.join import (
    BootstrapPart,
    ContextualSource,
    ExternalPart,
    ExternalSource,
    Join,
    JoinPart,
    LabelPart,
)
from gigacast.feature_store.definition.name import Definition
from gigacast.feature_store.definition.place import Place, Placed
from gigacast.feature_store.definition.source import (
    EntitySource,
    EventSource,
    JoinSource,
    ParentJoin,
    Query,
    Source,
    field_names,
)
from gigacast.feature_store.definition.staging_query import StagingQuery

FileName = Callable[[str], str]
FORMAT = 1
_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *(Aggregation, Derivation, GroupBy, Join, JoinPart, LabelPart, BootstrapPart),
        *(ExternalSource, ExternalPart, ContextualSource, Query, EventSource, EntitySource),
        *(JoinSource, Source, StagingQuery, Operation, Window),
    )
}
_STORED_AS: Mapping[Any, Any] = {ParentJoin: Join, float: int | float}
_MAPPINGS = frozenset(
    ("selects", "key_mapping", "skew_keys", "table_properties", "env", "tags", "factory_config")
)
"""Fields with names of the user's as keys, which are never read as definitions."""
_NOT_SEMANTIC = frozenset(
    (
        *("description", "tags", "deprecation_date", "backfill_start_date", "offline_schedule"),
        *("label_offline_schedule", "env", "table_properties", "online", "production", "lag"),
        *("check_consistency", "consistency_sample_percent", "sample_percent", "team"),
        *("historical_backfill", "is_incremental", "startPartition"),
    )
)
"""Fields that change how and when features are computed, and no value of them."""


def to_json(definition: Any, file_name: FileName | None = None) -> dict[str, Any]:
    """Return a definition as values that JSON can hold; fields with their defaults are left out.

    Parameters
    ----------
    definition : object
        A definition, or a part of one.
    file_name : function, optional
        Name under which a file is stored, for the places of the parts; without it they are left
        out.
    """
    content: dict[str, Any] = {"kind": type(definition).__name__}
    if file_name is not None and isinstance(definition, Placed) and definition.place.line:
        content["place"] = str(Place(file_name(definition.place.file), definition.place.line))
    defaults = _defaults(type(definition))
    for name in field_names(type(definition)):
        value = getattr(definition, name)
        if name not in defaults or value != defaults[name]:
            content[name] = _plain(value, file_name)
    return content


def from_json(content: Any, file: str = "") -> Any:
    """Return the definition of values as `to_json` makes them.

    Parameters
    ----------
    content : object
    file : str
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        If they are no definition.
    """
    name = content.get("kind") if isinstance(content, Mapping) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"{file}: is no definition", hint="compile its file again")
    fields = {name: value for name, value in content.items() if name not in {"kind", "place"}}
    values = {
        name: value if name in _MAPPINGS else _read(value, file) for name, value in fields.items()
    }
    # Without an argument it would be the place of this line.
    place = {"place": _read_place(content.get("place"), file)} if issubclass(kind, Placed) else {}
    try:
        definition = kind(**values, **place)
    except TypeError as error:
        unknown = sorted(set(values) - set(field_names(kind)))
        raise ConfigError(
            f"{file}: {kind.__name__} has other fields than this release knows: "
            f"{', '.join(unknown) or 'some are missing'}",
            hint="compile its file again",
        ) from error
    # Raised by the definition itself: its place is that of this line, not of a file of the user.
    except (ConfigError, ValueError, AttributeError) as error:
        reason = error.message if isinstance(error, ConfigError) else str(error)
        raise ConfigError(f"{file}: {reason}", hint="compile its file again") from error
    for name, hint in _hints(kind).items():
        if not _fits(getattr(definition, name), hint):
            message = f"{file}: {kind.__name__}.{name} has a value of another type"
            raise ConfigError(message, hint="compile its file again")
    return definition


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in field_names(kind)}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value has the type of a field; definitions are checked by themselves."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(_fits(value, part) for part in inner)
    if origin is Sequence:
        return isinstance(value, tuple) and all(_fits(entry, inner[0]) for entry in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(v, inner[1]) for v in value.values())
    if origin is not None or hint is Any:
        return origin is not tuple or isinstance(value, tuple)
    # A text that is no member of its enumeration is refused by the check of definitions.
    stored = str if issubclass(hint, StrEnum) else _STORED_AS.get(hint, hint)
    return isinstance(value, stored)


def semantic_digest(definition: Definition) -> str:
    """Return the digest of what decides the values: other descriptions or dates keep it."""
    return digest_value(_semantic(to_json(definition)))


def changed_fields(old: Definition, new: Definition) -> tuple[str, ...]:
    """Return the names of the fields that decide values and differ between two definitions."""
    before, after = (_semantic(to_json(definition)) for definition in (old, new))
    names = dict.fromkeys([*before, *after])
    return tuple(name for name in names if before.get(name) != after.get(name))


def encode(
    definition: Definition, facts: Mapping[str, Any], file_name: FileName | None = None
) -> bytes:
    """Return the content of a compiled file.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    facts : mapping
        Further values for readers of the file, such as names of columns.
    file_name : function, optional
        Name under which a user's file is stored, for the places of the parts.
    """
    content = {
        "format": FORMAT,
        "digest": semantic_digest(definition),
        **facts,
        "definition": to_json(definition, file_name),
    }
    # The order of selects is that of the output's columns, so keys are not sorted.
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def decode(content: bytes, key: str) -> Definition:
    """Return the definition of a compiled file.

    Raises
    ------
    ConfigError
        If the file is none, or is of a later format.
    """
    origin = Origin(key, ConfigError, "is no compiled definition", "compile its file again")
    values = decode_json(content, origin)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ConfigError(
            f"{key}: is no compiled definition of format {FORMAT}",
            hint="compile its file again by this release",
        )
    definition: Definition = from_json(values.get("definition"), key)
    if not isinstance(definition, GroupBy | Join | StagingQuery):
        raise ConfigError(f"{key}: holds a {type(definition).__name__}, which has no name")
    return definition


def _defaults(kind: type) -> dict[str, Any]:
    """Return the defaults of a class's fields."""
    return {
        name: field.default
        for name, field in kind.__dataclass_fields__.items()  # type: ignore[attr-defined]
        # The operation is always written, so that a later default does not change stored files.
        if name != "operation"
    }


def _plain(value: Any, file_name: FileName | None) -> Any:
    if type(value).__name__ in _KINDS:
        return to_json(value, file_name)
    if isinstance(value, list | tuple):
        return [_plain(entry, file_name) for entry in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(entry, file_name) for name, entry in value.items()}
    return str(value) if isinstance(value, str) else value  # an enumeration as its plain text


def _read_place(text: object, file: str) -> Place:
    """Return the place that was stored; the file that was read without one."""
    name, _, line = str(text or "").rpartition(":")
    return Place(name, int(line)) if name and line.isdecimal() else Place(file)


def _read(value: Any, file: str) -> Any:
    if isinstance(value, list):
        return tuple(_read(entry, file) for entry in value)
    return from_json(value, file) if isinstance(value, dict) else value


def _semantic(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return [_semantic(entry) for entry in value]
    if not isinstance(value, dict) or name in _MAPPINGS:
        return value
    return {
        field: _semantic(entry, field)
        for field, entry in value.items()
        if field not in _NOT_SEMANTIC
    }
