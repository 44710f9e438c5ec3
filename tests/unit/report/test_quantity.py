"""Numbers and typed values as people read them."""

import pytest

from gigacast.report import quantity
from gigacast.report.document import Cell, Kind


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.00 s"),
        (0.4231, "0.42 s"),
        (12.34, "12.3 s"),
        (59.96, "1m 00s"),
        (125, "2m 05s"),
        (3599.6, "1h 00m"),
        (11_220, "3h 07m"),
        (200_000, "2d 07h"),
    ],
)
def test_durations_have_two_parts(seconds: float, expected: str) -> None:
    assert quantity.duration(seconds) == expected


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_234, "1.2 kB"),
        (38e9, "38 GB"),
        (999.6e6, "1.0 GB"),
        (4e18, "4,000 PB"),
    ],
)
def test_sizes_count_in_thousands(size_bytes: float, expected: str) -> None:
    assert quantity.size(size_bytes) == expected


def test_rates_need_time() -> None:
    assert quantity.rate(100, 0) == "-"
    assert quantity.rate(10, 4) == "2.5"
    assert quantity.rate(12_345, 0.5) == "24,690"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, "0"),
        (0.01234, "0.01234"),
        (12.3456, "12.35"),
        (12345.6, "12,346"),
        (3e-9, "3e-09"),
        (-2.5e20, "-2.5e+20"),
    ],
)
def test_numbers_are_short(number: float, expected: str) -> None:
    assert quantity.short(number) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "0"), (0.00002, "<0.01%"), (0.1234, "12.34%"), (1.0, "100.00%")]
)
def test_only_a_share_of_zero_is_shown_as_zero(share: float, expected: str) -> None:
    assert quantity.percent(share) == expected


def test_a_share_can_have_fixed_decimals() -> None:
    assert quantity.percent(0.666, digits=0) == "67%"


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, Kind.COUNT, ""),
        (float("nan"), Kind.NUMBER, ""),
        (float("nan"), Kind.PERCENT, ""),
        ("all", Kind.COUNT, "all"),
        (1_234, Kind.COUNT, "1,234"),
        (1_234, Kind.TEXT, "1,234"),
        (0.123456, Kind.NUMBER, "0.1235"),
        (0.25, Kind.PERCENT, "25.00%"),
        (1_234, Kind.SIZE, "1.2 kB"),
        (61, Kind.DURATION, "1m 01s"),
        (3.7, Kind.DOLLARS, "$3.70"),
        ("2024-01-15T09:30:00.123456+00:00", Kind.DATE, "2024-01-15T09:30:00"),
        ("a|b", Kind.KEY, "a|b"),
    ],
)
def test_a_value_has_the_text_of_its_kind(value: Cell, kind: Kind, expected: str) -> None:
    assert quantity.text_of(value, kind) == expected
