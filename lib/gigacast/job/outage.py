"""Outages of the store: a run waits until it answers again, for a limited time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gigacast.errors import OutageError, StorageError, TransientStorageError
from gigacast.storage.retry import RetryPolicy

T = TypeVar("T")

DEFAULT_MINUTES = 10.0
PROBES = RetryPolicy(first_delay_s=2.0, longest_delay_s=30.0)
"""Waits between two looks at a store that did not answer; each look retries by itself."""
HINT = (
    "run the same command again when the store answers: what is finished is kept; "
    "--outage_minutes sets how long a run waits"
)
_TRANSIENT = {TransientStorageError.__name__, OutageError.__name__}


def is_transient(error: str) -> bool:
    """Return whether the class of an error, by its name, is that of a store that may recover."""
    return error in _TRANSIENT


@dataclass(frozen=True)
class Patience:
    """How long a run waits for its stores, and by which clock.

    Parameters
    ----------
    limit_s : float
        Seconds from the first request that failed to the end of the run; 0 never waits, and a
        task whose requests fail is then a failed one.
    sleep : callable
        Waits for a number of seconds.
    clock : callable
        Seconds from an arbitrary start.
    """

    limit_s: float = DEFAULT_MINUTES * 60
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


class Answering(Protocol):
    """A store of any kind that a run can wait for."""

    def check(self) -> None:
        """Do nothing if the store answers.

        Raises
        ------
        TransientStorageError
            If it does not answer, but may do so later.
        """


class Outage:
    """The wait of a run for its stores.

    Parameters
    ----------
    stores : sequence of Answering
        Stores that must answer.
    patience : Patience
    report : callable
        Called with a text for people when a wait begins and when it ends.
    """

    def __init__(
        self, stores: Sequence[Answering], patience: Patience, report: Callable[[str], None]
    ) -> None:
        self._stores = stores
        self._patience = patience
        self._report = report
        self._since: float | None = None

    @property
    def is_waited_out(self) -> bool:
        """Whether the run waits at all."""
        return self._patience.limit_s > 0

    def end(self) -> None:
        """Record that a request succeeded: the next failure begins a new outage."""
        self._since = None

    def wait(self, reason: str) -> None:
        """Return when all stores answer.

        Parameters
        ----------
        reason : str
            Message of the request that failed.

        Raises
        ------
        OutageError
            If nothing has succeeded for the run's patience.
        """
        clock = self._patience.clock
        if self._since is None:
            # The limit counts from here also if the stores answer in between and fail again.
            self._since = clock()
        attempt = 0
        while not self._all_answer():
            left_s = self._patience.limit_s - (clock() - self._since)
            if left_s <= 0:
                raise self._too_long(reason)
            if not attempt:
                self._report(f"the store does not answer, the run waits: {reason}")
            # Half of the range at least, so that a short wait is never a storm of requests.
            self._patience.sleep(min(left_s, PROBES.delay_s(attempt, 0.75)))
            attempt += 1
        if attempt:
            self._report("the store answers again")
        elif clock() - self._since >= self._patience.limit_s:
            raise self._too_long(reason)

    def call(self, request: Callable[[], T]) -> T:
        """Return the result of a request, repeated after each outage.

        Raises
        ------
        OutageError
        """
        while True:
            try:
                result = request()
            except TransientStorageError as error:
                if not self.is_waited_out or isinstance(error, OutageError):
                    raise
                self.wait(error.message)
                continue
            self.end()
            return result

    def _all_answer(self) -> bool:
        for store in self._stores:
            try:
                store.check()
            except TransientStorageError:
                return False
            # An answer, though a refusal: the request itself will say more.
            except StorageError:
                continue
        return True

    def _too_long(self, reason: str) -> OutageError:
        minutes = self._patience.limit_s / 60
        return OutageError(f"the store did not answer for {minutes:g} minutes: {reason}", hint=HINT)
