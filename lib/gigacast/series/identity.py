"""Item ids: their types and 64-bit hashes.

Whatever can name things is an id: text, bytes, integers, decimals, UUIDs, dates, times, durations
and booleans. Text of any Arrow type, bytes in UTF-8 and UUIDs are returned as string, integers of
any width as int64 (uint64 stays); other types stay. Floats are no ids, as equal ones need not look
equal, and neither are lists and structs.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray, UintArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import SchemaError
from gigacast.series.segment import offsets_of, reduce_segments
from gigacast.series.timestamp import is_bytes, is_text

MAX_ID_BYTES = 1 << 20
"""Longest id: each is written with every step of its forecast."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def is_id_type(kind: pa.DataType) -> bool:
    """Check that a column of this type can hold item ids."""
    if pa.types.is_dictionary(kind):
        return is_id_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _is_uuid(kind) or is_text(kind.storage_type)
    return bool(
        is_text(kind)
        or is_bytes(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
        or _is_kept(kind)
    )


def id_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which the ids of a column are returned."""
    if pa.types.is_dictionary(kind):
        return id_type(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
    return kind if _is_kept(kind) else pa.string()


def read_ids(ids: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """Return ids in their output type.

    Raises
    ------
    SchemaError
        If bytes are not UTF-8, a number is out of range, or an id is longer than `MAX_ID_BYTES`.
    """
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary_decode()
    _check_lengths(ids, name)
    if pa.types.is_date64(ids.type) and _have_hours(ids):
        raise SchemaError(
            f"{name}: dates that are item ids have hours, which get lost where dates are stored",
            hint="write them as timestamps, or as text",
        )
    if isinstance(ids.type, pa.BaseExtensionType):
        ids = _uuid_texts(ids.storage) if _is_uuid(ids.type) else ids.storage
    try:
        return ids if ids.type == kind else ids.cast(kind)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{name}: an item id cannot be read as {kind}: {error}",
            hint="write ids as text in UTF-8, as the text of a UUID or hexadecimal digits of bytes",
        ) from error


def valid_ids(column: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """Return ids in their output type, as `read_ids`, of a column that may hold nulls."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not column.null_count:
        return read_ids(column, kind, name)
    is_valid = to_numpy(column.is_valid())
    values = read_ids(column.drop_null(), kind, name)
    places = np.where(is_valid, np.cumsum(is_valid) - 1, 0).astype(np.int64)
    return values.take(to_arrow(places, ~is_valid))


def _check_lengths(ids: pa.Array, name: str) -> None:
    if isinstance(ids.type, pa.BaseExtensionType) or not _has_lengths(ids.type):
        return
    # Short values in all cannot hold a long one, which spares nearly every batch the look.
    if ids.nbytes <= MAX_ID_BYTES:
        return
    longest = pc.max(pc.binary_length(ids)).as_py() or 0
    if longest > MAX_ID_BYTES:
        raise SchemaError(
            f"{name}: an item id of {longest:,} bytes; an id has at most {MAX_ID_BYTES:,}",
            hint="name the column of ids by --item_column",
        )


def _have_hours(dates: pa.Array) -> bool:
    return bool((to_numpy(dates.cast(pa.int64())) % 86_400_000 != 0).any())


def _has_lengths(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def hash_ids(ids: pa.Array) -> UintArray:
    """Return a 64-bit hash of each id, the same in every process and batch, uint64 [N]."""
    # Python's hash() of strings differs from process to process and needs a loop.
    if pa.types.is_integer(ids.type):
        return _mix(to_numpy(ids).astype(np.uint64))
    if not pa.types.is_string(ids.type):
        ids = ids.cast(pa.string())
    _, offset_buffer, data_buffer = ids.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if offsets[-1] == offsets[0]:
        return _mix(np.zeros(len(ids), np.uint64))
    letters = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets).astype(np.int64)
    return _mix(_sum_letters(letters, offsets_of(lengths)) + lengths.astype(np.uint64))


def _sum_letters(letters: npt.NDArray[np.uint8], offsets: IntArray) -> UintArray:
    # Multilinear hashing: the sum over all positions of the byte times a random odd number that
    # depends on the position. It needs no loop over ids. The added 1 makes a zero byte count.
    positions = np.arange(len(letters), dtype=np.int64) - np.repeat(offsets[:-1], np.diff(offsets))
    factors = _mix(np.arange(positions.max() + 1, dtype=np.uint64)) | np.uint64(1)
    terms = (letters.astype(np.uint64) + np.uint64(1)) * factors[positions]
    sums: UintArray = reduce_segments(np.add, terms, offsets, 0)
    return sums


def _mix(keys: UintArray) -> UintArray:
    # The finaliser of splitmix64. It relies on overflow: numpy's arrays wrap without a warning.
    mixed = keys + _GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def _is_kept(kind: pa.DataType) -> bool:
    """Check whether ids of this type are returned as they are."""
    return bool(
        pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_duration(kind)
    )


def _is_uuid(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", None) == "arrow.uuid"


def _uuid_texts(storage: pa.Array) -> pa.Array:
    """Return UUIDs, as 16 bytes each, in their usual spelling."""
    if storage.null_count:
        texts = _uuid_texts(storage.fill_null(bytes(16)))
        return pc.if_else(storage.is_valid(), texts, pa.scalar(None, pa.string()))
    start = storage.offset * 16
    stored = np.frombuffer(storage.buffers()[1], np.uint8)[start : start + 16 * len(storage)]
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    letters = np.full((len(storage), 36), ord("-"), np.uint8)
    # The hyphens are at 8, 13, 18 and 23; two digits for each byte are between them.
    places = np.delete(np.arange(36), [8, 13, 18, 23])
    halves = np.stack([stored >> 4, stored & 15], axis=1).reshape(len(storage), 32)
    letters[:, places] = digits[halves]
    offsets = np.arange(len(storage) + 1, dtype=np.int32) * 36
    buffers = [pa.py_buffer(offsets), pa.py_buffer(letters)]
    return pa.StringArray.from_buffers(len(storage), *buffers)
