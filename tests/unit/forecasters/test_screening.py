"""Screening: which series a model can forecast."""

from gigacast.core.series.reason import Reason
from gigacast.forecasters.batching import screen
from tests.support.tiny_models import series_batch

NAN, INF = float("nan"), float("inf")


def reasons(series: list[list[float]], context_length: int = 100, min_length: int = 1) -> list[int]:
    return screen(series_batch(series), context_length, min_length).tolist()


def test_each_series_gets_its_own_reason():
    series = [[1.0, 2.0], [], [NAN, NAN], [1.0, INF], [1.0, NAN], [-INF]]
    assert reasons(series, min_length=2) == [
        Reason.OK,
        Reason.EMPTY,
        Reason.ALL_NULL,
        Reason.NOT_FINITE,
        Reason.TOO_SHORT,
        Reason.NOT_FINITE,
    ]


def test_missing_values_do_not_count_towards_the_length():
    assert reasons([[1.0, NAN, NAN, 2.0]], min_length=3) == [Reason.TOO_SHORT]


def test_only_the_context_counts():
    assert reasons([[1.0, 2.0, NAN, NAN]], context_length=2) == [Reason.ALL_NULL]
    assert reasons([[INF, 1.0, 2.0]], context_length=2) == [Reason.OK]


def test_a_reason_of_the_reader_is_kept():
    batch = series_batch([[1.0], []], reasons=[Reason.IRREGULAR, Reason.NO_TIMESTAMP])
    assert screen(batch, 10, 1).tolist() == [Reason.IRREGULAR, Reason.NO_TIMESTAMP]


def test_screening_does_not_change_the_batch():
    batch = series_batch([[]])
    screen(batch, 10, 1)
    assert batch.reasons.tolist() == [0]


def test_an_empty_batch_has_no_reasons():
    assert reasons([]) == []
