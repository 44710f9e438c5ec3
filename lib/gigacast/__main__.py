"""Start of the program, for ``python -m gigacast``, ``gigacast`` and ``python main.py``."""

import atexit
import gc
import os
import signal
import sys

from gigacast.core.utf8 import restart_in_utf8


def open_closed_streams() -> None:
    """Open the standard streams that the parent process has closed, on nothing.

    Python sets ``sys.stdout`` to ``None`` then, and the next file that is opened gets its number:
    what a library prints would be written into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is the one that was found free.
            os.open(os.devnull, os.O_RDWR)
    missing = sys.stdout is None
    # Never closed: they are streams of the whole process.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if missing:
        sys.stderr.write("gigacast: the standard output is closed: results are not printed\n")


def main() -> None:
    """Run the command line and exit with its code."""
    restart_in_utf8()
    open_closed_streams()
    # The interpreter searches everything that is alive for garbage before it ends, although the
    # memory goes back to the system as a whole: a fifth of a second or more after torch.
    atexit.register(gc.freeze)
    try:
        # A scheduler may stop the program while it loads, which takes seconds.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Inside the handler, so that Ctrl-C during the import ends in one line as well.
        from gigacast.cli import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        sys.stderr.write("gigacast: interrupted\n")
        sys.exit(130)  # 128 plus SIGINT, as shells report it


if __name__ == "__main__":
    main()
