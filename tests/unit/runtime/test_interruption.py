"""Signals as exceptions: the first unwinds, the second exits, the old handlers are restored."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from gigacast.runtime.interruption import RunInterrupted, deferred, interruptible


@pytest.fixture(autouse=True)
def handlers_come_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_raises_in_the_block(number: signal.Signals, code: int) -> None:
    with pytest.raises(RunInterrupted, match=number.name) as caught, interruptible():
        signal.raise_signal(number)
    assert caught.value.exit_code == code
    assert caught.value.signal is number


def test_an_interruption_is_a_keyboard_interrupt() -> None:
    assert issubclass(RunInterrupted, KeyboardInterrupt)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(), deferred():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_deferred_signal_is_raised_at_the_end_of_the_block() -> None:
    reached = []

    def block() -> None:
        with interruptible(), deferred() as deferral:
            signal.raise_signal(signal.SIGTERM)
            reached.append(deferral.received)

    with pytest.raises(RunInterrupted):
        block()
    assert reached == [signal.SIGTERM]


def test_a_block_outside_the_main_thread_runs_as_if_there_were_no_signals() -> None:
    reached = []

    def block() -> None:
        with interruptible(), deferred() as deferral:
            reached.append(deferral.received)

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert reached == [None]


def test_the_second_signal_exits_at_once() -> None:
    code = """
import signal
from gigacast.runtime.interruption import interruptible
with interruptible():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("too late")
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "")
