"""TimeGPT behind its API, against a stub on this machine."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ConfigError, ModelError
from gigacast.forecasters.timegpt import forecaster as timegpt
from gigacast.forecasters.timegpt.api import Limits, TimeGptApi, checked_url
from gigacast.forecasters.timegpt.forecaster import TimeGptForecaster, describe_timegpt
from tests.support.timegpt_server import KEY, TimeGptStub, timegpt_server

NAN, H = float("nan"), 3
LEVELS = (0.1, 0.5, 0.9, 0.975)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeGptStub]:
    with timegpt_server() as server:
        monkeypatch.setenv("NIXTLA_API_KEY", KEY)
        monkeypatch.setenv("NIXTLA_BASE_URL", server.url)
        yield server


def request(*rows: list[float], names: tuple[str, ...] = ()) -> ForecastRequest:
    length = max(map(len, rows))
    context = np.full((len(rows), length), NAN, np.float32)
    for place, row in enumerate(rows):
        context[place, length - len(row) :] = row
    count = len(rows)
    frequencies = np.array(names or ("D",) * count, object)
    ones, seeds = np.ones(count, np.int64), np.zeros(count, np.uint64)
    return ForecastRequest(context, H, LEVELS, ones, seeds, frequencies=frequencies)


def waiting(api: TimeGptApi) -> tuple[TimeGptForecaster, list[float]]:
    """Return a forecaster that does not wait, and the waits that it asked for."""
    waits: list[float] = []
    return TimeGptForecaster("timegpt", replace(api, sleep=waits.append)), waits


def test_series_are_sent_by_frequency_and_come_back_in_their_order(stub: TimeGptStub) -> None:
    batch = request([1, 2, 3], [5], [7, NAN, 9], names=("h", "MS", "h"))
    quantiles = TimeGptForecaster("timegpt").predict(batch)
    expected = [[3, 5, 9][n] + np.array([-8, 0, 8, 9.5]) for n in range(3)]
    np.testing.assert_allclose(quantiles, np.repeat(np.array(expected)[:, None], H, axis=1))
    by_frequency = {sent["freq"]: sent for sent in stub.requests}
    assert set(by_frequency) == {"MS", "h"}
    sent = by_frequency["h"]
    # A gap gets the value before it: the service takes none.
    assert sent["series"] == {"y": [1, 2, 3, 7, 7, 9], "sizes": [3, 3]}
    assert (sent["path"], sent["model"], sent["h"]) == ("/v2/forecast", "timegpt-1", H)
    assert sent["level"] == [80, 95]


def test_large_batches_are_divided(stub: TimeGptStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timegpt, "MOST_SERIES", 2)
    monkeypatch.setattr(timegpt, "MOST_VALUES", 6)
    rows = [[float(n)] * length for n, length in enumerate([1, 1, 1, 5, 5, 9])]
    quantiles = TimeGptForecaster("timegpt").predict(request(*rows))
    np.testing.assert_array_equal(quantiles[:, 0, 1], np.arange(6))
    assert [sent["series"]["sizes"] for sent in stub.requests] == [[1, 1], [1, 5], [5], [9]]


def test_a_throttled_service_is_asked_again_as_late_as_it_says(stub: TimeGptStub) -> None:
    stub.refusals = [(429, "7"), (503, None), (500, "soon")]
    forecaster, waits = waiting(TimeGptApi.of_environment())
    np.testing.assert_array_equal(forecaster.predict(request([4.0]))[0, :, 1], 4)
    assert waits[0] == 7
    assert 1 <= waits[1] <= 2
    assert 2 <= waits[2] <= 4
    assert forecaster.usage["retries"] == 3
    assert forecaster.usage["requests"] == 1


def test_a_service_that_stays_away_fails_after_its_attempts(stub: TimeGptStub) -> None:
    stub.refusals = [(502, None)] * 9
    api = replace(TimeGptApi.of_environment(), limits=Limits(attempts=3))
    forecaster, waits = waiting(api)
    with pytest.raises(ModelError, match="no answer to 3 requests; the last got 502"):
        forecaster.predict(request([4.0]))
    assert len(waits) == 2
    gone, _ = waiting(replace(api, url="http://127.0.0.1:9"))
    with pytest.raises(ModelError, match="the last failed: ConnectionRefusedError"):
        gone.predict(request([4.0]))


@pytest.mark.parametrize("status", [400, 402, 422])
def test_a_refusal_is_final(stub: TimeGptStub, status: int) -> None:
    stub.refusals = [(status, None)]
    with pytest.raises(ModelError, match=f"refuses the request with {status}: .*later"):
        TimeGptForecaster("timegpt").predict(request([4.0]))
    assert len(stub.requests) == 1


def test_no_message_holds_the_key(stub: TimeGptStub) -> None:
    api = replace(TimeGptApi.of_environment(), key="secret-of-mine")
    with pytest.raises(ModelError) as refused:
        TimeGptForecaster("timegpt", api).predict(request([4.0]))
    assert "invalid key ***" in str(refused.value)
    assert "secret" not in f"{refused.value}{api!r}"
    assert stub.requests == []


def test_tokens_and_dollars_are_counted(stub: TimeGptStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIXTLA_DOLLARS_PER_MILLION_TOKENS", "1000")
    forecaster = TimeGptForecaster("timegpt")
    forecaster.predict(request([1, 2, 3], [5]))
    usage = dict(forecaster.usage)
    assert usage.pop("dollars") == 0.01
    counts = {"series": 2, "values": 4, "input_tokens": 4, "output_tokens": 6}
    assert usage == {"requests": 1, "retries": 0, **counts}
    monkeypatch.setenv("NIXTLA_DOLLARS_PER_MILLION_TOKENS", "free")
    with pytest.raises(ConfigError, match="is no price"):
        TimeGptForecaster("timegpt")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "no object"),
        (b'{"mean": [1]}', "not the 3 values of"),
        (b'{"mean": [1, 2, "x"], "intervals": {}}', "not the 3 values of lo-80"),
        (b'{"mean": [{}, 2, 3]}', "not the 3 values of lo-80"),
    ],
)
def test_strange_answers_are_errors(stub: TimeGptStub, answer: bytes, message: str) -> None:
    stub.answer = answer
    with pytest.raises(ModelError, match=message):
        TimeGptForecaster("timegpt").predict(request([4.0]))


def test_series_without_a_frequency_of_time_are_refused(stub: TimeGptStub) -> None:
    with pytest.raises(ModelError, match="frequency of every series"):
        TimeGptForecaster("timegpt").predict(request([4.0], names=("",)))
    assert stub.requests == []


def test_the_key_is_of_the_environment_and_goes_nowhere_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NIXTLA_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="NIXTLA_API_KEY holds no key"):
        describe_timegpt("timegpt")
    for url in ("http://api.nixtla.io", "ftp://x", "https://", "https://a:b@x", "http://127.1"):
        with pytest.raises(ConfigError, match="no address of HTTPS"):
            checked_url(url)
    for url in ("https://api.example.org/base", "http://127.0.0.1:8080", "http://localhost:1"):
        assert checked_url(url) == url
