"""Exit codes of commands, handlers and the children of array jobs."""

EXIT_DONE = 0
EXIT_FAILED = 1
"""A partition, check or comparison failed; the output names it."""
EXIT_USAGE = 2
"""Wrong arguments or configuration, or missing data or models: the same command ends the same."""
EXIT_AGAIN = 75
"""Stopped by an outage or by the machine: the same command continues. AWS Batch retries it.

The number is that of ``EX_TEMPFAIL`` in BSD's sysexits.h.
"""
EXIT_INTERRUPTED = 130
"""Interrupted by the user."""
