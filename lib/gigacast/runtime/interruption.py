"""Ctrl-C and SIGTERM as an exception, and blocks of code that signals must not interrupt.

Python runs signal handlers in the main thread only; in other threads both context managers do
nothing.
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
    """Raised when the run is to stop: by Ctrl-C or by the SIGTERM of a scheduler.

    It is a `KeyboardInterrupt`, so that ``except Exception`` does not swallow it.

    Parameters
    ----------
    signal_number : int
        Number of the received signal.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal = signal.Signals(signal_number)
        super().__init__(f"interrupted by {self.signal.name}")

    @property
    def exit_code(self) -> int:
        """Exit code by the convention of shells: 128 + signal number, so 130 for Ctrl-C."""
        return 128 + self.signal


@dataclass
class Deferral:
    """The last signal received in a `deferred` block; ``None`` without one."""

    received: int | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `RunInterrupted` at the first SIGINT or SIGTERM; exit at once at the second.

    The previous handlers are restored at the end. A signal that is ignored (as under ``nohup``)
    stays ignored.
    """
    received: int | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received
        # The first signal may be unwinding right now. Raising again would cut that short at an
        # arbitrary point, so the second one leaves the process without any unwinding.
        if received is not None:
            _exit_now(number)
        received = number
        raise RunInterrupted(number)

    with _handlers(interrupt):
        try:
            yield
        except Exception as error:
            # A library may catch the exception of the signal and raise one of its own, as imports
            # of extension modules do.
            if received is not None:
                raise RunInterrupted(received) from error
            raise


@contextmanager
def deferred(*, absorb: bool = False) -> Iterator[Deferral]:
    """Delay SIGINT and SIGTERM until the end of the block.

    Parameters
    ----------
    absorb : bool
        Whether to drop the signals instead of raising them at the end: for blocks that already
        handle an interruption, where a second one must not start the same again.
    """
    deferral = Deferral()

    def record(number: int, frame: FrameType | None) -> None:
        deferral.received = number

    try:
        with _handlers(record):
            yield deferral
    finally:
        # Raised again, so that the handler outside of the block acts on it now.
        if deferral.received is not None and not absorb:
            signal.raise_signal(deferral.received)


@contextmanager
def _handlers(handler: "signal._HANDLER") -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    active = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = [(number, signal.signal(number, handler)) for number in active]
    try:
        yield
    finally:
        for number, old_handler in previous:
            # None stands for a handler installed by C code, which Python cannot restore.
            signal.signal(number, signal.SIG_DFL if old_handler is None else old_handler)


def _exit_now(number: int) -> None:
    # A progress bar hides the cursor and normally shows it again while unwinding, which is
    # skipped here. os.write, because sys.stderr may be in the middle of a write.
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(128 + number)
