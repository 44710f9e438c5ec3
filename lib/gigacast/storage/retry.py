"""Retries of requests that failed for a transient reason.

The policy is a pure function from the number of the attempt and a random number to a delay; the
clock and the random numbers are arguments, so that tests need not wait.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gigacast.errors import TransientStorageError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    With the defaults the seven waits take about 13 seconds on average and 26 at most.

    Parameters
    ----------
    attempts : int
        Number of calls in all; 1 never retries.
    first_delay_s, longest_delay_s : float
        Upper bounds of the first delay and of any delay, in seconds.

    References
    ----------
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    attempts: int = 8
    first_delay_s: float = 0.2
    longest_delay_s: float = 20.0

    def delay_s(self, attempt: int, jitter: float) -> float:
        """Return the seconds to wait after failed attempt 0, 1, ... for a ``jitter`` in [0, 1)."""
        # Full jitter: thousands of workers that were throttled together must not return together.
        return float(jitter * min(self.longest_delay_s, self.first_delay_s * 2**attempt))


@dataclass(frozen=True, slots=True)
class Retrier:
    """Repeats calls that raise `TransientStorageError`.

    Parameters
    ----------
    policy : RetryPolicy
        Default policy.
    sleep : callable
        Function that waits for a number of seconds.
    draw_jitter : callable
        Function that returns a random number in [0, 1).
    """

    policy: RetryPolicy = RetryPolicy()
    sleep: Callable[[float], None] = time.sleep
    draw_jitter: Callable[[], float] = random.random

    def call(self, attempt_once: Callable[[], Result], policy: RetryPolicy | None = None) -> Result:
        """Call until there is a result, or raise the last `TransientStorageError`."""
        policy = policy or self.policy
        for attempt in range(policy.attempts - 1):
            try:
                return attempt_once()
            except TransientStorageError:
                self.sleep(policy.delay_s(attempt, self.draw_jitter()))
        return attempt_once()
