"""Damage to small files: cut off, a bit flipped, replaced, or a value of JSON of another kind."""

import json
import random
from collections.abc import Iterator
from typing import Any

_CONTENTS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"9" * 5000,
    b"\xff\xfe",
    b"\x00" * 100,
    b'"text"',
    b"1e999",
    b"NaN",
]
_VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    float("nan"),
    "",
    "text",
    "../..",
    "\ud800",
    "\x1b[31m",
    "2024-01-01T00:00:00",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [[]],
    {"a": None},
]
_DELETED = object()


def damaged(content: bytes, seed: int) -> tuple[bytes, str]:
    """Return damaged content, and what was done to it."""
    chance = random.Random(seed)
    kind = chance.randrange(8)
    if kind == 0:
        end = chance.randrange(len(content))
        return content[:end], f"cut off at {end}"
    if kind == 1:
        return _flipped(content, chance)
    if kind == 2:
        replacement = chance.choice(_CONTENTS)
        return replacement, f"replaced by {replacement[:20]!r}"
    try:
        plain = json.loads(content)
    except ValueError:
        return _flipped(content, chance)
    place = chance.choice([*_places(plain)])
    value = chance.choice([*_VALUES, *[_DELETED] * 4] if place else _VALUES)
    change = "deleted" if value is _DELETED else repr(value)
    return json.dumps(_changed(plain, place, value)).encode(), f"{place}: {change}"


def _flipped(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    bit = chance.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed), f"bit {bit}"


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    entries = value.items() if isinstance(value, dict) else ()
    entries = enumerate(value) if isinstance(value, list) else entries
    for name, child in entries:
        yield from _places(child, (*place, name))


def _changed(plain: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    container = plain
    for name in place[:-1]:
        container = container[name]
    if value is _DELETED:
        del container[place[-1]]
    else:
        container[place[-1]] = value
    return plain
