"""The program's door: `python -m gigacast`, and what `gigacast` and main.py call."""

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
