"""The quickstart, served: uploaded, streamed and fetched, equal to the expected answers."""

import csv
import json
from typing import Any

import pytest

from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.typed import to_json
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import run_stream
from tests.support.features.quickstart_store import compile_quickstart, upload_day, write_table
from tests.support.features.vectors import SHARED

DATA = SHARED / "feature_store" / "data"


def read_csv(name: str) -> list[dict[str, Any]]:
    with (DATA / f"{name}.csv").open() as file:
        return [dict(row) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> MemoryOnlineStore:
    """The sample data of the quickstart, uploaded as the seed does."""
    if not DATA.is_dir():
        pytest.skip("the quickstart's data is not beside this repository")
    folder = tmp_path_factory.mktemp("quickstart")
    for name in ("purchases", "returns", "users", "checkouts"):
        write_table(folder / "lake", name, read_csv(name))
    tables = compile_quickstart(folder / "lake", folder / "repository")
    store = MemoryOnlineStore()
    upload_day(tables, "quickstart.training_set.v2", "2023-12-01", store)
    upload_day(tables, "quickstart.users.v1", "2023-11-29", store)
    return store


def ask(store: MemoryOnlineStore, case: dict[str, Any]) -> dict[str, Any]:
    fetcher = Fetcher(store, refresh_s=0)
    request = Request(case["name"], case["keys"], case["at"])
    fetch = fetcher.fetch_join if case["type"] == "join" else fetcher.fetch_group_by
    [response] = fetch([request])
    assert response.errors == {}
    return {name: to_json(value) for name, value in response.values.items()}


@pytest.mark.parametrize("streamed", [False, True])
def test_every_expected_answer_of_the_quickstart_is_given(
    served: MemoryOnlineStore, streamed: bool
) -> None:
    content = json.loads((DATA / "fetch_expected.json").read_text())
    cases = [case for case in content["cases"] if bool(case["stream"]) == streamed]
    if streamed:
        event = json.dumps(content["stream_event"]).encode()
        stream = MemoryStream("events.returns", {"0": [event]})
        applier = StreamApplier(served, "quickstart.returns.v1", stream.name)
        report = run_stream(applier, stream)
        assert report.counts.applied == 1
    assert len(cases) == (10 if streamed else 84)
    different = [
        (case["name"], case["keys"], case["at"], ask(served, case), case["values"])
        for case in cases
        if ask(served, case) != case["values"]
    ]
    assert different == []
