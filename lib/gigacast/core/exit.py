"""Exit codes of commands, handlers and the children of array jobs."""

EXIT_DONE = 0
EXIT_FAILED = 1
"""Some partition, check or comparison failed; the output names it."""
EXIT_USAGE = 2
"""Wrong arguments or configuration, or data and models that are not there."""
EXIT_AGAIN = 75
"""Interrupted by the machine or by an outage: the same command continues. AWS Batch retries it."""
EXIT_INTERRUPTED = 130
"""Interrupted by the user."""
