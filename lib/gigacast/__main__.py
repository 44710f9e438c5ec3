"""Start of the program, for ``python -m gigacast``, ``gigacast`` and ``python main.py``."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        # Inside the handler, so that Ctrl-C during the import ends in one line as well.
        from gigacast.cli import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        sys.stderr.write("gigacast: interrupted\n")
        sys.exit(130)  # 128 plus SIGINT, as shells report it


if __name__ == "__main__":
    main()
