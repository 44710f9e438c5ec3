"""Covariates and joint targets, from a data frame or a bucket to forecasts."""

import json
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

import gigacast
from gigacast.errors import ConfigError, GigacastError, SchemaError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.covariate_panel import KNOWN, PAST, Item, make_frame, make_items, reference
from tests.support.moto_server import MotoServer
from tests.support.panels import put_frame
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2

HORIZON = 10
LEVELS = [0.1, 0.5, 0.9]
BOTH: dict[str, Any] = {"past_covariates": PAST, "known_covariates": KNOWN}
TARGETS = ("sales", "returns")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chronos2(session_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bolt(session_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return make_items()


def run(frame: pd.DataFrame, folder: Path, **options: Any) -> pd.DataFrame:
    arguments = {
        "model": str(folder),
        "horizon": HORIZON,
        "quantiles": LEVELS,
        "targets": ["sales"],
        "precision": "float32",
        "device": "cpu",
    }
    return gigacast.forecast(frame, **{**arguments, **options})


def numbers(forecast: pd.DataFrame, horizon: int = HORIZON) -> npt.NDArray[np.float32]:
    assert forecast["fallback"].isna().all(), forecast["fallback"].unique()
    columns = [f"{level:g}" for level in LEVELS]
    return forecast[columns].to_numpy(np.float32).reshape(-1, horizon, len(LEVELS))


# -- the numbers are Chronos-2's own ---------------------------------------------------------------


@pytest.mark.parametrize("horizon", [10, 70])  # 70: beyond a single pass of 64
@pytest.mark.parametrize(
    ("past", "known_ahead"), [(PAST, ()), ((), KNOWN), (PAST, KNOWN), (("load", "day"), ("price",))]
)
def test_forecasts_equal_those_of_the_stock_pipeline(
    folder: Path,
    items: list[Item],
    past: tuple[str, ...],
    known_ahead: tuple[str, ...],
    horizon: int,
) -> None:
    ahead = horizon if known_ahead else 0
    got = run(
        make_frame(items, ahead),
        folder,
        past_covariates=past,
        known_covariates=known_ahead,
        horizon=horizon,
        long_horizon="stock",
    )
    tasks = [item.task(("sales",), horizon, past, known_ahead) for item in items]
    with pytest.warns(UserWarning, match="prediction length") if horizon > 64 else nullcontext():
        expected = reference(folder, tasks, horizon, LEVELS)
    np.testing.assert_allclose(numbers(got, horizon), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("named", [{}, BOTH])
def test_joint_targets_are_forecast_as_one_group(
    folder: Path, items: list[Item], named: dict[str, Any]
) -> None:
    frame = make_frame(items, HORIZON if named else 0)
    got = run(frame, folder, targets=TARGETS, joint_targets=True, **named)
    covariates = {"past": PAST, "known_ahead": KNOWN} if named else {"past": (), "known_ahead": ()}
    expected = reference(
        folder, [i.task(TARGETS, HORIZON, **covariates) for i in items], HORIZON, LEVELS
    )
    np.testing.assert_allclose(numbers(got), expected, rtol=1e-4, atol=1e-4)
    alone = numbers(run(frame, folder, targets=TARGETS, **named))
    assert np.abs(alone - expected).max() > 1e-2


def test_the_order_of_rows_does_not_matter(folder: Path, items: list[Item]) -> None:
    frame = make_frame(items, HORIZON)
    mixed = frame.sample(frac=1.0, random_state=3)
    by = ["item_id", "timestamp"]
    first = run(frame, folder, **BOTH).sort_values(by)
    second = run(mixed, folder, **BOTH).sort_values(by)
    np.testing.assert_allclose(numbers(first), numbers(second), rtol=1e-5, atol=1e-5)


def test_the_covariates_of_an_item_do_not_affect_another(folder: Path, items: list[Item]) -> None:
    together = run(make_frame(items, HORIZON), folder, **BOTH)
    for item in items:
        alone = run(make_frame([item], HORIZON), folder, **BOTH)
        mine = together[together["item_id"] == item.name]
        np.testing.assert_allclose(numbers(mine), numbers(alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("joint", [False, True])
def test_the_batch_size_does_not_change_the_forecasts(
    folder: Path, items: list[Item], *, joint: bool
) -> None:
    frame = make_frame(items, HORIZON)
    options = {**BOTH, "targets": TARGETS, "joint_targets": joint}
    forecasts = [numbers(run(frame, folder, batch_size=size, **options)) for size in (1, 3, 64)]
    np.testing.assert_allclose(forecasts[0], forecasts[2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(forecasts[1], forecasts[2], rtol=1e-5, atol=1e-5)


# -- nothing leaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("column", ["load", "other"])
def test_targets_after_the_history_do_not_change_the_forecasts(
    folder: Path, items: list[Item], column: str, *, joint: bool
) -> None:
    frame = make_frame(items, HORIZON).assign(other=1.0)
    options = {**BOTH, "targets": TARGETS, "joint_targets": joint}
    after = frame["sales"].isna() & frame["returns"].isna()
    assert after.sum() == HORIZON * len(items)
    changed = frame.copy()
    changed.loc[after, column] = 1e6
    before, later = (run(data, folder, **options) for data in (frame, changed))
    pd.testing.assert_frame_equal(before, later)


def test_rows_beyond_the_horizon_do_not_change_the_forecasts(
    folder: Path, items: list[Item]
) -> None:
    near, far = (make_frame(items, ahead) for ahead in (HORIZON, HORIZON + 60))
    pd.testing.assert_frame_equal(run(near, folder, **BOTH), run(far, folder, **BOTH))


@pytest.mark.parametrize("freq", [None, "D"])
@pytest.mark.parametrize("ordered", [True, False])
def test_years_of_future_rows_do_not_shorten_the_context(
    folder: Path, items: list[Item], freq: str | None, *, ordered: bool
) -> None:
    near = make_frame(items, HORIZON)
    last = near.groupby("item_id").tail(1)
    days = pd.Series(pd.to_timedelta(np.arange(1, 20_000), unit="D"), name="later")
    far = last.merge(days, how="cross")
    far["timestamp"] += far.pop("later")
    far = pd.concat([near, far]).sort_values(["item_id", "timestamp"])
    far = far if ordered else far.sample(frac=1.0, random_state=1)
    named = {**BOTH, **({"freq": freq} if freq else {})}
    by = ["item_id", "timestamp"]
    first, second = (run(data, folder, **named).sort_values(by) for data in (near, far))
    np.testing.assert_allclose(numbers(first), numbers(second), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("column", KNOWN)
def test_a_covariate_known_ahead_changes_the_forecast(
    folder: Path, items: list[Item], column: str
) -> None:
    frame = make_frame(items, HORIZON)
    changed = frame.copy()
    place = frame.index[frame["item_id"] == "item-1"][-1]
    other_values = {"price": 2e3, "day": "tue", "open": not frame.loc[place, "open"]}
    assert frame.loc[place, column] != other_values[column]
    changed.loc[place, column] = other_values[column]
    before, later = (run(data, folder, **BOTH) for data in (frame, changed))
    same = before["0.5"].to_numpy() == later["0.5"].to_numpy()
    mine = (before["item_id"] == "item-1").to_numpy()
    assert not same[mine].all()
    assert same[~mine].all()


def test_without_covariates_rows_without_a_target_are_part_of_the_series(
    folder: Path, items: list[Item]
) -> None:
    got = run(make_frame(items, 3), folder)
    ends = make_frame(items, 3).groupby("item_id")["timestamp"].max()
    starts = got.groupby("item_id")["timestamp"].min()
    assert (starts - ends == pd.Timedelta(days=1)).all()


# -- what is missing -------------------------------------------------------------------------------


def short_of_future(items: list[Item], steps: int) -> pd.DataFrame:
    """Return a panel in which the first item's known covariates end too soon."""
    frame = make_frame(items, HORIZON)
    mine = frame.index[frame["item_id"] == "item-0"]
    return frame.drop(index=mine[len(mine) - steps :])


def test_a_series_without_its_future_gets_the_fallback(folder: Path, items: list[Item]) -> None:
    got = run(short_of_future(items, 1), folder, **BOTH)
    reasons = got.groupby("item_id")["fallback"].first()
    assert reasons["item-0"] is not None
    assert "future" in reasons["item-0"]
    assert reasons.drop("item-0").isna().all()


def test_series_without_future_covariates_can_be_left_out(folder: Path, items: list[Item]) -> None:
    got = run(short_of_future(items, 4), folder, missing_future="past", **BOTH)
    expected = reference(
        folder, [items[0].task(("sales",), HORIZON, (*PAST, *KNOWN), ())], 10, LEVELS
    )
    mine = numbers(got[got["item_id"] == "item-0"])
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_a_future_row_with_a_null_category_is_not_missing(folder: Path) -> None:
    items = make_items(nameless=True)
    got = run(make_frame(items, HORIZON), folder, **BOTH)
    expected = reference(folder, [i.task(("sales",), HORIZON) for i in items], HORIZON, LEVELS)
    np.testing.assert_allclose(numbers(got), expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_two_rows_of_a_step_does_not_matter(folder: Path, items: list[Item]) -> None:
    frame = make_frame(items, HORIZON)
    double = frame[frame["sales"].notna()].groupby("item_id").tail(1).assign(day="zzz")
    first = run(pd.concat([frame, double]), folder, duplicates="mean", **BOTH)
    second = run(pd.concat([double, frame]), folder, duplicates="mean", **BOTH)
    np.testing.assert_allclose(numbers(first), numbers(second), rtol=1e-5, atol=1e-5)


# -- what can't be used ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [BOTH, {"joint_targets": True, "targets": TARGETS}])
def test_a_model_of_single_series_refuses_covariates(
    bolt: Path, items: list[Item], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(make_frame(items, HORIZON), bolt, **options)
    assert "unsupported_covariates" in str(caught.value) + str(caught.value.hint)


def test_a_model_of_single_series_ignores_covariates_with_a_warning(
    bolt: Path, items: list[Item], caplog: pytest.LogCaptureFixture
) -> None:
    options = {**BOTH, "unsupported_covariates": "ignore"}
    with caplog.at_level(logging.WARNING):
        got = run(make_frame(items, HORIZON), bolt, **options)
    assert "price" in caplog.text
    plain = run(make_frame(items, 0), bolt)
    # It forecasts the same steps as a model that uses them: the history ends where it did.
    pd.testing.assert_frame_equal(got, plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past_covariates": ["colour"]}, "colour"),
        ({"past_covariates": ["sales"]}, "sales"),
        ({"past_covariates": ["since"]}, "since"),
        ({"past_covariates": ["price"], "known_covariates": ["price"]}, "price"),
    ],
)
def test_columns_that_cannot_be_covariates_are_refused(
    folder: Path, items: list[Item], options: dict[str, Any], message: str
) -> None:
    frame = make_frame(items, HORIZON).assign(since=pd.Timestamp("2020-01-01"))
    with pytest.raises(GigacastError, match=message):
        run(frame, folder, **options)


# -- whole jobs ------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        return open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    return open_store(moto_server.new_address())


def put(store: Store, frame: pd.DataFrame) -> None:
    put_frame(store, "2024/01/part-00000.parquet", frame)


def receipts(store: Store) -> list[dict[str, Any]]:
    keys = [meta.key for page in store.list("timings/") for meta in page]
    return [json.loads(store.get(key)) for key in keys]


def job(store: Store, folder: Path, **options: Any) -> Any:
    arguments = {"model": str(folder), "horizon": HORIZON, "quantiles": LEVELS, "targets": "sales"}
    arguments |= {"precision": "float32", "device": "cpu", "executor": "inline"}
    return gigacast.forecast(store.address.url, **{**arguments, **options})


def test_a_job_over_a_bucket_forecasts_with_covariates(
    bucket: Store, folder: Path, items: list[Item]
) -> None:
    frame = make_frame(items, HORIZON)
    put(bucket, frame)
    result = job(bucket, folder, **BOTH)
    assert (result.status, result.totals.series) == ("completed", 3)
    got = gigacast.read_forecasts(bucket.address.url)
    expected = run(frame, folder, **BOTH)
    by = ["item_id", "timestamp"]
    np.testing.assert_allclose(
        numbers(got.sort_values(by)), numbers(expected.sort_values(by)), rtol=1e-5, atol=1e-5
    )
    (receipt,) = receipts(bucket)
    covariates = receipt["covariates"]
    assert (sorted(covariates["past"]), sorted(covariates["known"])) == (
        sorted(PAST),
        sorted(KNOWN),
    )
    assert job(bucket, folder, **BOTH).totals.partitions == 0


def test_the_spec_changes_with_covariates_alone(
    bucket: Store, folder: Path, items: list[Item]
) -> None:
    put(bucket, make_frame(items, HORIZON))
    specs = [
        job(bucket, folder, dry_run=True, **options).plan.specs
        for options in ({}, {"missing_future": "past"}, BOTH, {"past_covariates": PAST})
    ]
    assert specs[0] == specs[1]
    assert len({str(spec) for spec in specs}) == 3


def test_a_partition_without_any_future_fails_with_a_hint(
    bucket: Store, folder: Path, items: list[Item]
) -> None:
    put(bucket, make_frame(items, 0))
    result = job(bucket, folder, **BOTH)
    ((_, failure),) = result.failures
    assert failure.error == SchemaError.__name__
    assert "price" in failure.message
    again = job(bucket, folder, missing_future="past", **BOTH)
    assert again.status == "completed"
    (receipt,) = receipts(bucket)
    assert receipt["repairs"]["unknown_futures"] == 3


def test_a_backtest_sees_known_covariates_over_the_horizon(
    bucket: Store, folder: Path, items: list[Item]
) -> None:
    def losses(frame: pd.DataFrame) -> pd.DataFrame:
        put(bucket, frame)
        result = gigacast.backtest(
            bucket.address.url,
            models=[str(folder)],
            horizon=HORIZON,
            quantiles=LEVELS,
            targets="sales",
            executor="inline",
            precision="float32",
            **BOTH,
        )
        assert result.status == "completed", result.failures
        standing = {
            standing_row.model: standing_row for standing_row in result.leaderboard.standings
        }
        return pd.DataFrame([vars(standing_row) for standing_row in standing.values()])

    frame = make_frame(items, 0)
    holdout = frame.groupby("item_id").cumcount(ascending=False) < HORIZON
    first = losses(frame)
    past = losses(frame.assign(load=frame["load"].where(~holdout, 1e5)))
    pd.testing.assert_frame_equal(first, past)
    with_known = losses(frame.assign(price=frame["price"].where(~holdout, 2e3)))
    assert not first.equals(with_known)
