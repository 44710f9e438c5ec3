"""How far a run is, on a terminal and in a pipe."""

import io
import re

import pytest

from gigacast.report.progress import Progress


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_pipe_gets_a_line_for_each_of_a_few_partitions(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(3, stream=stream, clock=clock) as progress:
        for series, name in [(5000, "a.parquet"), (0, "b.parquet")]:
            clock.now_s += 2
            progress.advance(series, name=name, failed=not series, message="" if series else "cut")
        progress.advance(1000, name="c.parquet")
    assert stream.getvalue() == (
        "done  a.parquet: 5,000 series\n"
        "failed  b.parquet: cut\n"
        "done  c.parquet: 1,000 series\n"
        "3/3 partitions, 6,000 series, 1,500 series/s, in 4.00 s, 1 failed\n"
    )


def test_a_pipe_gets_a_line_now_and_then_for_many(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(1000, stream=stream, clock=clock, period_s=5) as progress:
        for _ in range(100):
            clock.now_s += 0.1
            progress.advance(10, name="a.parquet")
    assert stream.getvalue() == (
        "50/1,000 partitions, 500 series, 100 series/s, 1m 35s left\n"
        "100/1,000 partitions, 1,000 series, 100 series/s, 1m 30s left\n"
    )


def test_other_units_are_counted_from_where_a_run_goes_on(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(100, stream=stream, clock=clock, unit="steps") as progress:
        progress.resume(60)
        for _ in range(10):
            clock.now_s += 1
            progress.note = "loss 0.5"
            progress.advance()
    assert stream.getvalue() == (
        "65/100 steps, 35.0 s left, loss 0.5\n70/100 steps, 30.0 s left, loss 0.5\n"
    )


def test_every_failure_is_printed_at_once(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(1000, stream=stream, clock=clock) as progress:
        progress.advance(failed=True, name="a.parquet", message="CorruptedFileError: no footer")
        assert stream.getvalue() == "failed  a.parquet: CorruptedFileError: no footer\n"


def test_a_failure_that_is_not_shown_is_never_a_partition_done(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(2, stream=stream, clock=clock) as progress:
        progress.advance(failed=True, name="a.parquet", message="cut")
        progress.advance(failed=True, name="b.parquet", message="cut", shown=False)
    failed, *status = stream.getvalue().splitlines()
    assert failed == "failed  a.parquet: cut"
    assert status == ["2/2 partitions, in 0.00 s, 2 failed"]


def test_a_run_that_is_interrupted_says_how_far_it_came(clock: Clock) -> None:
    stream = io.StringIO()

    def run() -> None:
        with Progress(1000, stream=stream, clock=clock) as progress:
            clock.now_s += 1
            progress.advance(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert stream.getvalue() == "1/1,000 partitions, 10 series, 10 series/s, 16m 39s left\n"


def test_a_terminal_gets_a_bar_and_the_failures_above_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with Progress(2, stream=stream, clock=clock) as progress:
        clock.now_s += 2
        progress.advance(3000, name="a.parquet")
        progress.advance(failed=True, name="b[0].parquet", message="cut")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "failed  b[0].parquet: cut" in text
    assert "━" in text
    assert "2/2 partitions, 3,000 series, 1,500 series/s, in 2.00 s, 1 failed" in text


def test_quiet_shows_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(1, quiet=True, stream=stream, clock=clock) as progress:
        progress.advance(5, failed=True, name="a", message="b")
    assert stream.getvalue() == ""


def test_it_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1) as progress:
        progress.advance(5, name="a")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("done  a: 5 series\n")


def test_without_partitions_no_line_is_printed(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(0, stream=stream, clock=clock):
        pass
    assert stream.getvalue() == ""


def test_progress_can_be_moved_to_the_state_of_an_array_run(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(100, stream=stream, clock=clock) as progress:
        clock.now_s += 10
        progress.move(40, failed=1, series=4000, note="children: 8 running")
        clock.now_s += 1
        progress.move(41, failed=1, series=4100, note="children: 8 running")
        clock.now_s += 9
        progress.move(100, failed=2, series=9800, note="children: 8 done")
    assert stream.getvalue().splitlines() == [
        "40/100 partitions, 4,000 series, 400 series/s, 15.0 s left, 1 failed, children: 8 running",
        "100/100 partitions, 9,800 series, 490 series/s, in 20.0 s, 2 failed, children: 8 done",
    ]
