"""Why a series could not be forecast by the model."""

from enum import IntEnum


class Reason(IntEnum):
    """One reason per series; ``OK`` means the model forecast it.

    The lower-case name is what receipts, the ``fallback`` column and the command line show.
    """

    OK = 0
    EMPTY = 1  # no rows
    ALL_NULL = 2  # rows, but no value
    TOO_SHORT = 3  # fewer values than the settings ask for
    NOT_FINITE = 4  # an infinity, or a value float32 cannot hold
    IRREGULAR = 5  # timestamps that lie on no grid
    NO_FREQUENCY = 6  # too few timestamps to infer a frequency, and none given
    NO_TIMESTAMP = 7  # a timestamp is missing or unreadable
    MODEL_FAILED = 8  # the model gave a value that is not finite
    NO_FUTURE = 9  # a known covariate has no value at some step of the horizon

    @property
    def label(self) -> str:
        """The name in outputs, as ``too_short``."""
        return self.name.lower()
