"""Every keyword that a public function takes has an effect, and every other one is refused by name.

A keyword has an effect if what the function hands on, to the code that does the work, differs.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

import gigacast
from gigacast.anomalies import api as anomalies
from gigacast.backtesting import api as backtesting
from gigacast.cli.program import program
from gigacast.errors import ConfigError
from gigacast.feature_store import api as features
from gigacast.forecasting.api import drawing, functions
from gigacast.models import api as models
from gigacast.settings.doors import BUCKET, FRAME, check_used, keywords_of, refuse_others
from gigacast.settings.options import ARGUMENTS, KEYWORDS
from tests.unit.settings.option_values import COMPANIONS, JOB_VALUES, value_for

TABLE = pa.table({"item_id": ["a"], "timestamp": [0], "target": [1.0]})
BASE: dict[str, dict[str, Any]] = {
    "series_per_partition": {"n_partitions": 2},
    **COMPANIONS,
}


class HandedError(Exception):
    """What a public function handed on."""

    def __init__(self, *parts: object) -> None:
        super().__init__(repr(parts))


def hand(*parts: object, **more: object) -> Any:
    raise HandedError(parts, more)


@cache
def manager() -> gigacast.ModelManager:
    return gigacast.ModelManager(bucket="memory://doors")


Door = Callable[..., Any]
BUCKETS: dict[str, tuple[Door, Any, tuple[str, ...]]] = {
    "forecast": (lambda **o: gigacast.forecast("memory://x", **o), functions, ("run_forecast",)),
    "plan": (lambda **o: gigacast.plan("memory://x", **o), functions, ("report_plan",)),
    "backtest": (
        lambda **o: gigacast.backtest("memory://x", **o),
        backtesting,
        ("run_backtest",),
    ),
    "evaluate": (
        lambda **o: gigacast.evaluate("memory://x", **o),
        backtesting,
        ("evaluate_forecasts",),
    ),
    "detect_anomalies": (
        lambda **o: gigacast.detect_anomalies("memory://x", **o),
        anomalies,
        ("find_anomalies_in",),
    ),
    "promote_model": (
        lambda **o: manager().promote_model("m", "v1", **o),
        models,
        ("judge_version",),
    ),
    "diff_versions": (
        lambda **o: manager().diff_versions("m", "v1", "v2", **o),
        models,
        ("compare_versions",),
    ),
}
FRAMES: dict[str, tuple[Door, Any, tuple[str, ...]]] = {
    "forecast": (
        lambda **o: gigacast.forecast(TABLE, bucket="memory://x", **o),
        functions,
        ("load_chosen", "forecast_table"),
    ),
    "backtest": (
        lambda **o: gigacast.backtest(TABLE, bucket="memory://x", **o),
        backtesting,
        ("backtest_table",),
    ),
    "evaluate": (
        lambda **o: gigacast.evaluate(TABLE, TABLE, **o),
        backtesting,
        ("evaluate_table",),
    ),
    "detect_anomalies": (
        lambda **o: gigacast.detect_anomalies(TABLE, bucket="memory://x", **o),
        anomalies,
        ("load_chosen", "search_table"),
    ),
    "plot": (
        lambda **o: gigacast.plot(TABLE, bucket="memory://x", **o),
        drawing,
        ("load_chosen", "forecast_table"),
    ),
}
DOORS = [
    *((f"{name} of a bucket", *door, BUCKET[name]) for name, door in BUCKETS.items()),
    *((f"{name} of a frame", *door, FRAME[name]) for name, door in FRAMES.items()),
]
CASES = pytest.mark.parametrize(
    ("door", "module", "uses", "names"), [case[1:] for case in DOORS], ids=[c[0] for c in DOORS]
)


def handed(door: Door, **options: Any) -> str:
    with pytest.raises(HandedError) as caught:
        door(**options)
    return str(caught.value)


@CASES
def test_every_keyword_that_a_function_takes_changes_what_it_does(
    door: Door,
    module: Any,
    uses: tuple[str, ...],
    names: frozenset[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[object] = []

    def load(*parts: object, **more: object) -> object:
        loaded[:] = [parts, more]
        return loaded

    monkeypatch.setattr(models.ModelManager, "active_version", lambda *_: "v0")
    monkeypatch.setattr("gigacast.lake.model.registry.Registry.read", lambda *_: None)
    for use in uses:
        monkeypatch.setattr(module, use, load if use == "load_chosen" else hand)
    assert handed(door) == handed(door)  # by equal values, not by addresses of objects
    without_effect = []
    for name in sorted(names):
        base = BASE.get(name, {})
        value = JOB_VALUES.get(name, value_for(ARGUMENTS[name]))
        if handed(door, **base, **{name: value}) == handed(door, **base):
            without_effect.append(name)
    assert without_effect == []


@CASES
def test_every_other_keyword_is_refused_by_name_before_anything_is_read(
    door: Door, module: Any, uses: tuple[str, ...], names: frozenset[str]
) -> None:
    for option in KEYWORDS:
        if option.name not in names:
            with pytest.raises(ConfigError, match=f"^{option.name}: .* does not use it") as caught:
                door(**{option.name: value_for(option)})
            assert f"leave {option.name} out" in str(caught.value.hint)


PLACE = ("prefix", "endpoint_url", "region")
METHOD = ("horizon", "quantiles", "context_length", "freq", "item_column", "targets")
DIALECT = ("csv_separator", "csv_encoding")
PARTITIONS = ("months", "partition_by", "input_prefix")


@pytest.mark.parametrize("function", [*BUCKET])
def test_what_describes_forecasts_is_used_by_all_that_make_some(function: str) -> None:
    keywords = dict.fromkeys((*PLACE, *DIALECT), "x")
    if function != "evaluate":
        keywords |= dict.fromkeys(METHOD, "x")
    if function != "reconcile":
        keywords |= dict.fromkeys(PARTITIONS, "x")
    check_used(function, keywords)
    for unknown_name in ("with_what", "bucket"):
        assert unknown_name not in BUCKET[function]


@pytest.mark.parametrize("function", [*FRAME])
def test_a_frame_has_neither_partitions_nor_a_dialect(function: str) -> None:
    keywords = dict.fromkeys(("item_column", "targets", "freq"), "x")
    if function != "evaluate":
        keywords |= dict.fromkeys((*PLACE, *METHOD, "device", "batch_size"), "x")
    check_used(function, keywords, is_frame=True)
    for name in (*DIALECT, *PARTITIONS, "n_jobs", "overwrite"):
        with pytest.raises(ConfigError, match=f"^{name}: {function} of a frame does not use it"):
            check_used(function, {name: "x"}, is_frame=True)
    check_used(function, {"months": None, "no_setting_at_all": "x"}, is_frame=True)


def test_an_unknown_keyword_is_still_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="horizn: no such argument"):
        gigacast.backtest("memory://x", horizn=3)  # type: ignore[call-overload]


def test_a_keyword_that_is_none_is_one_that_is_left_out() -> None:
    with pytest.raises(ConfigError, match="expected two frames"):
        gigacast.evaluate(TABLE, overwrite=None)


def test_models_of_a_backtest_leave_no_use_for_another() -> None:
    with pytest.raises(ConfigError, match="model: backtest of models does not use it"):
        gigacast.backtest("memory://x", models=["seasonal-naive"], model="other")


FEATURES = {
    "backfill": lambda **o: features.backfill("x", bucket="memory://x", **o),
    "label": lambda **o: features.label("x", "2024-01-01", bucket="memory://x", **o),
    "read_table": lambda **o: features.read_table("x", bucket="memory://x", **o),
    "read_features": lambda **o: features.read_features("x", bucket="memory://x", **o),
    "open_features": lambda **o: features.open_features("x", bucket="memory://x", **o),
}


@pytest.mark.parametrize("name", FEATURES)
def test_functions_of_the_feature_store_refuse_what_they_do_not_show(name: str) -> None:
    shown = set(gigacast.feature_store.api.__dict__[name].__signature__.parameters)  # type: ignore[attr-defined]
    for option in KEYWORDS:
        if option.name not in shown:
            with pytest.raises(ConfigError, match=f"^{option.name}: .* does not use it"):
                FEATURES[name](**{option.name: value_for(option)})


COMMANDS = {"forecast": "forecast", "plan": "plan", "backtest": "backtest", "evaluate": "evaluate"}
FORM_ONLY = {"layout", "mean"}
"""Flags of every command on a job, of which only forecasts have a use."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_takes_the_settings_of_the_command_of_the_same_name(name: str) -> None:
    command = program.commands[name].load()  # type: ignore[attr-defined]
    flags = {parameter.name for parameter in command.params} & {o.name for o in KEYWORDS}
    taken = {option.name for option in keywords_of(name)}
    array = {option.name for option in KEYWORDS if option.group == "array"}
    from_python = {"model", "model_version", "limit", "verify_datasets"}
    assert taken - flags <= from_python
    assert flags - taken <= array | FORM_ONLY


def test_a_refusal_says_why_the_setting_has_no_effect() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_others("forecast", {"children": 3}, ())
    assert "array jobs are submitted by the command line" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("function", "is_frame", "named"),
    [
        ("forecast", False, "forecast of a bucket"),
        ("forecast", True, "forecast of a frame"),
        ("plan", False, "plan"),
    ],
)
def test_a_refusal_names_the_input_where_a_function_takes_two_kinds(
    function: str, is_frame: bool, named: str
) -> None:
    with pytest.raises(ConfigError, match=f"^children: {named} does not use it"):
        check_used(function, {"children": 3}, is_frame=is_frame)
