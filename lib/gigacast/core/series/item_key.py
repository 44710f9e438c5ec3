"""Item keys: one id for the values of several columns, and back.

A key is a text such as ``12/a``: the values in the order of the columns, divided by slashes. As
in a JSON pointer (RFC 6901), ``~1`` stands for a slash within a value and ``~0`` for a tilde. So no
two combinations share a key, and a key alone gives its values back, in any process.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import text_column, to_arrow
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import ConfigError, CorruptedFileError

ITEM_COLUMNS = "gigacast.item_columns"
"""Key of the file metadata that names the columns which identify an item together."""
_SEPARATOR = "/"
_NAMES = Source("metadata of an output", CorruptedFileError, hint="make the output again")


@dataclass(frozen=True, slots=True)
class ItemKey:
    """The columns that identify an item together, and their types.

    Parameters
    ----------
    names : tuple of str
        Names of the columns, K.
    types : tuple of pa.DataType
        Types in which their values are given back, K.
    """

    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]

    @property
    def fields(self) -> list[pa.Field]:
        """Columns of an output, K."""
        return [pa.field(n, kind) for n, kind in zip(self.names, self.types, strict=True)]

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of an output, so that readers know its columns of items."""
        return {ITEM_COLUMNS: json.dumps(self.names)}

    def encode(self, columns: Sequence[pa.Array]) -> pa.Array:
        """Return the keys of rows as text [N]; null where a value is missing.

        Parameters
        ----------
        columns : sequence of pa.Array [N]
            K columns of the types of this key.
        """
        parts = [_escape(_to_text(column)) for column in columns]
        return pc.binary_join_element_wise(*parts, _SEPARATOR, null_handling="emit_null")

    def decode(self, keys: pa.Array) -> list[pa.Array]:
        """Return the values of keys [N] without nulls, a column of each type, K of them."""
        # Every key has the same number of parts, so the parts of all keys are a table by rows.
        parts = pc.split_pattern(keys, _SEPARATOR).flatten()
        count = len(self.names)
        places = np.arange(len(parts))
        columns = [parts.take(to_arrow(places[first::count])) for first in range(count)]
        return [
            _from_text(_unescape(column), kind)
            for column, kind in zip(columns, self.types, strict=True)
        ]


def key_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns that name the items of an output together; none if ``item_id`` does.

    Parameters
    ----------
    schema : pa.Schema
        Schema of stored forecasts or losses, with its metadata.
    """
    stored = (schema.metadata or {}).get(ITEM_COLUMNS.encode())
    if stored is None:
        return ()
    names: tuple[str, ...] = read_value(tuple[str, ...], decode_json(stored, _NAMES), _NAMES)
    return names


def item_names(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns that name the items of an output: ``item_id``, or several."""
    return key_columns(schema) or ("item_id",)


def items_of(table: pa.Table) -> pa.ChunkedArray:
    """Return the item id of each row of stored forecasts or losses; keys for several columns."""
    key = _key_in(table.schema)
    if key is None:
        return table["item_id"]
    names = key.names
    return pa.chunked_array([key.encode([table[n].combine_chunks() for n in names])], pa.string())


def ids_as(values: Iterable[object], schema: pa.Schema) -> pa.Array:
    """Return item ids that a caller gave in the type of an output's ids.

    Parameters
    ----------
    values : iterable
        Ids; with several columns a tuple of values for each item, or its key as text.
    schema : pa.Schema
        Schema of the output.

    Raises
    ------
    ConfigError
        If an item has another number of values than there are columns.
    pa.ArrowException, ValueError, TypeError, OverflowError
        If a value cannot be of the type of its column.
    """
    key = _key_in(schema)
    if key is None:
        return pa.array(list(values)).cast(schema.field("item_id").type)
    return pa.concat_arrays([text_column([]), *(_key_of(value, key) for value in values)])


def _key_in(schema: pa.Schema) -> ItemKey | None:
    names = key_columns(schema)
    return ItemKey(names, tuple(schema.field(name).type for name in names)) if names else None


def _key_of(value: object, key: ItemKey) -> pa.Array:
    if isinstance(value, str):
        return text_column([value])
    parts = value if isinstance(value, tuple | list) else (value,)
    if len(parts) != len(key.names):
        raise ConfigError(
            f"items: {value!r} is not a value for each of {', '.join(key.names)}",
            hint="give a tuple for each item, in the order of the columns",
        )
    columns = [pa.array([p]).cast(kind) for p, kind in zip(parts, key.types, strict=True)]
    return key.encode(columns)


def _escape(texts: pa.Array) -> pa.Array:
    return pc.replace_substring(pc.replace_substring(texts, "~", "~0"), "/", "~1")


def _unescape(texts: pa.Array) -> pa.Array:
    # In this order, as the RFC says: `~01` is a tilde and a one, not a slash.
    return pc.replace_substring(pc.replace_substring(texts, "~1", "/"), "~0", "~")


def _integers_of(kind: pa.DataType) -> pa.DataType | None:
    """Return the integers that a type of times is stored as; ``None`` for other types."""
    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    return None


def _to_text(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column
    # Arrow prints times, but cannot read all that it prints: their numbers come back exactly.
    integers = _integers_of(column.type)
    return (column if integers is None else column.view(integers)).cast(pa.string())


def _from_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    integers = _integers_of(kind)
    return texts.cast(kind) if integers is None else texts.cast(integers).view(kind)
