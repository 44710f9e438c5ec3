"""Ctrl-C and SIGTERM as an exception, and when not to be interrupted.

Python calls signal handlers in the main thread; elsewhere both context managers do nothing.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class RunInterrupted(KeyboardInterrupt):
    """The run was asked to stop: Ctrl-C, or the SIGTERM of a scheduler.

    Parameters
    ----------
    signal_number : int
        What asked for it.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal = signal.Signals(signal_number)
        super().__init__(f"interrupted by {self.signal.name}")

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended: 130 for Ctrl-C."""
        return 128 + self.signal


@dataclass
class Deferral:
    """Signals that came while they were deferred."""

    received: int | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM inside into `RunInterrupted`; exit at once on the second.

    The handlers found are put back afterwards. A signal that is ignored (as under ``nohup``)
    stays ignored.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            _exit_now(number)
        interrupted = True
        raise RunInterrupted(number)

    with _handlers(interrupt):
        yield


@contextmanager
def deferred(*, absorb: bool = False) -> Iterator[Deferral]:
    """Hold SIGINT and SIGTERM back until the end of the block, then let them happen.

    Parameters
    ----------
    absorb : bool
        Forget them instead: for what an interruption does anyway, however often it is asked for.
    """
    deferral = Deferral()

    def record(number: int, frame: FrameType | None) -> None:
        deferral.received = number

    try:
        with _handlers(record):
            yield deferral
    finally:
        if deferral.received is not None and not absorb:
            signal.raise_signal(deferral.received)


@contextmanager
def _handlers(handler: "signal._HANDLER") -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = [(number, signal.signal(number, handler)) for number in heard]
    try:
        yield
    finally:
        for number, found in previous:
            # None: installed by foreign code that Python cannot name.
            signal.signal(number, signal.SIG_DFL if found is None else found)


def _exit_now(number: int) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(128 + number)
