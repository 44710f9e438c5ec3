"""Kinds of numbers in expressions: what a column, an operator or a choice has for bits."""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

NumberKind = Literal["int8", "int16", "int32", "int64", "float", "double"]
_ORDER: tuple[NumberKind, ...] = ("int8", "int16", "int32", "int64", "float", "double")
_CASTS: Mapping[str, NumberKind] = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INT": "int32",
    "BIGINT": "int64",
    "FLOAT": "float",
    "DOUBLE": "double",
}
_CHOICES = frozenset(("If", "Case", "Coalesce"))
"""Expressions that choose a value, of which some may be null."""
_VALUES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Mod"), ("this", "expression")),
    **dict.fromkeys(("Neg", "Abs", "Paren", "Nullif"), ("this",)),
    "If": ("true", "false"),
    "Case": ("ifs", "default"),
    "Coalesce": ("this", "expressions"),
}
"""Arguments that decide the kind of an expression."""
_FIELDS: Mapping[str, NumberKind] = {
    "short": "int16",
    "int": "int32",
    "integer": "int32",
    "long": "int64",
    "bigint": "int64",
    "float": "float",
    "double": "double",
}
_META = "number_kind"
_SINGLE = struct.Struct("f")


def number_kind(spelled: str) -> NumberKind | None:
    """Return the kind of a type as Arrow spells it; None for those that are no numbers here."""
    kinds: dict[str, NumberKind] = {kind: kind for kind in _ORDER}
    return kinds.get(spelled)


def field_kind(word: str) -> NumberKind | None:
    """Return the kind of a field's type as definitions write it; None for what is no number."""
    return _FIELDS.get(word.strip().lower())


def mark_kinds(tree: Any, columns: Mapping[str, NumberKind]) -> NumberKind | None:
    """Mark each part of a tree with the kind of its numbers, and return that of the whole.

    Parameters
    ----------
    tree : sqlglot expression
    columns : mapping of str to str
        Kinds by column; those of fields of structures by ``column.field``.
    """
    inner = {
        name: [mark_kinds(part, columns) for part in _parts(value)]
        for name, value in tree.args.items()
    }
    kind = _kind(tree, inner, columns)
    tree.meta[_META] = kind
    return kind


def kind_of_tree(tree: Any) -> NumberKind | None:
    """Return the kind that `mark_kinds` found."""
    kind: NumberKind | None = tree.meta.get(_META)
    return kind


def _parts(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [part for part in values if hasattr(part, "args")]


def _kind(
    tree: Any, inner: Mapping[str, list[NumberKind | None]], columns: Mapping[str, NumberKind]
) -> NumberKind | None:
    name = type(tree).__name__
    kind: NumberKind | None = None
    if name == "Column":
        kind = columns.get(".".join(part.name for part in tree.parts))
    elif name == "Literal":
        kind = _literal_kind(tree)
    elif name == "Div":
        kind = "double"
    elif name in {"Cast", "TryCast"}:
        kind = _CASTS.get(tree.args["to"].this.name)
    elif name in _VALUES:
        kinds = [kind for part in _VALUES[name] for kind in inner.get(part, [])]
        is_known = None not in kinds or name in _CHOICES
        kind = _widest(kinds) if is_known else None
    return kind


def _literal_kind(tree: Any) -> NumberKind | None:
    if tree.is_string:
        return None
    if not tree.this.isdecimal():
        return "double"
    return "int32" if int(tree.this) < 1 << 31 else "int64"


def _widest(kinds: Iterable[NumberKind | None]) -> NumberKind | None:
    present = [kind for kind in kinds if kind is not None]
    return max(present, key=_ORDER.index, default=None)


def round_single(number: float) -> float:
    """Return the nearest number of 32 bits."""
    try:
        rounded: float = _SINGLE.unpack(_SINGLE.pack(number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return rounded


def fit_to(kind: NumberKind | None) -> Callable[[Any], Any]:
    """Return the function that gives a number the bits of a kind; None for what does not fit."""
    if kind == "double":
        return lambda value: float(value) if _is_whole(value) else value
    if kind == "float":
        return lambda value: round_single(value) if isinstance(value, int | float) else value
    bits = 64 if kind is None else int(kind.removeprefix("int"))
    least, end = -(1 << bits - 1), 1 << bits - 1

    def fit(value: Any) -> Any:
        return value if not _is_whole(value) or least <= value < end else None

    return fit


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
