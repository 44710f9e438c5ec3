"""The command line: flags become settings, settings a job, and its result is printed.

``python main.py`` and ``gigacast`` are the same program.
"""

from gigacast.cli.program import main

__all__ = ["main"]
