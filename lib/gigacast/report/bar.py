"""Progress of a run as a bar on a terminal."""

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gigacast.report.silence import Silence


class Bar(Silence):
    """Shows a bar, and failures above it."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._bar = RichProgress(
            SpinnerColumn(),
            BarColumn(28, complete_style="cyan", finished_style="green"),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            redirect_stdout=False,  # rich would print results to stderr, above the bar
        )
        self._task = self._bar.add_task("starting", total=total)

    def start(self) -> None:
        """Begin to show."""
        self._bar.start()

    def show(self, finished: int, now_s: float, status: str, note: str, failed: bool) -> None:
        """Show that one more partition is finished."""
        if failed:
            self._console.print(Text("failed  ", style="bold red").append(note, style="default"))
        self._bar.update(self._task, completed=finished, description=status)

    def remark(self, note: str, status: str) -> None:
        """Show a note."""
        self._console.print(Text(note, style="yellow"))
        self._bar.update(self._task, description=status)

    def stop(self, finished: int, now_s: float, status: str) -> None:
        """Show the last state and end."""
        self._bar.update(self._task, completed=finished, description=status)
        self._bar.stop()
