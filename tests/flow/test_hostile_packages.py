"""No error of a library leaves the functions of the packages, whatever they are given."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gigacast.datasets
import gigacast.feature_sets
import gigacast.feature_store
from gigacast.datasets.api import schema
from tests.support.bars import bars
from tests.support.hostile import raw_errors

PACKAGES = (gigacast.datasets, gigacast.feature_sets, gigacast.feature_store)
BARS = bars(40)
SHARED = {"executor", "n_jobs", "memory_limit", "endpoint_url", "region", "events", "self"}
"""Keywords that other tests try, of options, and callbacks."""


def functions() -> Iterator[Any]:
    for package in PACKAGES:
        for name in package.__all__:
            function = getattr(package, name)
            if inspect.isfunction(function) and not inspect.iscoroutinefunction(function):
                yield pytest.param(function, id=f"{package.__name__}.{name}")


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return arguments by name with which functions get as far as they can."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schema, "_registry", dict(schema._registry))
    BARS.to_parquet(tmp_path / "bars.parquet")
    source = str(tmp_path / "bars.parquet")
    contract = gigacast.datasets.infer_schema(source, "bars")
    return {
        "data": BARS,
        "path": source,
        "schema": contract,
        "rows": 3,
        "name": "ohlcv",
        "old": source,
        "new": source,
        "source": source,
        "recipe": "momentum_indicators",
        "definition": "demo.v1",
        "table": "demo.v1",
        "ds": "2024-01-02",
        "request": gigacast.feature_store.Request("demo.v1", {"id": 1}),
        "bucket": tmp_path.as_uri(),
    }


@pytest.mark.parametrize("function", list(functions()))
def test_arguments_of_any_kind_raise_only_errors_of_gigacast(
    function: Any, usual: dict[str, Any], tmp_path: Path
) -> None:
    parameters = inspect.signature(function).parameters
    own = {name: usual[name] for name in parameters if name in usual}
    if function.__name__.startswith(("write", "save", "build")):
        own["path"] = str(tmp_path / "out.parquet")
    for parameter in parameters.keys() - SHARED:

        def call(value: Any, parameter: str = parameter) -> None:
            # As many rows are valid, and more than this machine holds.
            if parameter in {"rows", "batch_rows"} and isinstance(value, int) and value > 10**9:
                return
            # Files and buckets are made below this folder only.
            value = tmp_path / "nowhere" if isinstance(value, Path) else value
            result = function(**{**own, parameter: value})
            if inspect.isgenerator(result):
                list(result)

        if parameters[parameter].kind is inspect.Parameter.KEYWORD_ONLY or parameter in own:
            assert raw_errors(call) == {}, parameter
