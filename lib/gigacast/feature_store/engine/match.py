"""Types and keys of rows of different origin, made to fit: the same for every engine."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.errors import SchemaError
from gigacast.feature_store.aggregation.timeline import code_keys


def fit(rows: pa.Table, schema: pa.Schema, label: str) -> pa.Table:
    """Return rows in the types of a schema; only changes that lose nothing are made.

    Raises
    ------
    SchemaError
    """
    for field in schema:
        kind = rows.schema.field(field.name).type
        if kind != field.type and not _widens(kind, field.type):
            raise SchemaError(
                f"{label}: {field.name} is {kind} in some partitions and {field.type} in later "
                "ones",
                hint=f"select it in one type, as CAST({field.name} AS DOUBLE)",
            )
    return rows.select(schema.names).cast(schema)


def _widens(kind: pa.DataType, target: pa.DataType) -> bool:
    numbers = (pat.is_integer(target) and pat.is_integer(kind)) or (
        pat.is_floating(target) and (pat.is_integer(kind) or pat.is_floating(kind))
    )
    texts = all(pat.is_string(k) or pat.is_large_string(k) for k in (kind, target))
    return pat.is_null(kind) or numbers or texts


def match_type(values: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """Return keys of the left side in the type of a source's; those that have none are null.

    A text and a number match if the text is the number's usual form.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], array.type)
    if array.type == kind:
        return array
    try:
        return array.cast(kind)
    except pa.ArrowException:
        return _match_some(array, kind)


def _match_some(array: pa.Array, kind: pa.DataType) -> pa.Array:
    matched = pa.nulls(len(array), kind)
    distinct = array.unique()
    keys = []
    for value in distinct:
        try:
            keys.append(value.cast(kind).as_py() if value.is_valid else None)
        except pa.ArrowException:
            keys.append(None)
    if not len(distinct):
        return matched
    return pa.array(keys, kind).take(pc.index_in(array, value_set=distinct))


def find_last(
    left: Sequence[pa.ChunkedArray], right: Sequence[pa.ChunkedArray], rows: int
) -> pa.Array:
    """Return the place of the last right row with the keys of each left row; null without one."""
    mine = [match_type(key, key.type) for key in right]
    theirs = [match_type(key, own.type) for key, own in zip(left, mine, strict=True)]
    codes, queried, _ = code_keys(mine, theirs)
    # Of several rows with one code the last assignment stays.
    last = np.full(int(max(codes.max(initial=-1), queried.max(initial=-1))) + 2, -1, np.int64)
    last[codes] = np.arange(len(codes))
    last[-1] = -1  # keys with a null have the code -1, which is the last place
    places = last[queried] if len(queried) else np.empty(0, np.int64)
    return pa.array(places, mask=places < 0) if rows else pa.array([], pa.int64())
