"""Requests for features and their answers. Clients import them without the libraries of a fetch."""

import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gigacast.errors import ConfigError

_END = 253_370_764_800_000
"""The year 9999 in epoch milliseconds."""


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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError(f"name: expected a text, got {type(self.name).__name__}")
        if type(self.keys) is not dict and not isinstance(self.keys, Mapping):
            raise ConfigError(
                f"keys: expected values by name, got {type(self.keys).__name__}",
                hint='write {"user_id": 5}',
            )
        if self.at is not None and not (type(self.at) is int and 0 <= self.at < _END):
            object.__setattr__(self, "at", _as_moment(self.at))


def _as_moment(at: Any) -> int:
    """Return epoch milliseconds as a number of Python; NumPy's are no JSON."""
    with suppress(TypeError):
        moment = -_END if isinstance(at, bool) else operator.index(at)
        if -_END < moment < _END:
            return moment
    given = at if isinstance(at, int) else type(at).__name__
    raise ConfigError(
        f"at: {given} is no moment in epoch milliseconds, before the year 9999",
        hint="give a whole number, as int(time.time() * 1000)",
    )


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
