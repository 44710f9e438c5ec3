"""Progress of a run that nobody wants to see."""


class Silence:
    """Shows nothing; the interface of the other displays."""

    def start(self) -> None:
        """Begin to show."""

    def show(self, finished: int, now_s: float, status: str, note: str, failed: bool) -> None:
        """Show that one more partition is finished."""

    def remark(self, note: str, status: str) -> None:
        """Show a note."""

    def stop(self, finished: int, now_s: float, status: str) -> None:
        """Show the last state and end."""
