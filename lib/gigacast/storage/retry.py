"""When to try again, and after how long.

The policy is a pure function from the attempt's number and a random number to a delay; time and
randomness come in as arguments.
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

    The defaults give up after about 13 seconds of waiting on average, 26 at most.

    Parameters
    ----------
    attempts : int
        Calls in all; 1 never retries.
    first_delay_s, longest_delay_s : float
        Upper bounds of the first delay and of every delay.

    References
    ----------
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    attempts: int = 8
    first_delay_s: float = 0.2
    longest_delay_s: float = 20.0

    def delay_s(self, attempt: int, jitter: float) -> float:
        """Return the delay after a failed attempt (0, 1, ...) for a ``jitter`` in [0, 1)."""
        return float(jitter * min(self.longest_delay_s, self.first_delay_s * 2**attempt))


BRIEF = RetryPolicy(attempts=2)


@dataclass(frozen=True, slots=True)
class Retrier:
    """Calls again what failed for a passing reason.

    Parameters
    ----------
    policy : RetryPolicy
    sleep : callable
        Waits for the given seconds.
    draw_jitter : callable
        Returns a random number in [0, 1).
    """

    policy: RetryPolicy = RetryPolicy()
    sleep: Callable[[float], None] = time.sleep
    draw_jitter: Callable[[], float] = random.random

    def call(self, attempt_once: Callable[[], Result], policy: RetryPolicy | None = None) -> Result:
        """Return the first result that is not a `TransientStorageError`; raise the last one."""
        policy = policy or self.policy
        for attempt in range(policy.attempts - 1):
            try:
                return attempt_once()
            except TransientStorageError:
                self.sleep(policy.delay_s(attempt, self.draw_jitter()))
        return attempt_once()
