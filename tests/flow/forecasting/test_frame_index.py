"""Frames whose ids and times are in the index."""

from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.errors import SchemaError

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}


def nixtla() -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=10)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": days, "y": range(n, n + 10)})
        for n, name in ((0, "a"), (100, "b"))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("keys", [["unique_id"], ["ds"], ["unique_id", "ds"], ["ds", "unique_id"]])
@pytest.mark.parametrize("drop", [True, False])
def test_named_levels_of_the_index_are_columns(keys: list[str], drop: bool) -> None:
    plain = gigacast.forecast(nixtla(), **OPTIONS)
    indexed = nixtla().set_index(keys, drop=drop)
    pd.testing.assert_frame_equal(gigacast.forecast(indexed, **OPTIONS), plain)


def test_an_index_of_row_numbers_is_not_read() -> None:
    plain = gigacast.forecast(nixtla(), **OPTIONS)
    sampled = nixtla().sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(gigacast.forecast(sampled, **OPTIONS), plain)


def test_levels_without_a_name_are_refused() -> None:
    frame = nixtla().set_index(["unique_id", "ds"])
    frame.index.names = [None, "ds"]
    with pytest.raises(SchemaError, match="the index has 2 levels, and not all have a name"):
        gigacast.forecast(frame, **OPTIONS)


def test_a_frame_for_training_is_read_in_the_same_way() -> None:
    from gigacast.training.api import _source_of

    source = _source_of(nixtla().set_index(["unique_id", "ds"]))
    assert source is not None
    (group,) = source.groups()
    assert set(group.sources[0].open().column_names) == {"unique_id", "ds", "y"}
