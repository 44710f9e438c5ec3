"""Requests for features and their answers. Clients import them without the libraries of a fetch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """A question for features.

    Parameters
    ----------
    name : str
        Join or group-by, as ``quickstart.training_set.v2``.
    keys : mapping
        Values by name: keys of the left side, or of the group-by, and contextual fields.
    at : int, optional
        Moment, epoch milliseconds; now by default.
    """

    name: str
    keys: Mapping[str, Any]
    at: int | None = None


@dataclass(frozen=True)
class Response:
    """An answer.

    Parameters
    ----------
    request : Request
    at : int
        Moment of the features.
    values : dict
        Features by name, and ``{part}_exception`` for parts that could not answer.
    errors : dict of str to str
        Messages by part; "" for the answer as a whole.
    batch_age_ms : int, optional
        Time from the end of the oldest batch used to the moment.
    freshness_ms : int, optional
        Time from the newest event that the answer knows of to the moment.
    codes : dict of str to str
        Reasons of the errors in a word, by part; see `code_of`.
    """

    request: Request
    at: int
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    batch_age_ms: int | None = None
    freshness_ms: int | None = None
    codes: dict[str, str] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether every part answered."""
        return not self.errors
