"""No error of a library leaves the classes and fetches of the feature store."""

import asyncio
import inspect
from typing import Any

import numpy as np
import pytest

import gigacast.feature_store as fs
from gigacast.errors import ConfigError
from gigacast.feature_store.client import FeatureClient
from tests.support.hostile import raw_errors

QUERY = fs.Query(selects=fs.select("user_id", "v"), time_column="ts")
SOURCE = fs.EventSource(table="data.t", query=QUERY)
GROUP = fs.GroupBy(
    sources=[SOURCE],
    keys=["user_id"],
    aggregations=[
        fs.Aggregation(input_column="v", operation=fs.Operation.SUM, windows=["1d"])  # type: ignore[list-item]
    ],
)
JOIN = fs.Join(left=SOURCE, right_parts=[fs.JoinPart(group_by=GROUP)])  # type: ignore[arg-type]
CONTEXT = fs.ContextualSource(fields=[("k", "long")])
USUAL: dict[Any, dict[str, Any]] = {
    fs.Aggregation: {"input_column": "v", "operation": "SUM", "windows": ["1d"]},
    fs.BootstrapPart: {"table": "data.t"},
    fs.ContextualSource: {"fields": [("k", "long")]},
    fs.Derivation: {"name": "x", "expression": "v"},
    fs.EntitySource: {"snapshotTable": "data.t", "query": QUERY},
    fs.EventSource: {"table": "data.t", "query": QUERY},
    fs.ExternalPart: {"source": CONTEXT},
    fs.ExternalSource: {"name": "a", "key_fields": [("k", "long")]},
    fs.GroupBy: {"sources": [SOURCE], "keys": ["user_id"]},
    fs.Join: {"left": SOURCE, "right_parts": []},
    fs.JoinPart: {"group_by": GROUP},
    fs.JoinSource: {"join": JOIN},
    fs.LabelPart: {"labels": [], "left_start_offset": 3, "left_end_offset": 1},
    fs.Query: {"selects": fs.select("v"), "time_column": "ts"},
    fs.Request: {"name": "a.b", "keys": {"u": 1}},
    fs.Source: {"events": SOURCE},
    fs.StagingQuery: {"query": "SELECT 1"},
    fs.Window: {"length": 1, "timeUnit": fs.TimeUnit.DAYS},
    FeatureClient: {"url": "http://127.0.0.1:1"},
}


@pytest.mark.parametrize("kind", USUAL, ids=lambda kind: kind.__name__)
def test_classes_made_with_anything_raise_only_errors_of_gigacast(kind: Any) -> None:
    kind(**USUAL[kind])
    for parameter in inspect.signature(kind).parameters:
        call = lambda value, name=parameter: kind(**{**USUAL[kind], name: value})  # noqa: E731
        assert raw_errors(call) == {}, parameter


def test_a_field_of_another_type_is_named_with_its_class() -> None:
    with pytest.raises(
        ConfigError, match=r"Query\(time_column=...\): expected a text or None, got"
    ):
        fs.Query(time_column=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"GroupBy\(online=...\): expected .*True or False"):
        fs.GroupBy(sources=[SOURCE], keys=["k"], online="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="longer than a thousand years"):
        fs.Window(10**9, fs.TimeUnit.DAYS)


@pytest.mark.parametrize("name", ["fetch_join_async", "fetch_group_by_async"])
def test_asynchronous_fetches_of_anything_raise_only_errors_of_gigacast(name: str) -> None:
    fetch = getattr(fs, name)
    fetcher = fs.Fetcher.__new__(fs.Fetcher)
    for value in (None, 5, object()):
        with pytest.raises(ConfigError, match="fetcher: expected Fetcher"):
            asyncio.run(fetch([], value))
    for value in (None, 5, "ab", float("nan"), {"a": 1}, np.array([1, 2]), object()):
        with pytest.raises(ConfigError, match="request: expected"):
            asyncio.run(fetch(value, fetcher))
    with pytest.raises(ConfigError, match="request: expected"):
        asyncio.run(fetch([5], fetcher))


def test_moments_of_numpy_become_numbers_of_python() -> None:
    assert type(fs.Request("a.b", {"u": 1}, at=np.int64(5)).at) is int  # type: ignore[arg-type]
    for at in (True, 1.5, 10**30, "now"):
        with pytest.raises(ConfigError, match=r"^at: "):
            fs.Request("a.b", {"u": 1}, at=at)  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["name", "keys", "at"])
def test_questions_of_a_client_of_anything_raise_only_errors_of_gigacast(argument: str) -> None:
    # Nothing listens there: what can be sent ends in an error of the connection.
    client = FeatureClient("http://127.0.0.1:1", timeout_s=1)
    usual = {"name": "a.b", "keys": [{"user_id": 5}], "at": 5}
    call = lambda value: client.fetch_join(**{**usual, argument: value})  # noqa: E731
    assert raw_errors(call) == {}
    assert raw_errors(lambda value: client.fetch_group_by("a.b", [{"user_id": value}])) == {}
