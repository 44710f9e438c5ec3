"""The program's door: `python -m gigacast`, and what `gigacast` and main.py call.

Imports the rest of the program inside, so that Ctrl-C while it loads is an interruption like any
other.
"""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from gigacast.cli import main as run  # noqa: PLC0415 - see above

        run()
    except KeyboardInterrupt:
        sys.stderr.write("gigacast: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
