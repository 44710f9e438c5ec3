"""Single values of states: one form of equal values, and one total order of each type.

Values are integers, floats, booleans, texts, bytes, or lists and maps of them. Times and dates are
integers here; ``row_state.plain_values`` makes them so.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack

Value = Any

NAN = math.nan


def canonical(value: Value) -> Value:
    """Return the only form of a value: ``-0.0`` becomes ``0.0``, every NaN the same object.

    Without it ``MIN`` of ``0.0`` and ``-0.0`` would depend on the order of merging, and a NaN would
    not be equal to itself as the key of a histogram.
    """
    if isinstance(value, float):
        return NAN if value != value else value + 0.0  # noqa: PLR0124 (true for NaN alone)
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    return value


def rank(value: Value) -> Any:
    """Return the sort key of a canonical value among values of its column.

    Floats sort as numbers, NaN last. Lists and maps have no order of their own and compare by their
    encoding: any rule would do, as long as every engine uses the same.
    """
    if isinstance(value, float):
        return (value != value, 0.0 if value != value else value)  # noqa: PLR0124
    if isinstance(value, list | tuple | dict):
        return pack(value)
    return value


def pack(value: Value) -> bytes:
    """Return the msgpack encoding of a value."""
    encoded: bytes = msgpack.packb(value, use_bin_type=True)
    return encoded


unpack: Callable[[bytes], Value] = partial(msgpack.unpackb, strict_map_key=False)
"""Function that returns the value of a msgpack encoding. Called several times in a fetch."""


def sane(value: Value) -> Value:
    """Return a number that a feature may have: none in place of NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
