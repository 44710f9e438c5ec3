"""The command line: flags -> settings -> one pipeline -> a report.

``python main.py`` and ``gigacast`` are the same program.
"""

from gigacast.cli.program import main

__all__ = ["main"]
