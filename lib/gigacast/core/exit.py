"""Exit codes of commands, handlers and the children of array jobs."""

EXIT_DONE = 0
EXIT_FAILED = 1
"""A partition, check or comparison failed; the output names it."""
EXIT_USAGE = 2
"""Wrong arguments or configuration, or missing data or models."""
EXIT_AGAIN = 75
"""Interrupted by the machine or an outage: the same command continues. AWS Batch retries it."""
EXIT_INTERRUPTED = 130
"""Interrupted by the user."""
