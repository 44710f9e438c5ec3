"""The reasons why the model did not forecast a series."""

from enum import IntEnum


class Reason(IntEnum):
    """Reason of a series; ``OK`` means that the model forecast it.

    Receipts, the ``fallback`` column and the command line show the name in lower case.
    """

    OK = 0
    EMPTY = 1  # no rows
    ALL_NULL = 2  # rows, but no value
    TOO_SHORT = 3  # fewer values than the settings ask for
    NOT_FINITE = 4  # an infinite value, or one beyond float32
    IRREGULAR = 5  # timestamps that fit no grid
    NO_FREQUENCY = 6  # too few timestamps to infer a frequency, and none is given
    NO_TIMESTAMP = 7  # rows, but all timestamps are missing or unreadable
    MODEL_FAILED = 8  # the model returned a value that is not finite
    NO_FUTURE = 9  # a known covariate misses a value in the horizon

    @property
    def label(self) -> str:
        """Name in outputs, such as ``too_short``."""
        return self.name.lower()
