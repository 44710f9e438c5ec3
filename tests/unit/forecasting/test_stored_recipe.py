"""Recipes: the metadata of forecasts gives back the job that made them, and never leads outside."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from gigacast.core.partition.name import Partitioning
from gigacast.core.series.calendar import HolidayTable
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.stored.recipe import (
    INPUT_ROOT,
    RECIPE,
    Recipe,
    recipe_metadata,
    recipe_of,
)
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.spec import make_spec
from gigacast.lake.plan.discovery import Selection
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames
from gigacast.storage.store import StoreAddress

LEVELS = (0.1, 0.5, 0.9)
INFO = ForecasterInfo("m", "v", "d", "engine-1", "cpu", "float32", 512, 4, LEVELS)
BUCKET = StoreAddress("s3://lake")
PLAIN = Method(horizon=6, levels=LEVELS, context_length=512)
TABLES = (HolidayTable("NO", 19000, 20000, ("Constitution Day",), ((19860,),)),)


def job_of(method: Method = PLAIN, inputs: str = "", outputs: str = "", **more: Any) -> ForecastJob:
    places = [StoreAddress(f"s3://lake/{p}".rstrip("/")) if "://" not in p else StoreAddress(p)
              for p in (inputs, outputs)]  # fmt: skip
    return ForecastJob(places[0], places[1], BUCKET, method=method, **more)


def recipe_for(job: ForecastJob, info: ForecasterInfo = INFO) -> Recipe:
    """Write a job into the metadata of a forecast, and read it back."""
    spec, horizon = make_spec(info, job.method, job.selection), job.method.horizon or 4
    metadata = {k.encode(): v.encode() for k, v in recipe_metadata(spec, horizon, job).items()}
    recipe = recipe_of(metadata, spec.id(horizon), "part.parquet")
    assert recipe is not None
    assert recipe.spec.id(horizon) == spec.id(horizon)
    return recipe


# -- the job ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"horizon": 2, "long_horizon": "stock"},
        {"levels": (0.5,)},
        {"context_length": 100},
        {"min_length": 7},
        {"fallback": "drop"},
        {"non_negative": True},
        {"integer": True},
        {"extrapolate_levels": True},
        {"seed": 3},
        {"columns": ColumnNames("shop", "day", ("sold", "lost"), ("price",), ("promo",))},
        {"columns": ColumnNames(items=("shop", "sku"))},
        {"columns": ColumnNames(known_covariates=("promo",)), "missing_future": "past"},
        {"frequency": Frequency.parse("W")},
        {"timestamp_unit": "ms"},
        {"layout": "wide"},
        {"joint_targets": True},
        {"duplicates": "sum"},
        {"csv": CsvOptions(separator=";", decimal=",")},
        {"frequency": Frequency.parse("W"), "aggregate": "sum"},
        {"frequency": Frequency.parse("D"), "aggregate": "max", "partial_bins": "keep",
         "zone": "Europe/Oslo"},
        {"enhance": "auto"},
        {"long_horizon": "dilated"},
        {"long_horizon": "stock"},
        {"mean": True},
        {"columns": ColumnNames(known_covariates=("promo",)), "covariate_regressor": "ridge"},
        {"calendar": True},
        {"holidays": ("NO",), "holiday_tables": TABLES},
    ],
    ids=str,
)  # fmt: skip
def test_the_method_is_the_one_that_was_used(changes: dict[str, Any]) -> None:
    method = replace(PLAIN, **changes)
    recipe = recipe_for(job_of(method))
    # The days of holidays are looked up when a job is prepared.
    assert recipe.method == replace(method, holiday_tables=())
    # A share of duplicates is the reader's own.
    job = recipe.job(job_of(Method(duplicate_share=0.5)))
    assert job.method == replace(recipe.method, duplicate_share=0.5)
    assert (recipe.horizon, recipe.input_root) == (method.horizon, None)


def test_a_calibration_is_that_of_the_last_backtest() -> None:
    calibration = Calibration(LEVELS, ((1.0, 1.0, 2.0),) * 6)
    recipe = recipe_for(job_of(replace(PLAIN, calibrate=True, calibration=calibration)))
    assert recipe.method == replace(PLAIN, calibrate=True)
    assert not recipe_for(job_of()).method.calibrate


def test_the_model_is_described_as_far_as_the_spec_does() -> None:
    info = recipe_for(job_of()).info
    assert info == replace(INFO, prediction_length=6)


@pytest.mark.parametrize("partition_by", get_args(Partitioning))
@pytest.mark.parametrize("context", [0, 2])
def test_partitions_are_what_they_were(partition_by: Partitioning, context: int) -> None:
    selection = Selection(
        by_month=partition_by != "object",
        by_bucket=partition_by == "bucket",
        context_partitions=context,
        symbols=frozenset({"A"}),
    )
    recipe = recipe_for(job_of(selection=selection))
    assert (recipe.partition_by, recipe.context_partitions) == (partition_by, context)
    # What is looked at is chosen anew.
    job = recipe.job(job_of(selection=Selection(symbols=frozenset({"B"}))))
    assert job.selection == replace(selection, symbols=frozenset({"B"}))


# -- flags -----------------------------------------------------------------------------------------


def test_settings_are_named_by_their_flags() -> None:
    method = replace(
        PLAIN,
        columns=ColumnNames(None, "day", ("sold",), ("price",), ("promo",), ("shop", "sku")),
        csv=CsvOptions(separator=";"),
        frequency=Frequency.parse("W"),
        aggregate="sum",
        enhance="auto",
        calendar=True,
        holidays=("NO",),
        holiday_tables=TABLES,
    )
    flags = recipe_for(job_of(method, "raw")).flags
    expected = {
        "model": "m",
        "model_version": "v",
        "horizon": 6,
        "quantiles": [0.1, 0.5, 0.9],
        "item_columns": ["shop", "sku"],
        "timestamp_column": "day",
        "targets": ["sold"],
        "past_covariates": ["price"],
        "known_covariates": ["promo"],
        "missing_future": "error",
        "csv_separator": ";",
        "aggregate": "sum",
        "partial_bins": "drop",
        "zone": None,
        "enhance": "auto",
        "long_horizon": "bands",
        "known_calendar": True,
        "known_holidays": "NO",
        "input_prefix": "raw",
    }
    assert {name: flags[name] for name in expected} == expected
    assert not {"format", "tails", "columns", "covariates", "csv", "version"} & {*flags}
    assert flags["freq"].startswith("W")


def test_differences_are_the_settings_that_are_not_shared() -> None:
    first = recipe_for(job_of())
    second = recipe_for(job_of(replace(PLAIN, horizon=5, mean=True)))
    assert first.differences(first) == {}
    assert second.differences(first) == {"horizon": 5, "mean": True}
    assert first.differences(second) == {"horizon": 6, "mean": None}


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "outputs", "root"),
    [
        ("", "", None),
        ("sales", "sales", None),
        ("sales/raw", "sales", "raw"),
        ("raw", "", "raw"),
        ("raw", "sales", "/raw"),
        ("sales", "sales/out", "/sales"),
        ("s3://other/raw", "", "s3://other/raw"),
        ("s3://lake2", "", "s3://lake2"),
        ("s3://key:word@other/raw", "", None),
    ],
)
def test_inputs_are_found_again_within_the_bucket(
    inputs: str, outputs: str, root: str | None
) -> None:
    job = job_of(PLAIN, inputs, outputs)
    recipe = recipe_for(job)
    if "@" in inputs:
        assert "word" not in str(recipe.input_root)
        return
    assert recipe.input_root == root
    reader = replace(job, inputs=job.outputs)
    if root is not None and "://" in root:
        with pytest.raises(ConfigError, match="outside of this bucket"):
            recipe.job(reader)
    else:
        assert recipe.job(reader).inputs == job.inputs
    # Inputs that somebody names stay.
    named = replace(job, inputs=StoreAddress("s3://named"))
    assert recipe.job(named).inputs == StoreAddress("s3://named")


@pytest.mark.parametrize("root", ["../up", "a/../../up", "..", "/../x", "file:///etc"])
def test_metadata_leads_nobody_out_of_a_bucket(root: str) -> None:
    recipe = replace(recipe_for(job_of()), input_root=root)
    with pytest.raises(ConfigError, match="outside of this bucket"):
        recipe.job(job_of())
    assert replace(recipe, input_root="a..b/c").job(job_of()).inputs.url == "s3://lake/a..b/c"


def test_the_snapshot_of_a_table_is_not_written_down() -> None:
    job = job_of(PLAIN, "delta://s3://lake/table?version=7")
    spec = make_spec(INFO, PLAIN, job.selection)
    assert recipe_metadata(spec, 6, job)[INPUT_ROOT] == "delta://s3://lake/table"


# -- metadata that is none -------------------------------------------------------------------------


def test_metadata_without_a_recipe_is_that_of_an_earlier_release() -> None:
    assert recipe_of(None, "h6-q3-00000000", "part.parquet") is None
    assert recipe_of({b"other": b"x"}, "h6-q3-00000000", "part.parquet") is None


def test_a_recipe_that_was_changed_is_refused() -> None:
    spec = make_spec(INFO, PLAIN, Selection())
    text = recipe_metadata(spec, 6, job_of())[RECIPE]
    assert json.loads(text) == json.loads(json.dumps(spec.describe(6)))
    for changed in (text.replace('"seed": 0', '"seed": 1'), "[]", "{", "{}"):
        with pytest.raises(CorruptedFileError, match=r"part\.parquet"):
            recipe_of({RECIPE.encode(): changed.encode()}, spec.id(6), "part.parquet")
    with pytest.raises(CorruptedFileError, match="describes other settings"):
        recipe_of({RECIPE.encode(): text.encode()}, spec.id(7), "part.parquet")
