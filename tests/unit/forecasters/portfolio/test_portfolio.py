"""Portfolios: each series by its own mixture, as its members forecast it alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError, ModelError, ModelIntegrityError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.batching import ForecastOptions, forecast_batch
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.portfolio import forecaster as portfolio
from gigacast.forecasters.portfolio.choices import make_choices, read_choices
from gigacast.forecasters.portfolio.forecaster import (
    PortfolioForecaster,
    member_engines,
    portfolio_info,
)
from gigacast.forecasters.portfolio.recipe import CHOICES, Member, Portfolio, parse_portfolio
from gigacast.storage.parquet.writer import table_bytes
from tests.support.tiny_models import series_batch

LEVELS = (0.1, 0.5, 0.9)
OPTIONS = ForecastOptions(horizon=5, levels=LEVELS)


class Trained:
    """A forecaster with trained levels, whose quantiles cross, and that refuses large values."""

    def __init__(self, limit: float = 1e6) -> None:
        self._limit = limit
        self.info = ForecasterInfo("trained", "1", "d", "e-1", "cpu", "float32", 16, 64, LEVELS)

    def predict(self, request: ForecastRequest) -> FloatArray:
        last = request.context[:, -1:, None]
        steps = np.arange(request.horizon, dtype=np.float32)[None, :, None]
        levels = np.array(request.levels, np.float32)
        values = last + (levels - 0.5) * (3 - steps)
        return np.where(last > self._limit, np.float32(np.nan), values).astype(np.float32)


def batch_of(count: int = 9, *, seed: int = 0) -> SeriesBatch:
    rng = np.random.default_rng(seed)
    return series_batch([rng.normal(10, 2, 20 + 3 * n).astype(np.float32) for n in range(count)])


def portfolio_of(
    mixtures: list[list[float]], batch: SeriesBatch, chosen: list[int], **fields: Any
) -> PortfolioForecaster:
    """A portfolio of seasonal naive and a trained model, that has chosen for the first series."""
    members: tuple[Forecaster, ...] = (SeasonalNaive(), Trained(fields.pop("limit", 1e6)))
    recipe = Portfolio(
        horizon=5,
        members=tuple(Member(m.info.name, m.info.name, "1", m.info.digest) for m in members),
        mixtures=tuple(map(tuple, mixtures)),
        **{"rule": "table", **fields},
    )
    info = portfolio_info("mix", "v1", "x", recipe, [member.info for member in members])
    count = len(chosen)
    choices = make_choices(
        batch.item_ids[:count], batch.target_names[:count], np.array(chosen, np.int64)
    )
    recipe = replace(recipe, seed=choices.seed)
    return PortfolioForecaster(info, recipe, members, choices if recipe.rule == "table" else None)


def assert_same(left_side: ForecastBatch, right_side: ForecastBatch) -> None:
    np.testing.assert_array_equal(left_side.quantiles, right_side.quantiles)
    np.testing.assert_array_equal(left_side.median, right_side.median)
    np.testing.assert_array_equal(left_side.reasons, right_side.reasons)
    if right_side.mean is not None:
        np.testing.assert_array_equal(left_side.mean, right_side.mean)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"levels": (0.1, 0.25, 0.9)},
        {"levels": (0.01, 0.5), "extrapolate_levels": True, "mean": True},
        {"non_negative": True, "integer": True, "mean": True},
        {"min_length": 25},
        {"fallback": "drop", "min_length": 25},
        {"calibration": Calibration(LEVELS, ((0.5, 1.0, 2.0),) * 5)},
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_portfolio_of_one_model_equals_it_to_the_bit(place: int, changes: dict[str, Any]) -> None:
    batch = batch_of()
    batch.values[batch.offsets[2] : batch.offsets[3]] = np.nan
    options = replace(OPTIONS, **changes)
    weights = [[1.0, 0.0], [0.0, 1.0]][place]
    mix = portfolio_of([weights], batch, [0] * len(batch))
    alone = mix.members[place]
    assert_same(forecast_batch(mix, batch, options), forecast_batch(alone, batch, options))


@pytest.mark.parametrize("changes", [{}, {"levels": (0.2, 0.8)}, {"non_negative": True}])
def test_mixed_quantiles_are_sorted_means_of_the_members(changes: dict[str, Any]) -> None:
    batch, options = batch_of(), replace(OPTIONS, **changes)
    mix = portfolio_of([[0.25, 0.75], [1.0, 0.0]], batch, [0, 1, 0, 1, 0, 1, 0, 1, 0])
    mixed = forecast_batch(mix, batch, options)
    for row in range(len(batch)):
        alone = [
            forecast_batch(member, batch.slice(row, row + 1), options) for member in mix.members
        ]
        weights = [0.25, 0.75] if row % 2 == 0 else [1.0, 0.0]
        expected = sum(w * part.quantiles[0] for w, part in zip(weights, alone, strict=True))
        np.testing.assert_allclose(mixed.quantiles[row], np.sort(expected, axis=-1), rtol=1e-6)
        median = sum(w * part.median[0] for w, part in zip(weights, alone, strict=True))
        np.testing.assert_allclose(mixed.median[row], median, rtol=1e-6)
    assert (np.diff(mixed.quantiles, axis=-1) >= 0).all()


def test_the_numbers_of_a_series_depend_on_no_other() -> None:
    batch = batch_of()
    mix = portfolio_of([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]], batch, [0, 1, 2, 0, 1, 2, 0])
    together = forecast_batch(mix, batch, OPTIONS)
    for rows in (np.arange(len(batch))[::-1], np.array([4]), np.array([0, 8])):
        part = forecast_batch(mix, batch.take(rows), OPTIONS)
        np.testing.assert_array_equal(part.quantiles, together.quantiles[rows])


def test_series_that_nothing_was_chosen_for_get_the_fallback_and_are_counted() -> None:
    batch = batch_of()
    mix = portfolio_of([[1.0, 0.0], [0.0, 1.0]], batch, [1, 1], fallback=0)
    forecast = forecast_batch(mix, batch, OPTIONS)
    assert (forecast.unseen, forecast.replaced) == (len(batch) - 2, 0)
    naive = forecast_batch(SeasonalNaive(), batch, OPTIONS)
    np.testing.assert_array_equal(forecast.quantiles[2:], naive.quantiles[2:])
    assert (forecast.quantiles[:2] != naive.quantiles[:2]).any()


def test_a_member_that_fails_is_replaced_by_the_fallback() -> None:
    batch = batch_of(4)
    batch.values[batch.offsets[1] : batch.offsets[2]] += 100
    mix = portfolio_of([[1.0, 0.0], [0.5, 0.5]], batch, [1] * 4, limit=50.0)
    forecast = forecast_batch(mix, batch, OPTIONS)
    assert (forecast.replaced, forecast.unseen) == (1, 0)
    assert (forecast.reasons == Reason.OK).all()
    naive = forecast_batch(SeasonalNaive(), batch, OPTIONS)
    np.testing.assert_array_equal(forecast.quantiles[1], naive.quantiles[1])
    # Where the fallback fails as well, the series is flagged as by any model.
    lone = portfolio_of([[0.0, 1.0]], batch, [0] * 4, limit=50.0)
    flagged = forecast_batch(lone, batch, OPTIONS)
    assert flagged.reasons.tolist() == [0, Reason.MODEL_FAILED, 0, 0]
    np.testing.assert_array_equal(flagged.quantiles[1], naive.quantiles[1])


def test_a_portfolio_by_frequency_counts_those_that_it_does_not_know() -> None:
    batch = batch_of(2)
    (frequency,) = batch.frequencies
    by_known = portfolio_of(
        [[1.0, 0.0], [0.0, 1.0]], batch, [], rule="frequency", frequencies={frequency.alias: 1}
    )
    assert forecast_batch(by_known, batch, OPTIONS).unseen == 0
    right_side = portfolio_of([[1.0, 0.0]], batch, [], rule="frequency", frequencies={"99D": 0})
    assert forecast_batch(right_side, batch, OPTIONS).unseen == 2


@pytest.mark.parametrize("rule", ["all", "table", "frequency"])
def test_each_series_has_the_mixture_that_was_chosen_for_it_else_the_fallback(rule: str) -> None:
    batch = replace(
        batch_of(5),
        frequencies=(Frequency.parse("h"), Frequency.parse("D"), Frequency.parse("W")),
        frequency_codes=np.array([0, 1, 2, -1, 1]),
    )
    mixtures = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    fields = {"frequencies": {"h": 0, "D": 1}} if rule == "frequency" else {}
    mix = portfolio_of(mixtures, batch, [0, 1, 1], rule=rule, fallback=2, **fields)
    expected = {
        "all": ([2] * 5, [False] * 5),
        "table": ([0, 1, 1, 2, 2], [False] * 3 + [True] * 2),
        "frequency": ([0, 1, 2, 2, 1], [False, False, True, True, False]),
    }
    chosen, is_unseen = mix.mixtures_of(batch)
    assert (chosen.tolist(), is_unseen.tolist()) == expected[rule]


def test_contexts_of_a_portfolio_are_not_changed_once_more() -> None:
    batch = batch_of(1)
    with pytest.raises(ConfigError, match="is a portfolio"):
        forecast_batch(
            portfolio_of([[1.0, 0.0]], batch, [0]), batch, replace(OPTIONS, enhance="flip")
        )


def test_a_request_without_names_gets_the_fallback() -> None:
    mix = portfolio_of([[0.5, 0.5]], batch_of(1), [0])
    request = ForecastRequest(
        np.arange(8, dtype=np.float32)[None],
        2,
        LEVELS,
        np.ones(1, np.int64),
        np.zeros(1, np.uint64),
    )
    parts = [np.sort(member.predict(request), axis=-1) for member in mix.members]
    np.testing.assert_allclose(mix.predict(request), (parts[0] + parts[1]) / 2, rtol=1e-6)


# -- choices and recipes ---------------------------------------------------------------------------


def test_choices_are_found_by_names_and_nothing_else(tmp_path: Path) -> None:
    items = pa.array([f"i{n % 40}" for n in range(120)])
    targets = pa.array([f"t{n // 40}" for n in range(120)])
    choices = make_choices(items, targets, np.arange(120) % 7)
    (tmp_path / CHOICES).write_bytes(table_bytes(choices.to_table()))
    recipe = Portfolio(1, (Member("a", "a", "1", "d"),) * 7, ((1.0,) + (0.0,) * 6,) * 7)
    read = read_choices(tmp_path, replace(recipe, seed=choices.seed))
    order = np.random.default_rng(0).permutation(120)
    mixtures, is_known = read.find(items.take(pa.array(order)), targets.take(pa.array(order)))
    assert is_known.all()
    np.testing.assert_array_equal(mixtures, order % 7)
    # Names in the other order are another series; so are integers only if their text is another.
    assert not read.find(targets, items)[1].any()
    numbers = make_choices(pa.array([7, 8]), pa.array(["t", "t"]), np.array([1, 2]))
    assert numbers.find(pa.array(["8"]), pa.array(["t"]))[0].tolist() == [2]


@pytest.mark.parametrize("change", ["unsorted", "unknown", "cut", "columns"])
def test_a_damaged_table_of_choices_is_refused(tmp_path: Path, change: str) -> None:
    items, targets = pa.array(["a", "b", "c"]), pa.array(["t"] * 3)
    table = make_choices(items, targets, np.zeros(3, np.int64)).to_table()
    if change == "unsorted":
        table = table.take(pa.array([2, 1, 0]))
    if change == "unknown":
        table = table.set_column(2, "mixture", pa.array([0, 5, 0], pa.int32()))
    if change == "columns":
        table = table.drop_columns(["mixture"])
    content = table_bytes(table)
    (tmp_path / CHOICES).write_bytes(content[: len(content) // 2] if change == "cut" else content)
    recipe = Portfolio(1, (Member("a", "a", "1", "d"),), ((1.0,),))
    with pytest.raises(ModelIntegrityError, match=r"choices\.parquet"):
        read_choices(tmp_path, recipe)


def test_a_series_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ModelIntegrityError, match="named twice"):
        make_choices(pa.array(["a", "a"]), pa.array(["t", "t"]), np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": 1', '"format": 2'),
        ("0.5", "0.6"),
        ('"fallback": 0', '"fallback": 4'),
        ('"rule": "all"', '"rule": "by mood"'),
        ('"horizon": 5', '"horizon": 0'),
        ('"seed": 0', '"seed": 0, "more": 1'),
    ],
)
def test_a_damaged_recipe_is_refused(old: str, new: str) -> None:
    member = Member("a", "a", "1", "d")
    recipe = Portfolio(5, (member, replace(member, enhance="auto")), ((0.5, 0.5),))
    content = recipe.to_bytes()
    assert parse_portfolio(content, "x") == recipe
    with pytest.raises(ModelIntegrityError, match="x: not a portfolio"):
        parse_portfolio(content.decode().replace(old, new).encode(), "x")


def test_the_engine_of_a_portfolio_names_those_of_its_members() -> None:
    mix = portfolio_of([[1.0, 0.0]], batch_of(1), [0])
    assert member_engines(mix.info.engine) == [("seasonal-naive-1", "float32"), ("e-1", "float32")]
    with pytest.raises(ModelError, match="not the engine of portfolios"):
        member_engines("portfolio-0[x@float32]")
    assert (mix.info.levels, mix.info.context_length, mix.info.prediction_length) == (
        LEVELS,
        8192,
        5,
    )


def test_a_mixture_has_the_levels_of_the_narrowest_range() -> None:
    info = Trained().info
    recipe = portfolio_of([[1.0, 0.0]], batch_of(1), [0]).portfolio
    narrow = replace(info, levels=(0.3, 0.5, 0.8))  # its ends have the larger sum
    for infos in ([info, narrow], [narrow, info]):
        assert portfolio_info("mix", "v1", "x", recipe, infos).levels == narrow.levels


def test_the_revision_of_portfolios_is_part_of_their_specs() -> None:
    assert portfolio.REVISION == 1


@pytest.mark.parametrize("non_negative", [True, False])
def test_a_mixed_mean_is_that_of_the_members_and_clipped_once(non_negative: bool) -> None:
    batch = series_batch([[-5.0, -4, -6, -5, 3], [4.0, 5, 4, 6, 5], [-1.0, 1, 0, 2, -1]])
    options = replace(OPTIONS, mean=True)
    mix = portfolio_of([[0.25, 0.75]], batch, [0] * 3)
    parts = [forecast_batch(member, batch, options).mean for member in mix.members]
    assert parts[0] is not None
    assert parts[1] is not None
    expected = 0.25 * parts[0] + 0.75 * parts[1]
    assert (expected < 0).any()
    expected = np.maximum(expected, 0) if non_negative else expected
    mixed = forecast_batch(mix, batch, replace(options, non_negative=non_negative)).mean
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-6)
    assert forecast_batch(mix, batch, OPTIONS).mean is None
