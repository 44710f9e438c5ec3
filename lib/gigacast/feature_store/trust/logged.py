"""Logged answers of a join as columns: keys in the types of tables, features in given types."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
import pyarrow.types as pat

from gigacast.core.record import parse_json
from gigacast.errors import DataError
from gigacast.feature_store.engine.match import match_type
from gigacast.feature_store.trust.equality import Bools, is_list
from gigacast.feature_store.trust.record import MAP_KEY, MAP_VALUE

_BLOCK_BYTES = 4 << 20
_VALUE = "value"


def keys_of(records: pa.Table, kinds: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """Return the keys of logged requests; those that are no value of their type are null.

    Parameters
    ----------
    records : pyarrow.Table
        Rows of `record.SCHEMA`.
    kinds : mapping of str to pyarrow.DataType
        Types by key.
    """
    texts = _columns(records["keys"], {name: pa.string() for name in kinds}, "keys")
    return {name: _of_text(texts[name], kind) for name, kind in kinds.items()}


def features_of(records: pa.Table, kinds: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """Return the features of logged answers; those that an answer lacks are null.

    A column of integers is one of floats if an answer has a number with a point in it.

    Parameters
    ----------
    records : pyarrow.Table
        Rows of `record.SCHEMA`.
    kinds : mapping of str to pyarrow.DataType
        Types by feature.

    Raises
    ------
    DataError
        If a value is none of its type.
    """
    forms = {name: _form(kind) for name, kind in kinds.items()}
    try:
        columns = _columns(records["values"], forms, "values")
    except DataError:
        # Derivations of single rows may give 3.0 where an engine gives 3.
        forms = {name: _wider(form) for name, form in forms.items()}
        columns = _columns(records["values"], forms, "values")
    return {name: _of_form(columns[name], kind) for name, kind in kinds.items()}


def batch_ends_of(records: pa.Table, parts: Sequence[str]) -> dict[str, pa.Array]:
    """Return the ends of the batches that answered, by part; null for a part that failed."""
    return _columns(records["batch_ends"], {name: pa.int64() for name in parts}, "batch_ends")


def failures_of(errors: pa.ChunkedArray, parts: Sequence[str]) -> tuple[dict[str, Bools], Bools]:
    """Return the rows in which each part failed, and those in which anything did.

    Parameters
    ----------
    errors : pyarrow.ChunkedArray
        Texts of JSON: messages by part.
    parts : sequence of str
    """
    coded = errors.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = pa.concat_arrays(coded.chunks) if coded.chunks else pa.array([]).dictionary_encode()
    failed = [parse_json(text) for text in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    def rows(names: Sequence[Mapping[str, str]], part: str) -> Bools:
        hit = np.array([part in entry or "" in entry for entry in names], np.bool_)
        mask: Bools = hit[codes] if len(hit) else np.zeros(len(codes), np.bool_)
        return mask

    any_failed = np.array([bool(entry) for entry in failed], np.bool_)
    anything: Bools = any_failed[codes] if failed else np.zeros(len(codes), np.bool_)
    return {part: rows(failed, part) for part in parts}, anything


def _columns(
    texts: pa.ChunkedArray, kinds: Mapping[str, pa.DataType], label: str
) -> dict[str, pa.Array]:
    """Return fields of objects in JSON as columns."""
    if not len(texts) or not kinds:
        return {name: pa.nulls(len(texts), kind) for name, kind in kinds.items()}
    schema = pa.schema(list(kinds.items()))
    longest = pc.max(pc.binary_length(texts)).as_py()
    rows = pa.ListArray.from_arrays([0, len(texts)], _one_array(texts))
    content = pc.binary_join(rows, "\n")[0].as_buffer()
    options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    # An object must fit into a block and the next one.
    blocks = pa_json.ReadOptions(use_threads=False, block_size=max(_BLOCK_BYTES, longest + 1))
    try:
        table = pa_json.read_json(pa.BufferReader(content), blocks, options)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0][:200]
        raise DataError(
            f"a logged answer has {label} that cannot be read: {reason}",
            hint="the log is of another definition, or was changed",
        ) from error
    return {name: _one_array(table[name]) for name in kinds}


def _one_array(values: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)


def _of_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if is_list(kind):
        objects = pc.binary_join_element_wise(f'{{"{_VALUE}":', texts, "}", "")
        filled = pa.chunked_array([pc.fill_null(objects, "{}")])
        return _of_form(_columns(filled, {_VALUE: _form(kind)}, "keys")[_VALUE], kind)
    if pat.is_binary(kind) or pat.is_large_binary(kind):
        return _of_form(texts, kind)
    return match_type(texts, kind)


def _form(kind: pa.DataType) -> pa.DataType:
    """Return the type in which JSON holds values of a type."""
    if pat.is_map(kind):
        fields = [(MAP_KEY, pa.string()), (MAP_VALUE, _form(kind.item_type))]
        return pa.list_(pa.struct(fields))
    if is_list(kind):
        return pa.list_(_form(kind.value_type))
    if pat.is_decimal(kind):
        return pa.float64()
    is_plain = pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind)
    return kind if is_plain else pa.string()


def _wider(form: pa.DataType) -> pa.DataType:
    return pa.float64() if pat.is_integer(form) else form


def _of_form(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values of JSON in their type; floats in the place of integers stay floats."""
    if pat.is_map(kind):
        entries = values.flatten()
        keys = match_type(entries.field(MAP_KEY), kind.key_type)
        items = _of_form(entries.field(MAP_VALUE), kind.item_type)
        return pa.MapArray.from_arrays(_offsets(values), keys, items)
    if is_list(kind) and values.type != kind:
        items = _of_form(values.flatten(), kind.value_type)
        return pa.ListArray.from_arrays(_offsets(values), items)
    if pat.is_binary(kind) or pat.is_large_binary(kind):
        plain: list[Any] = [
            None if text is None else bytes.fromhex(text) for text in values.to_pylist()
        ]
        return pa.array(plain, kind)
    is_number = pat.is_integer(kind) or pat.is_decimal(kind)
    return values if is_number and pat.is_floating(values.type) else values.cast(kind)


def _offsets(values: pa.Array) -> pa.Array:
    """Return where each list begins among the items that ``flatten`` gives; null for null."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    missing = pc.is_null(values).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.array(starts, mask=np.concatenate([missing, [False]]))
