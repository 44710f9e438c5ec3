"""The span of the bins between two times begins with the first bin and ends with the last."""

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.time.frequency import Frequency
from gigacast.series.aggregation.aggregate import bins_between
from gigacast.series.timestamp import Clock

ZONE = "Europe/Berlin"


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz=ZONE).timestamp()) * 10**6


@pytest.mark.parametrize(
    ("alias", "first", "last", "start", "stop"),
    [
        ("D", "2024-03-30 05:00", "2024-03-31 23:00", "2024-03-30", "2024-04-01"),
        ("MS", "2024-01-31", "2024-03-01", "2024-01-01", "2024-04-01"),
        ("h", "2024-07-01 05:30", "2024-07-01 07:00", "2024-07-01 05:00", "2024-07-01 08:00"),
        ("6h", "2024-07-01 05:30", "2024-07-01 05:31", "2024-07-01 01:00", "2024-07-01 07:00"),
    ],
)
def test_a_span_is_that_of_whole_bins(
    alias: str, first: str, last: str, start: str, stop: str
) -> None:
    clock = Clock(pa.timestamp("us", ZONE))
    span = bins_between(micros(first), micros(last), Frequency.parse(alias), clock)
    assert tuple(span) == (micros(start), micros(stop))
