"""Values of JSON in the types of columns, and features in the types of Python."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from gigacast.errors import SchemaError
from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.definition.number_kind import NumberKind, number_kind

Convert = Callable[[Any], Value]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def reader_of(kind: pa.DataType) -> Convert:
    """Return the function that makes a column's value of one of JSON, or of Python.

    Texts of numbers become numbers, as keys are often written: ``{"user_id": "5"}``. The function
    raises `SchemaError` for a value that is none of the type; nulls stay.
    """
    read = _reader(kind)

    def convert(value: Any) -> Value:
        if value is None:
            return None
        try:
            return read(value)
        except (ValueError, TypeError, OverflowError, AttributeError):
            raise SchemaError(
                f"{str(value)[:40]!r} is no {kind}", hint=f"write a value of the type {kind}"
            ) from None

    return convert


def _reader(kind: pa.DataType) -> Convert:  # noqa: PLR0911 - a row per type
    if pat.is_integer(kind):
        return _integers(kind.bit_width, unsigned=pat.is_unsigned_integer(kind))
    if pat.is_floating(kind):
        return _float if kind.bit_width == 64 else lambda v: pa.scalar(_float(v), kind).as_py()
    if pat.is_string(kind) or pat.is_large_string(kind):
        return _text
    if pat.is_boolean(kind):
        return _boolean
    if pat.is_date32(kind):
        return _days
    if pat.is_timestamp(kind):
        return lambda value: _ticks(value, _UNITS[kind.unit])
    if pat.is_binary(kind) or pat.is_large_binary(kind):
        return lambda value: value.encode() if isinstance(value, str) else bytes(memoryview(value))
    if pat.is_list(kind) or pat.is_large_list(kind):
        item = reader_of(kind.value_type)
        return lambda value: [item(entry) for entry in _sequence(value)]
    if pat.is_map(kind):
        own = reader_of(kind.item_type)
        return lambda value: {str(name): own(entry) for name, entry in _pairs(value)}
    raise SchemaError(
        f"values of type {kind} cannot be served", hint="cast the column in the source's selects"
    )


def writer_of(kind: pa.DataType) -> Convert | None:
    """Return the function that makes a feature of a state's value; None if both are the same."""
    if pat.is_date32(kind):
        return lambda value: None if value is None else date(1970, 1, 1) + timedelta(days=value)
    if pat.is_timestamp(kind):
        per_second = _UNITS[kind.unit]
        return lambda value: None if value is None else _moment(value, per_second, kind)
    if pat.is_list(kind) or pat.is_large_list(kind):
        item = writer_of(kind.value_type)
        if item is None:
            return None
        return lambda value: None if value is None else [item(entry) for entry in value]
    if pat.is_map(kind):
        key = writer_of(kind.key_type) or _same
        own = writer_of(kind.item_type) or _same
        return lambda value: None if value is None else {key(n): own(v) for n, v in _pairs(value)}
    return None


def to_json(value: Any) -> Any:
    """Return a feature as a value of JSON.

    Dates and times are texts of ISO 8601, bytes texts of hex, and NaN and infinity null. Integers
    are written in full, also beyond 2**53. Keys of maps are texts: numbers as JSON writes them,
    ``true``, ``false`` and ``null``.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key_text(name): to_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        return key
    plain = to_json(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _same(value: Any) -> Any:
    return value


def _integers(width: int, *, unsigned: bool) -> Callable[[Any], int]:
    low, high = (0, 1 << width) if unsigned else (-(1 << width - 1), 1 << width - 1)

    def read(value: Any) -> int:
        if isinstance(value, bool):
            raise TypeError
        number = int(value)
        if isinstance(value, float) and number != value:
            raise ValueError
        if not low <= number < high:
            raise OverflowError
        return number

    return read


_INT32, _INT64 = _integers(32, unsigned=False), _integers(64, unsigned=False)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _text(value: Any) -> str:
    # A number as a text key is its usual form; a float would have several.
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        text = str(value)
        text.encode()  # JSON may escape half of a character, which no store takes
        return text
    raise TypeError


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise ValueError
    return text in _TRUE


def _days(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _INT32(value)
    day = value if isinstance(value, date) else date.fromisoformat(value)
    return day.toordinal() - date(1970, 1, 1).toordinal()


def _ticks(value: Any, per_second: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _INT64(value)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * per_second // 1_000_000


def _moment(ticks: int, per_second: int, kind: pa.TimestampType) -> datetime:
    moment = _EPOCH + timedelta(microseconds=ticks * 1_000_000 // per_second)
    return moment if kind.tz else moment.replace(tzinfo=None)


def _sequence(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise TypeError
    return value


def _pairs(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else value


def kinds_of(schema: pa.Schema) -> dict[str, NumberKind]:
    """Return the kinds of the columns that are numbers; of structures as ``column.field``."""
    kinds: dict[str, NumberKind] = {}
    for field in schema:
        if (kind := number_kind(str(field.type))) is not None:
            kinds[field.name] = kind
        elif pat.is_struct(field.type):
            inner = kinds_of(pa.schema(list(field.type)))
            kinds |= {f"{field.name}.{name}": own for name, own in inner.items()}
    return kinds
