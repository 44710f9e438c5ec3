"""Backtests and evaluations of data frames have the figures of the same data in a bucket."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    GigacastError,
    ModelNotFoundError,
    SchemaError,
)
from tests.support.tiny_models import tiny_bolt

NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": 3}
DAYS = pd.date_range("2024-01-01", periods=40)
FRAME = pd.DataFrame(
    {
        "unique_id": ["a"] * 40 + ["b"] * 40,
        "ds": [*DAYS, *DAYS],
        "y": np.random.default_rng(5).normal(10, 2, 80),
        "region": ["north"] * 40 + ["south"] * 40,
    }
)
BEFORE = FRAME[FRAME["ds"] < DAYS[-3]]
FIGURES = ["forecasts", "steps", "mase", "wql", "rmse", "smape", "bias"]


def put(frame: pd.DataFrame, root: Path) -> str:
    (root / "2024/01").mkdir(parents=True, exist_ok=True)
    frame.to_parquet(root / "2024/01/part-0.parquet", index=False)
    return f"file://{root}"


def plain(frame: Any) -> pd.DataFrame:
    if isinstance(frame, pa.RecordBatchReader):
        frame = frame.read_all()
    return frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()


KINDS = {
    "pandas": lambda frame: frame,
    "keys in the index": lambda frame: frame.set_index(["unique_id", "ds"]),
    "table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "reader": lambda frame: pa.Table.from_pandas(frame, preserve_index=False).to_reader(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_backtest_of_a_frame_has_the_figures_of_the_bucket(kind: str, tmp_path: Path) -> None:
    data = KINDS[kind](FRAME)
    board = gigacast.backtest(data, windows=2, segment="column:region", **NAIVE)
    assert isinstance(board, type(data))
    url = put(FRAME, tmp_path)
    reference = gigacast.backtest(url, windows=2, segment="column:region", **NAIVE).leaderboard
    pd.testing.assert_frame_equal(plain(board), reference.to_table().to_pandas())
    assert len(reference.standings) == 1


@pytest.mark.parametrize("kind", ["pandas", "table", "reader"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_an_evaluation_of_frames_has_the_figures_of_the_bucket(
    kind: str, layout: str, tmp_path: Path
) -> None:
    forecasts = gigacast.forecast(KINDS[kind](BEFORE), layout=layout, **NAIVE)
    if kind == "pandas" and layout == "long":
        forecasts = forecasts.sample(frac=1, random_state=1)
    figures = gigacast.evaluate(forecasts, actuals=KINDS[kind](FRAME))
    assert isinstance(figures, type(forecasts))
    figures = plain(figures)
    url = put(BEFORE, tmp_path)
    gigacast.forecast(url, **NAIVE)
    put(FRAME, tmp_path)
    (reference,) = gigacast.evaluate(url).figures["version"].values()
    got = figures.query("by == 'version'").iloc[0]
    assert [got[name] for name in FIGURES] == pytest.approx(
        [getattr(reference, n) for n in FIGURES]
    )
    assert figures.query("by == 'step'")["label"].tolist() == ["1", "2", "3"]


def test_frames_of_days_are_backtested_and_evaluated_as_frames_of_weeks() -> None:
    days = pd.date_range("2023-01-03", "2023-07-31")  # from a Tuesday to a Monday
    daily = pd.DataFrame({"unique_id": "a", "ds": days, "y": np.arange(len(days)) % 11.0})
    weeks = daily.set_index("ds")["y"].resample("W-MON").sum()
    weekly = pd.DataFrame({"unique_id": "a", "ds": weeks.index, "y": weeks.to_numpy()})
    bins: dict[str, Any] = {"freq": "W-MON", "aggregate": "sum"}
    pd.testing.assert_frame_equal(
        gigacast.backtest(daily, **bins, **NAIVE), gigacast.backtest(weekly, freq="W-MON", **NAIVE)
    )
    forecasts = gigacast.forecast(daily[daily["ds"] <= weeks.index[-4]], **bins, **NAIVE)
    pd.testing.assert_frame_equal(
        gigacast.evaluate(forecasts, actuals=daily, **bins),
        gigacast.evaluate(forecasts, actuals=weekly),
    )


def test_actuals_of_other_items_are_noticed() -> None:
    forecasts = gigacast.forecast(BEFORE, **NAIVE)
    elsewhere = FRAME.assign(unique_id=FRAME["unique_id"] + " elsewhere")
    with pytest.warns(UserWarning, match="none of their values"):
        gigacast.evaluate(forecasts, actuals=elsewhere)


def test_forecasts_with_the_names_of_nixtla_are_evaluated() -> None:
    own = gigacast.forecast(BEFORE, quantiles=[0.1, 0.5, 0.9], **NAIVE)
    named = gigacast.forecast(BEFORE, quantiles=[0.1, 0.5, 0.9], names="nixtla", **NAIVE)
    reference = gigacast.evaluate(own, actuals=FRAME)
    pd.testing.assert_frame_equal(gigacast.evaluate(named, actuals=FRAME), reference)
    model = "seasonal-naive"
    plain = named.drop(columns=["target_name", "fallback"]).rename(
        columns={f"{model}-q-10": f"{model}-lo-80", f"{model}-q-90": f"{model}-hi-80"}
    )
    pd.testing.assert_frame_equal(gigacast.evaluate(plain, actuals=FRAME), reference)
    points = gigacast.evaluate(plain[["unique_id", "ds", model]], actuals=FRAME)
    assert points["mase"].tolist() == reference["mase"].tolist()
    with pytest.raises(SchemaError, match="one model, found those of other, seasonal-naive"):
        gigacast.evaluate(plain.assign(other=plain[model]), actuals=FRAME)
    two = FRAME.rename(columns={"y": "target_a"}).assign(target_b=1.0)
    with pytest.raises(SchemaError, match="actuals several targets"):
        gigacast.evaluate(plain, actuals=two)


def test_forecasts_of_a_bucket_are_read_with_the_names_of_nixtla(tmp_path: Path) -> None:
    url = put(BEFORE, tmp_path)
    gigacast.forecast(url, **NAIVE)
    named = gigacast.read_forecasts(url, names="nixtla")
    assert {"unique_id", "ds", "seasonal-naive", "seasonal-naive-q-10"} <= set(named.columns)
    evaluated = gigacast.evaluate(named, actuals=FRAME)
    pd.testing.assert_frame_equal(
        evaluated, gigacast.evaluate(gigacast.read_forecasts(url), actuals=FRAME)
    )
    with pytest.raises(ConfigError, match="names: 'other' is not known"):
        gigacast.read_forecasts(url, names="other")  # type: ignore[arg-type]


def test_frames_of_items_of_several_columns_have_the_figures_of_their_keys() -> None:
    parts = FRAME["unique_id"] + FRAME["region"]
    several = FRAME.rename(columns={"unique_id": "shop"})
    single = FRAME.assign(unique_id=parts).drop(columns="region")
    columns: dict[str, Any] = {"item_columns": ["shop", "region"]}
    pd.testing.assert_frame_equal(
        gigacast.backtest(several, **columns, **NAIVE), gigacast.backtest(single, **NAIVE)
    )
    forecasts = gigacast.forecast(several[several["ds"] < DAYS[-3]], **columns, **NAIVE)
    reference = gigacast.evaluate(
        gigacast.forecast(single[single["ds"] < DAYS[-3]], **NAIVE), actuals=single
    )
    pd.testing.assert_frame_equal(
        gigacast.evaluate(forecasts, actuals=several, **columns), reference
    )
    table = gigacast.forecast(
        pa.Table.from_pandas(several[several["ds"] < DAYS[-3]]), **columns, **NAIVE
    )
    figures = gigacast.evaluate(table, actuals=several)  # a table says which columns name items
    pd.testing.assert_frame_equal(figures.to_pandas(), reference)


def test_an_evaluation_finds_the_forecasts_of_whole_months(tmp_path: Path) -> None:
    url = put(BEFORE, tmp_path)
    gigacast.forecast(url, **NAIVE, partition_by="month")
    put(FRAME, tmp_path)
    result = gigacast.evaluate(url, partition_by="month")
    assert (result.matched, result.waiting) == (6, 0)
    (figures,) = result.figures["version"].values()
    assert figures.mase > 0


def test_a_bucket_may_be_given_by_its_former_name_or_as_a_path(tmp_path: Path) -> None:
    url = put(FRAME, tmp_path)
    reference = gigacast.backtest(url, **NAIVE).leaderboard
    assert gigacast.backtest(bucket=url, **NAIVE).leaderboard == reference
    assert gigacast.backtest(tmp_path, **NAIVE).leaderboard == reference


def test_a_frame_is_backtested_with_the_models_of_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    bolt = tiny_bolt(tmp_path / "models")
    manager = gigacast.ModelManager(bucket=f"file://{tmp_path}", prefix="team")
    manager.publish_model(bolt, "demand", "v1")
    options: dict[str, Any] = {"horizon": 3, "prefix": "team", "models": ["demand/v1"]}
    board = gigacast.backtest(FRAME, bucket=f"file://{tmp_path}", **options)
    assert set(board["model"]) == {"demand/v1", "seasonal-naive"}
    local = gigacast.backtest(FRAME, models=[str(bolt)], horizon=3)
    figures = [frame.loc[frame["model"] != "seasonal-naive", FIGURES] for frame in (board, local)]
    pd.testing.assert_frame_equal(figures[0], figures[1])
    with pytest.raises(ModelNotFoundError, match="demand"):
        gigacast.backtest(FRAME, horizon=3, models=["demand/v1"])
    assert not (tmp_path / "team/backtests").exists()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: gigacast.backtest(FRAME.assign(y="x")), SchemaError, "'y'.* cannot hold values"),
        (lambda: gigacast.backtest(FRAME, segment="month"), ConfigError, "no 'month'"),
        (lambda: gigacast.backtest("a", bucket="b"), ConfigError, "two names"),
        (lambda: gigacast.backtest(FRAME.head(2), **NAIVE), DataNotFoundError, "long enough"),
        (lambda: gigacast.backtest([1, 2]), ConfigError, "expected a bucket or a DataFrame"),
        (gigacast.backtest, ConfigError, "expected a bucket or a DataFrame"),
        (lambda: gigacast.evaluate(FRAME, actuals=FRAME), SchemaError, "no column 'item_id'"),
        (lambda: gigacast.evaluate(forecasts(), actuals=None), ConfigError, "actuals: expected"),
        (lambda: gigacast.evaluate(forecasts().head(5), actuals=FRAME), SchemaError, "2, 3"),
        (lambda: gigacast.evaluate("b", actuals=FRAME), ConfigError, "for data frames"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    call: Any, error: type[GigacastError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        call()
    assert raised.value.hint


def forecasts() -> pd.DataFrame:
    return gigacast.forecast(BEFORE, **NAIVE)


def test_a_backtest_in_which_all_partitions_fail_says_why(tmp_path: Path) -> None:
    url = put(FRAME.assign(ds=FRAME["ds"].dt.strftime("%d/%m/%Y")), tmp_path)
    with pytest.raises(SchemaError, match=r"part-0\.parquet: no row of 80 .* timestamp in 'ds'"):
        gigacast.backtest(url, **NAIVE)


def test_rows_without_a_time_are_left_out_of_a_backtest_with_a_warning() -> None:
    holes = FRAME.astype({"ds": object})
    holes.loc[holes.index[3], "ds"] = None
    with pytest.warns(UserWarning, match="a readable time are left out: 1"):
        gigacast.backtest(holes, windows=1, **NAIVE)
