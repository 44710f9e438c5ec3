"""Days and moments of times in milliseconds."""

import pytest

from gigacast.errors import SchemaError
from gigacast.feature_store.offline.day import day_of, moment_of


def test_a_time_has_a_day_and_a_moment() -> None:
    assert day_of(0) == "1970-01-01"
    assert day_of(-1) == "1969-12-31"
    assert day_of(253402300799999) == "9999-12-31"
    assert (
        moment_of(1700000000123).isoformat(timespec="milliseconds").startswith("2023-11-14T22:13")
    )


@pytest.mark.parametrize("time", [1700000000 * 10**9, -(2**62), 2**63 - 1, 253402300800000])
def test_a_time_that_no_calendar_has_is_refused(time: int) -> None:
    for function in (day_of, moment_of):
        with pytest.raises(SchemaError, match=f"a row at {time} milliseconds"):
            function(time)
