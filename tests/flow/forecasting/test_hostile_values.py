"""No error of a library leaves the public functions, whatever they are given."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.errors import GigacastError
from tests.support.hostile import FRAME, raw_errors

NAIVE = {"model": "seasonal-naive", "horizon": 2}
OPTIONS = sorted(set(gigacast.Options.__annotations__) - {"n_jobs", "executor"})


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "2024/01").mkdir(parents=True)
    FRAME.to_parquet(tmp_path / "2024/01/part-0.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path.as_uri()


@pytest.mark.filterwarnings("ignore:the data has no rows")
@pytest.mark.parametrize(
    "name", ["forecast", "plan", "read_forecasts", "backtest", "evaluate", "finetune"]
)
def test_data_and_buckets_of_any_kind_raise_only_errors_of_gigacast(name: str, bucket: str) -> None:
    assert raw_errors(getattr(gigacast, name)) == {}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_any_kind_raise_only_errors_of_gigacast(option: str, bucket: str) -> None:
    def call(value: Any) -> None:
        gigacast.plan(bucket, **{**NAIVE, option: value})
        # A horizon of 10**30 steps is valid, and more than this machine holds.
        if not (isinstance(value, int) and value > 10**9):
            gigacast.forecast(FRAME, **{**NAIVE, option: value})

    assert raw_errors(call) == {}


@pytest.mark.parametrize(
    "argument",
    [
        *("prefix", "model", "version", "spec", "years", "months"),
        *("partitions", "items", "columns", "origin"),
    ],
)
def test_arguments_of_reading_of_any_kind_raise_only_errors_of_gigacast(
    argument: str, bucket: str
) -> None:
    gigacast.forecast(bucket, **NAIVE)
    assert raw_errors(lambda value: gigacast.read_forecasts(bucket, **{argument: value})) == {}


@pytest.mark.parametrize("name", ["forecast", "plan", "backtest", "evaluate", "finetune"])
def test_settings_files_of_any_kind_raise_only_errors_of_gigacast(name: str, bucket: str) -> None:
    function = getattr(gigacast, name)
    # The model does not exist, so that no value starts a run.
    options = {"model": "no-such-model"} if name != "evaluate" else {}
    assert raw_errors(lambda value: function(bucket, config=value, **options)) == {}


@pytest.mark.parametrize(
    "argument", ["parquet_config_path", "model", "bucket", "prefix", "device", "precision"]
)
def test_loaders_of_any_kind_raise_only_errors_of_gigacast(argument: str, bucket: str) -> None:
    options = {"model": "seasonal-naive"}
    call = lambda value: gigacast.ChronosLoader(**{**options, argument: value}).forecaster  # noqa: E731
    assert raw_errors(call) == {}


@pytest.mark.parametrize("argument", ["context", "prediction_length", "quantile_levels"])
def test_predictions_of_any_kind_raise_only_errors_of_gigacast(argument: str) -> None:
    loader = gigacast.ChronosLoader(model="seasonal-naive")
    options = {"context": [1.0, 2.0, 3.0], "prediction_length": 2}

    def call(value: Any) -> None:
        # As many steps are valid, and more than this machine holds.
        if not (argument == "prediction_length" and isinstance(value, int) and value > 10**9):
            loader.predict(**{**options, argument: value})

    assert raw_errors(call) == {}


@pytest.mark.parametrize("argument", ["file_path", "symbol", "year", "month", "context_length"])
def test_contexts_of_any_kind_raise_only_errors_of_gigacast(argument: str, bucket: str) -> None:
    loader = gigacast.ChronosLoader(model="seasonal-naive")
    options = {"symbol": "a", "year": 2024, "month": 1}
    options = {"file_path": "2024/01/part-0.parquet"} if argument == "context_length" else options

    def call(value: Any) -> None:
        loader.load_context_from_parquet(**{**options, argument: value})

    assert raw_errors(call) == {}


CONTENTS = {
    "ids of two types": {"item_id": pd.Series([1, "1"] * 10, dtype=object)},
    "ids beyond 64 bits": {"item_id": pd.Series([2**70] * 20, dtype=object)},
    "targets of two types": {"target": pd.Series([0, "1", *range(18)], dtype=object)},
    "complex targets": {"target": np.arange(20) + 0j},
    "times of two types": {"timestamp": pd.Series([pd.Timestamp(0), *"x" * 19], dtype=object)},
    "objects": {"target": pd.Series([object()] * 20)},
    "structs": {"target": pd.Series([{"a": 1}] * 20)},
    "text of half characters": {"item_id": pd.Series(["\ud800"] * 20, dtype=object)},
    "integers beyond 64 bits": {"target": pd.Series([2**70] * 20, dtype=object)},
}


@pytest.mark.parametrize("name", CONTENTS)
def test_frames_of_any_content_raise_only_errors_of_gigacast(name: str) -> None:
    frame = FRAME.assign(**CONTENTS[name])
    with pytest.raises(GigacastError) as raised:
        gigacast.forecast(frame, **NAIVE)
    assert raised.value.hint


def test_times_beyond_int64_are_no_times_and_never_wrap() -> None:
    frame = FRAME.assign(timestamp=np.arange(2**64 - 22, 2**64 - 2, dtype="uint64"))
    with pytest.raises(GigacastError, match="no row of 20 has a readable timestamp in 'timestamp'"):
        gigacast.forecast(frame, **NAIVE)
    steps = FRAME.assign(item_id="b", timestamp=np.arange(20, dtype="uint64"))
    mixed = pd.concat([steps, frame])
    with pytest.raises(GigacastError, match="less than a microsecond apart"):
        gigacast.forecast(mixed, duplicates="mean", **NAIVE)
    with pytest.warns(UserWarning, match="without an item id or a readable time are left out: 20"):
        rows = gigacast.forecast(mixed, duplicates="mean", timestamp_unit="step", **NAIVE)
    assert rows.loc[rows["item_id"] == "b", "timestamp"].tolist() == [20, 21]
    assert rows.loc[rows["item_id"] != "b", "timestamp"].isna().all()
    assert set(rows.loc[rows["item_id"] != "b", "fallback"]) == {"no_timestamp"}


def test_a_column_that_cannot_be_converted_is_named() -> None:
    frame = FRAME.assign(item_id=pd.Series([2**70] * 20, dtype=object))
    with pytest.raises(GigacastError, match="column 'item_id'"):
        gigacast.forecast(frame, **NAIVE)
    twice = pd.concat([FRAME, FRAME[["target"]]], axis=1)
    for data in (twice, pa.table([FRAME["target"]] * 2, names=["target", "target"])):
        with pytest.raises(GigacastError, match="target"):
            gigacast.forecast(data, **NAIVE)
