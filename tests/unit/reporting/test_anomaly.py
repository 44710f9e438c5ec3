"""Anomalies on the page of a run: found by the spec, checked before they are shown."""

import json
from typing import Any

import pytest

from gigacast.errors import CorruptedFileError
from gigacast.forecasting.read import Generation
from gigacast.report.document import Heading, Paragraph, Table
from gigacast.reporting.anomaly import anomaly_blocks, find_search, read_search
from gigacast.storage.memory import MemoryStore, forget_memory

ENTRY = {"item": "a", "kind": "level_shift", "steps": 5, "score": -4.5, "run": 5}


def search(spec: str = "h3", **fields: Any) -> dict[str, Any]:
    counts = {"anomalies": 5, "anomalous_series": 1, "series": 9}
    return {**counts, "dataset": f"s3://b/anomalies/m/1/{spec}", "worst": [ENTRY], **fields}


def test_the_search_of_the_spec_is_found_and_others_are_not() -> None:
    store = MemoryStore("searches")
    store.put("anomalies/_reports/a.json", json.dumps(search()).encode())
    store.put("anomalies/_reports/b.json", b"{")
    stored = find_search(store, Generation("m", "1", "h3", 0))
    assert stored is not None
    assert stored["worst"] == [ENTRY]
    assert find_search(store, Generation("m", "1", "h33", 0)) is None
    forget_memory("searches")


def test_only_the_newest_searches_are_looked_at() -> None:
    store = MemoryStore("many-searches")
    for number in range(6):
        spec = "h1" if number == 0 else "h3"
        store.put(f"anomalies/_reports/{number}.json", json.dumps(search(spec)).encode())
    assert find_search(store, Generation("m", "1", "h1", 0)) is None
    assert find_search(store, Generation("m", "1", "h3", 0)) is not None
    forget_memory("many-searches")


def test_the_worst_series_are_a_table_and_nothing_is_shown_without_anomalies() -> None:
    heading, text, table = anomaly_blocks(search())
    assert isinstance(heading, Heading)
    assert isinstance(text, Paragraph)
    assert "5 values of 1 of 9 series" in text.text
    assert isinstance(table, Table)
    assert table.rows == (("a", "level shift", 5, -4.5, 5),)
    assert anomaly_blocks(search(anomalies=0)) == anomaly_blocks(None) == ()
    many = search(worst=[{**ENTRY, "item": str(n)} for n in range(20)])
    shown = read_search(json.dumps(many).encode(), "x.json")["worst"]
    assert [entry["item"] for entry in shown] == [str(n) for n in range(8)]


@pytest.mark.parametrize(
    "fields",
    [
        {"worst": 3},
        {"worst": [{**ENTRY, "score": "x"}]},
        {"worst": [{**ENTRY, "item": None}]},
        {"anomalies": -1},
        {"dataset": None},
    ],
)
def test_a_search_of_another_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptedFileError, match=r"x\.json"):
        read_search(json.dumps(search(**fields)).encode(), "x.json")
