"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TextIO

from gigacast.core.text import printable
from gigacast.report import quantity
from gigacast.report.silence import Silence
from gigacast.report.terminal import is_rich

_FEW = 20
"""Up to this number of tasks, each gets a line of its own."""


class Items(NamedTuple):
    """Name of what partitions hold: one of them, and many."""

    one: str
    many: str

    def counted(self, number: int) -> str:
        """Return a number of them in words."""
        return f"{quantity.count(number)} {self.one if number == 1 else self.many}"


SERIES, ROWS = Items("series", "series"), Items("row", "rows")
_ITEMS = {"backfill": ROWS, "covariates": ROWS, "upload": Items("key", "keys")}


def items_of(job: str) -> Items:
    """Return the name of what the partitions of a kind of job hold."""
    return _ITEMS.get(job, SERIES)


class Progress:
    """Shows the progress of a run on stderr; stdout stays for results. A context manager.

    Parameters
    ----------
    total : int
        Number of partitions, or of other units.
    quiet : bool
        Show nothing, not even failures: the summary has them.
    stream : text stream, optional
        Stream to write to, a bar if it is a terminal, else plain lines; stderr by default.
    clock : callable
        Seconds from an arbitrary start.
    period_s : float
        Least seconds between two plain lines, unless there are few partitions.
    unit : str
        Name of the counted units.

    Attributes
    ----------
    note : str
        Text at the end of the status; may be empty.
    items : Items
        Name of what partitions hold, as series or rows.
    """

    def __init__(
        self,
        total: int,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        period_s: float = 5.0,
        unit: str = "partitions",
    ) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self.series = 0
        self.note = ""
        self.items = SERIES
        self._unit = unit
        self._done_before = 0
        self._clock = clock
        self._started_at = clock()
        self._display = _display(total, quiet, stream or sys.stderr, period_s)

    def __enter__(self) -> "Progress":
        self._started_at = self._clock()
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._display.stop(self.done, self.elapsed_s, self.status())

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started_at

    def resume(self, finished: int) -> None:
        """Start with the partitions of an earlier run, which don't count for the time left."""
        self.done = self._done_before = finished

    def advance(
        self,
        series: int = 0,
        *,
        failed: bool = False,
        name: str = "",
        message: str = "",
        shown: bool = True,
    ) -> None:
        """Count one partition as finished.

        Parameters
        ----------
        series : int
            Series in it, or other items.
        failed : bool
            Whether it failed; ``message`` says why.
        name : str
            Its name.
        message : str
            Text beside the name; the number of series by default.
        shown : bool
            Whether a failure is printed; it is counted in either case.
        """
        self.done += 1
        self.failed += failed
        self.series += series
        text = message or (self.items.counted(series) if series and name else "")
        # A failure without a word is no note: the displays would show it as a partition done.
        note = "" if failed and not shown else printable(": ".join(filter(None, (name, text))))
        self._display.show(self.done, self.elapsed_s, self.status(), note, failed and shown)

    def move(self, finished: int, *, failed: int = 0, series: int = 0, note: str = "") -> None:
        """Show the state of a run that other machines execute.

        Parameters
        ----------
        finished, failed, series : int
            Numbers of partitions and series since the start; ``finished`` includes ``failed``.
        note : str
            State of these machines.
        """
        self.done, self.failed, self.series = finished, failed, series
        self.note = note
        self._display.show(finished, self.elapsed_s, self.status(), "", False)

    def remark(self, note: str) -> None:
        """Show a text for people: at once, and at the end of the status until the next one."""
        self.note = note
        self._display.remark(printable(note), self.status())

    def status(self) -> str:
        """Return the counts, the rate and the time left as one line."""
        elapsed_s = self.elapsed_s
        parts = [f"{quantity.count(self.done)}/{quantity.count(self.total)} {self._unit}"]
        if self.series:
            per_second = quantity.rate(self.series, elapsed_s)
            parts += [self.items.counted(self.series), f"{per_second} {self.items.many}/s"]
        # Partitions that were done before took no time of this run: they don't count for its speed.
        if self._done_before < self.done < self.total:
            left_s = elapsed_s / (self.done - self._done_before) * (self.total - self.done)
            parts.append(f"{quantity.duration(left_s)} left")
        if self.done == self.total:
            parts.append(f"in {quantity.duration(elapsed_s)}")
        if self.failed:
            parts.append(f"{quantity.count(self.failed)} failed")
        if self.note:
            parts.append(printable(self.note))
        return ", ".join(parts)


class _Lines(Silence):
    def __init__(self, total: int, stream: TextIO, period_s: float) -> None:
        self._every_one = total <= _FEW
        self._stream = stream
        self._period_s = period_s
        self._last_s = 0.0
        self._last_done = 0

    def show(self, finished: int, now_s: float, status: str, note: str, failed: bool) -> None:
        if failed or (self._every_one and note):
            self._print(f"{'failed' if failed else 'done'}  {note}")
        # A log of a million partitions must not have a million lines.
        if not self._every_one and now_s - self._last_s >= self._period_s:
            self.stop(finished, now_s, status)

    def remark(self, note: str, status: str) -> None:
        self._print(note)

    def stop(self, finished: int, now_s: float, status: str) -> None:
        # The last periodic line may show the final count already.
        if finished != self._last_done:
            self._print(status)
        self._last_s, self._last_done = now_s, finished

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _display(total: int, quiet: bool, stream: TextIO, period_s: float) -> Silence:
    if quiet:
        return Silence()
    if not is_rich(stream):
        return _Lines(total, stream, period_s)
    from gigacast.report.bar import Bar  # noqa: PLC0415 - rich, which only terminals need

    return Bar(total, stream)
