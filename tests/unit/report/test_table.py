"""Tables, numbers, and who gets colours."""

import io

import pytest

from gigacast.report import quantity
from gigacast.report.table import is_rich, print_table, table

KEY = (
    "forecasts/bolt/1.0.0/h15-q9-3fa9c2d1/2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet"
)
ROWS = [[KEY, 1_200_000, 0.93512], ["b", 7, None]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_plain_table_cuts_nothing_off() -> None:
    assert table("Done", ["partition", "series", "MASE"], ROWS) == (
        f"""\
Done
{"partition".ljust(len(KEY))}     series    MASE
{"-" * len(KEY)}  ---------  ------
{KEY}  1,200,000  0.9351
{"b".ljust(len(KEY))}          7"""
    )


def test_a_table_without_rows_has_its_header() -> None:
    assert table("", ["a", "bc"], []) == "a  bc\n-  --"


def test_a_pipe_gets_the_plain_table() -> None:
    stream = io.StringIO()
    print_table("Done", ["key"], [[KEY]], stream)
    assert stream.getvalue() == table("Done", ["key"], [[KEY]]) + "\n"


def test_a_narrow_terminal_folds_keys_and_loses_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    print_table("", ["key", "n"], [[KEY, 1]], stream)
    lines = stream.getvalue().splitlines()
    assert KEY in "".join(line.split(" 1 ")[0].strip() for line in lines)
    assert "…" not in stream.getvalue()


def test_markup_in_a_cell_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    print_table("[red]t", ["[b]"], [["[bold]x[/bold]"]], stream)
    assert "[bold]x[/bold]" in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    assert is_rich(stream, environment) is expected


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
