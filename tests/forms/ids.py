"""Columns of ids in the types and spellings that people and programs write."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.forms.values import Made, runs_of


@dataclass(frozen=True)
class IdForm:
    """A form of ids.

    Parameters
    ----------
    name : str
    names : tuple
        Id of each item, as its forecasts have it.
    make : callable
        Makes the column from the numbers of the items.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    csv : bool
        Whether CSV and JSON can spell them.
    """

    name: str
    names: tuple[Any, ...]
    make: Made
    refused: str = ""
    csv: bool = False


def _typed(names: Sequence[Any], kind: pa.DataType, given: Sequence[Any] | None = None) -> Made:
    return lambda numbers: pa.array([(given or names)[n] for n in numbers], kind)


def _extension(kind: Any, stored: Sequence[Any], storage: pa.DataType) -> Made:
    return lambda numbers: pa.ExtensionArray.from_storage(
        kind, pa.array([stored[n] for n in numbers], storage)
    )


def _dictionary(names: Sequence[Any], index: pa.DataType, value: pa.DataType) -> Made:
    codes = list(reversed(range(len(names))))  # the codes' order is not that of the texts
    values = pa.array([names[n] for n in codes], value)
    return lambda numbers: pa.DictionaryArray.from_arrays(
        pa.array([codes[n] for n in numbers], index), values
    )


_TEXTS = ("b", "a", "c")
_NUMBERS = (7, 2, 100)
_DAYS = (date(2020, 1, 2), date(2019, 5, 5), date(2021, 7, 1))
_CLOCKS = (time(1, 0), time(0, 30), time(23, 59))
_SPANS = (timedelta(1), timedelta(hours=5), timedelta(3))
_MOMENTS = tuple(datetime(2020, 1, 1 + n, 3) for n in (4, 1, 9))  # noqa: DTZ001 - wall time
_DECIMALS = (Decimal("1.10"), Decimal("0.20"), Decimal("12.00"))
_UUIDS = tuple(uuid.UUID(int=n << 64 | n) for n in (9, 3, 77))
_ODD = ("007", "7", "1.10", "NA", "null", "true", "12E3", "99999999999999999998", "+49", " x ", "é")
_NOT_AN_ID = "cannot hold item ids|has the unusable type"

_ID_LIST = [
    IdForm("texts", _TEXTS, _typed(_TEXTS, pa.string()), csv=True),
    IdForm("texts like numbers", _ODD[:3], _typed(_ODD[:3], pa.string()), csv=True),
    IdForm("texts like words", _ODD[3:6], _typed(_ODD[3:6], pa.string()), csv=True),
    IdForm("texts of digits", _ODD[6:9], _typed(_ODD[6:9], pa.string()), csv=True),
    IdForm("texts like dates", ("2024-01-01", "10:30:00", "2024"),
           _typed(("2024-01-01", "10:30:00", "2024"), pa.string()), csv=True),
    IdForm("texts with spaces", (" x ", "é", "x"),
           _typed((" x ", "é", "x"), pa.string()), csv=True),
    IdForm("texts with marks", ('a,"b"', "a;b", "a\tb"),
           _typed(('a,"b"', "a;b", "a\tb"), pa.string()), csv=True),
    IdForm("large texts", _TEXTS, _typed(_TEXTS, pa.large_string())),
    IdForm("views of texts", _TEXTS, _typed(_TEXTS, pa.string_view())),
    *(
        IdForm(f"dictionary of {value} by {index}", _TEXTS, _dictionary(_TEXTS, index, value))
        for index, value in (
            (pa.int8(), pa.string()),
            (pa.int32(), pa.large_string()),
            (pa.uint32(), pa.string()),
            (pa.int64(), pa.string_view()),
        )
    ),
    IdForm("dictionary of int64", _NUMBERS, _dictionary(_NUMBERS, pa.int16(), pa.int64())),
    IdForm("dictionary of binary", _TEXTS,
           _dictionary((b"b", b"a", b"c"), pa.int16(), pa.binary())),
    IdForm("dictionary of run ends", _TEXTS, lambda n: pa.DictionaryArray.from_arrays(
        pa.array(n, pa.int8()), runs_of(pa.string())(_TEXTS))),
    IdForm("run ends of texts", _TEXTS, lambda n: runs_of(pa.string())([_TEXTS[k] for k in n])),
    *(
        IdForm(str(kind), _NUMBERS, _typed(_NUMBERS, kind), csv=False)
        for kind in (
            *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
            *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        )
    ),
    IdForm("uint64 beyond int64", (2**64 - 1, 2**63, 1),
           _typed((2**64 - 1, 2**63, 1), pa.uint64())),
    *(
        IdForm(str(kind), _TEXTS, _typed(_TEXTS, kind, (b"b", b"a", b"c")))
        for kind in (pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view())
    ),
    *(
        IdForm(str(kind), _DECIMALS, _typed(_DECIMALS, kind))
        for kind in (pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(10, 2),
                     pa.decimal256(40, 2))
    ),
    IdForm("decimal128(38, 0)", tuple(map(Decimal, _NUMBERS)),
           _typed(tuple(map(Decimal, _NUMBERS)), pa.decimal128(38, 0))),
    IdForm("date32", _DAYS, _typed(_DAYS, pa.date32())),
    IdForm("date64", _DAYS, _typed(_DAYS, pa.date64())),
    *(
        IdForm(str(kind), _CLOCKS, _typed(_CLOCKS, kind))
        for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    ),
    *(
        IdForm(f"id {kind}", _MOMENTS, _typed(_MOMENTS, kind))
        for kind in (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"))
    ),
    IdForm("id timestamp in UTC", tuple(m.replace(tzinfo=UTC) for m in _MOMENTS),
           _typed(_MOMENTS, pa.timestamp("us", "UTC"))),
    *(
        IdForm(str(kind), _SPANS, _typed(_SPANS, kind))
        for kind in (pa.duration("s"), pa.duration("ms"), pa.duration("us"), pa.duration("ns"))
    ),
    IdForm("booleans", (True, False), _typed((True, False), pa.bool_())),
    IdForm("uuid", tuple(map(str, _UUIDS)),
           _extension(pa.uuid(), [u.bytes for u in _UUIDS], pa.binary(16))),
    IdForm("json", ('"b"', '"a"', '"c"'),
           _extension(pa.json_(), ('"b"', '"a"', '"c"'), pa.string())),
    IdForm("bool8", (True, False), _extension(pa.bool8(), (1, 0), pa.int8())),
    IdForm("floats", (1.0, 2.0, 3.0), _typed((1.0, 2.0, 3.0), pa.float64()), _NOT_AN_ID),
    IdForm("halves", (1.0, 2.0, 3.0), _typed((1.0, 2.0, 3.0), pa.float16()), _NOT_AN_ID),
    IdForm("structs", (1, 2, 3),
           _typed([{"a": n} for n in range(3)], pa.struct([("a", pa.int64())])), _NOT_AN_ID),
    IdForm("lists", (1, 2, 3), _typed([[n] for n in range(3)], pa.list_(pa.int64())), _NOT_AN_ID),
    IdForm("intervals", (1, 2, 3),
           _typed([(0, n, 0) for n in range(3)], pa.month_day_nano_interval()), _NOT_AN_ID),
    IdForm("nulls", (None, None, None), lambda n: pa.nulls(len(n)), "no row has an item id"),
    IdForm("texts that are null", (None, None, None), lambda n: pa.nulls(len(n), pa.string()),
           "no row has an item id"),
]  # fmt: skip
IDS = {form.name: form for form in _ID_LIST}
