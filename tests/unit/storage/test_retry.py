"""When to try again, and after how long."""

from collections.abc import Callable

import pytest

from gigacast.errors import ObjectNotFoundError, TransientStorageError
from gigacast.storage.retry import Retrier, RetryPolicy


def test_delays_double_up_to_the_longest_and_are_spread_by_the_jitter() -> None:
    policy = RetryPolicy(attempts=6, first_delay_s=1.0, longest_delay_s=5.0)
    assert [policy.delay_s(attempt, 1.0) for attempt in range(5)] == [1, 2, 4, 5, 5]
    assert [policy.delay_s(attempt, 0.25) for attempt in range(3)] == [0.25, 0.5, 1]
    assert policy.delay_s(3, 0.0) == 0


def test_the_default_gives_up_within_half_a_minute() -> None:
    policy = RetryPolicy()
    assert sum(policy.delay_s(attempt, 1.0) for attempt in range(policy.attempts - 1)) < 30


def failing(times: int, error: Exception) -> tuple[list[int], Callable[[], str]]:
    """Return a call that fails some times, and the list of its calls."""
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "result"

    return calls, call


def test_a_transient_error_is_retried_until_the_call_succeeds() -> None:
    slept: list[float] = []
    retrier = Retrier(RetryPolicy(attempts=3, first_delay_s=1.0), slept.append, lambda: 0.5)
    calls, call = failing(2, TransientStorageError("busy"))
    assert retrier.call(call) == "result"
    assert (len(calls), slept) == (3, [0.5, 1.0])


def test_the_last_error_is_raised_when_the_attempts_are_spent() -> None:
    retrier = Retrier(RetryPolicy(attempts=3), lambda _: None)
    calls, call = failing(5, TransientStorageError("busy"))
    with pytest.raises(TransientStorageError, match="busy"):
        retrier.call(call)
    assert len(calls) == 3


def test_other_errors_are_raised_at_once() -> None:
    calls, call = failing(1, ObjectNotFoundError("gone"))
    with pytest.raises(ObjectNotFoundError):
        Retrier().call(call)
    assert len(calls) == 1
