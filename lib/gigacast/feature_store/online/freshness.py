"""What is known of the stream of a served group-by: its newest event, and records nobody can read.

Written by the application of the stream, and read by ``status``. It decides nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.value import pack, unpack

SAMPLES = 5


@dataclass(frozen=True)
class Freshness:
    """The state of a stream.

    Parameters
    ----------
    stream : str
        Name of the topic.
    newest : int
        Time of the newest applied event, epoch milliseconds; 0 before any.
    written_ms : int
        Time at which records were applied last.
    lag_ms : int
        Time from the newest event of the last records to their application.
    garbage : int
        Records that could not be read.
    samples : tuple of str
        Places and reasons of the last of them.
    waits_for : str
        Schema without which records cannot be read; empty if the stream goes on.
    """

    stream: str
    newest: int = 0
    written_ms: int = 0
    lag_ms: int | None = None
    garbage: int = 0
    samples: tuple[str, ...] = ()
    waits_for: str = ""

    def advanced(
        self,
        newest: int,
        written_ms: int,
        garbage: int,
        samples: Sequence[str],
        waits_for: str = "",
    ) -> "Freshness":
        """Return the state after more records.

        Parameters
        ----------
        newest : int
            Time of the newest event of the records; 0 if none was applied.
        written_ms : int
        garbage : int
            Records that could not be read.
        samples : sequence of str
        waits_for : str
            Schema without which records cannot be read.
        """
        return Freshness(
            self.stream,
            max(self.newest, newest),
            written_ms,
            written_ms - newest if newest else self.lag_ms,
            self.garbage + garbage,
            (*self.samples, *samples)[-SAMPLES:],
            waits_for,
        )

    def encode(self) -> bytes:
        """Return the stored form."""
        values = asdict(self)
        if not self.waits_for:
            del values["waits_for"]  # the form that earlier releases read
        return pack(values)

    @classmethod
    def decode(cls, content: bytes, key: str) -> "Freshness":
        """Return the state of a stored form.

        Raises
        ------
        DataError
        """
        try:
            values = dict(unpack(content))
            return cls(**{**values, "samples": tuple(values["samples"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"online store: {key} is damaged: {error}") from None
