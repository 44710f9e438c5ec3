"""Damaged pointers of the online store end in an error that names them."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import ConfigError, DataError
from gigacast.feature_store.online.key import group_by_key
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.serving import ServedGroupBy, read_group_by
from tests.support.features.served_events import NAME, serve


@pytest.fixture(scope="module")
def pointer() -> bytes:
    store = MemoryOnlineStore()
    serve(store, [])
    stored = store.get_many([group_by_key(NAME)])[0]
    assert stored is not None
    assert read_group_by(store, NAME).encode() == stored.value
    return stored.value


def json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_a_pointer_of_an_earlier_release_has_no_digest_and_is_read(pointer: bytes) -> None:
    values = json.loads(pointer)
    del values["digest"]
    served = ServedGroupBy.decode(json.dumps(values).encode(), "pointer")
    assert served.encode() == pointer


VALUES: list[Any] = [None, -1, 1.5, True, "", "x", [], {}, [[]], 10**30]


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 1 << 30))
def test_any_damage_is_an_error_of_gigacast(pointer: bytes, seed: int) -> None:
    generator = random.Random(seed)
    content = bytearray(pointer)
    kind = generator.choice(["flip", "cut", "exchange", "remove"])
    if kind == "flip":
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    elif kind == "cut":
        del content[generator.randrange(len(content)) :]
    else:
        values = json.loads(pointer)
        place = generator.choice([values, values["batch"]])
        name = generator.choice(sorted(place))
        if kind == "remove":
            del place[name]
        else:
            place[name] = generator.choice(VALUES)
        content = bytearray(json.dumps(values).encode())
    is_told = kind in {"flip", "exchange"} and json_of(content) != json.loads(pointer)
    problem = None
    try:
        served = ServedGroupBy.decode(bytes(content), "pointer")
    except (DataError, ConfigError) as error:
        problem = error
    if problem is None:
        assert not is_told or "digest" not in (json_of(content) or {})
        assert isinstance(served.encode(), bytes)
    else:
        assert "pointer" in problem.message
        assert problem.hint
