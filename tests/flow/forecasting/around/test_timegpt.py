"""TimeGPT as the model of a bucket: forecasts, receipts with usage, and when data are sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gigacast
from gigacast.cli.program import run as command
from gigacast.errors import ConfigError, ModelError
from gigacast.lake.layout import audit_key, receipt_prefix
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame
from tests.support.timegpt_server import KEY, TimeGptStub, timegpt_server

H = 4
MODEL: dict[str, Any] = {"model": "timegpt", "horizon": H}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeGptStub]:
    with timegpt_server() as server:
        monkeypatch.setenv("NIXTLA_API_KEY", KEY)
        monkeypatch.setenv("NIXTLA_BASE_URL", server.url)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    put_frame(store, "2024/01/part-0.parquet", hourly_panel(items=("a", "b")))
    put_frame(store, "2024/01/part-1.parquet", hourly_panel(items=("c",)))
    return store


def receipts(store: Store) -> list[dict[str, Any]]:
    keys = [entry.key for page in store.list(receipt_prefix("")) for entry in page]
    return [json.loads(store.get(key)) for key in keys]


def test_a_bucket_is_forecast_and_receipts_say_what_that_took(
    store: Store, stub: TimeGptStub
) -> None:
    run = gigacast.forecast(store.address.url, **MODEL)
    assert run.status == "completed"
    assert {sent["freq"] for sent in stub.requests} == {"h"}
    stored = gigacast.read_forecasts(store.address.url)
    last = hourly_panel(items=("c",))["target"].iloc[-1]
    np.testing.assert_allclose(stored[stored["item_id"] == "c"]["predictions"], last, rtol=1e-6)
    usage = {receipt["partition"]: receipt["usage"] for receipt in receipts(store)}
    counts = {"requests": 1, "retries": 0, "series": 1, "values": 72, "input_tokens": 72}
    assert usage["2024/01/part-1"] == {**counts, "output_tokens": H}
    assert usage["2024/01/part-0"]["output_tokens"] == 2 * H
    summed = {name: float(count + usage["2024/01/part-0"][name]) for name, count in counts.items()}
    summed["output_tokens"] = 3.0 * H
    assert run.totals.usage == summed
    audit = json.loads(store.get(audit_key(run.run_id)))
    assert audit["totals"]["usage"] == summed
    before = len(stub.requests)
    assert gigacast.forecast(store.address.url, **MODEL).totals.series == 0
    assert len(stub.requests) == before, "what is done is not sent again"


def test_the_summary_and_the_page_of_a_run_say_what_was_asked_of_the_service(
    store: Store,
    stub: TimeGptStub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NIXTLA_DOLLARS_PER_MILLION_TOKENS", "100")
    words = ["--bucket", store.address.url, "--model", "timegpt", "--horizon", str(H)]
    assert command([*words, "--report"]) == 0
    summary = capsys.readouterr().out
    usage = "2 requests, 3 series, 216 values, 216 input tokens, 12 output tokens, $0.023"
    assert usage in " ".join(summary.split())
    keys = [entry.key for listed in store.list("reports/") for entry in listed]
    (page,) = [store.get(key).decode() for key in keys if "/forecast_" in key]
    assert "Asked of the service" in page
    assert usage in page
    assert command([*words, "--json"]) == 0
    assert "usage" not in json.loads(capsys.readouterr().out), "nothing was asked"


def test_nothing_is_sent_unless_the_model_is_named(store: Store, stub: TimeGptStub) -> None:
    gigacast.forecast(store.address.url, model="seasonal-naive", horizon=H)
    gigacast.plan(store.address.url, **MODEL)
    assert stub.requests == []
    assert all("usage" not in receipt for receipt in receipts(store))


def test_a_partition_fails_alone_and_is_asked_for_again(store: Store, stub: TimeGptStub) -> None:
    stub.refusals = [(422, None)]
    run = gigacast.forecast(store.address.url, **MODEL)
    assert run.status == "failed"
    (failure,) = [failure for _, failure in run.failures]
    assert "refuses the request with 422" in failure.message
    assert gigacast.forecast(store.address.url, **MODEL).totals.partitions == 1


def test_frames_and_enhancements_work_and_arrays_have_no_frequency(stub: TimeGptStub) -> None:
    frame = hourly_panel(items=("a",))
    forecast = gigacast.forecast(frame, enhance="flip", **MODEL)
    np.testing.assert_allclose(forecast["predictions"], frame["target"].iloc[-1], rtol=1e-6)
    with pytest.raises(ModelError, match="frequency of every series"):
        gigacast.ChronosLoader(model="timegpt").predict(frame["target"], H)


def test_a_run_without_a_key_does_not_begin(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIXTLA_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="NIXTLA_API_KEY holds no key"):
        gigacast.forecast(store.address.url, **MODEL)
