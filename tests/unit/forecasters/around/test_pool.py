"""Effects that series have in common: found together, for those that cannot tell alone."""

import numpy as np
import pytest

from gigacast.forecasters.around.pool import FOLDS, MOST_VALUES, SHRINKAGES, Pool, PoolSums
from gigacast.forecasters.around.ridge import (
    Panel,
    centred,
    find_effects,
    free_steps,
    memory_of,
    spread_of,
)

H, NUMBERS = 6, (False,)


def panel(
    steps: int = 14, count: int = 40, *, effect: float | np.ndarray = 1.2, seed: int = 0
) -> Panel:
    """Short series of any level and size that follow one covariate."""
    rng = np.random.default_rng([steps, count, seed])
    cause = (rng.random((count, 1, steps + H)) < 0.3).astype(float)
    size = np.exp(rng.normal(0, 2, (count, 1)))
    own = rng.normal(size=(count, steps + H)) + np.asarray(effect) * cause[:, 0]
    values = size * (rng.normal(20, 10, (count, 1)) + own)
    return Panel(values[:, :steps], cause[..., :steps], cause[..., steps:], np.ones(count, int))


def pool_of(*parts: Panel) -> Pool:
    sums, count = PoolSums(NUMBERS), 0
    for part in parts:
        sums.add(part, count + np.arange(len(part.context)))
        count += len(part.context)
    return sums.pool()


def filled(sample: Panel, pool: Pool | None = None) -> np.ndarray:
    return (pool or pool_of(sample)).fill(sample, find_effects(sample)).ahead


def test_short_series_have_an_effect_together_that_few_of_them_show_alone() -> None:
    sample = panel()
    alone = find_effects(sample).is_any
    assert alone.mean() < 0.5
    spread = sample.context.std(axis=1)
    centre = sample.past[:, 0].mean(axis=1, keepdims=True)
    # In units of a spread that has the effect in it: about 1.2 / sqrt(1 + 1.44 * 0.21).
    expected = 1.05 * spread[:, None] * (sample.ahead[:, 0] - centre)
    silent = ~alone
    error = np.abs(filled(sample) - expected)[silent] / spread[silent, None]
    assert error.mean() < 0.4 * (np.abs(expected)[silent] / spread[silent, None]).mean()


@pytest.mark.parametrize("effect", [0.0, "own"])
def test_what_series_do_not_share_is_no_effect_of_all(effect: float | str) -> None:
    signs = np.where(np.arange(40) % 2, 2.0, -2.0)[:, None]
    sample = panel(effect=signs if effect == "own" else 0.0)
    assert pool_of(sample).weights == (0.0,)
    np.testing.assert_array_equal(filled(sample), find_effects(sample).ahead)


def test_a_series_that_speaks_for_itself_keeps_its_own_effect() -> None:
    short, long = panel(), panel(MOST_VALUES + 20)
    pool = pool_of(short, long)
    assert pool.weights[0] > 0.5
    effects = find_effects(short)
    rows = np.flatnonzero(effects.is_any)
    np.testing.assert_array_equal(filled(short, pool)[rows], effects.ahead[rows])
    np.testing.assert_array_equal(filled(long, pool), find_effects(long).ahead)


def test_the_division_into_batches_does_not_matter() -> None:
    sample = panel()
    parts = [sample.take(rows) for rows in np.split(np.arange(40), [7, 8, 31])]
    assert pool_of(*parts) == pool_of(sample)


def test_sizes_of_series_and_covariates_do_not_matter() -> None:
    sample = panel()
    large = Panel(
        1e6 + 1e3 * sample.context, 7 + 100 * sample.past, 7 + 100 * sample.ahead, sample[3]
    )
    np.testing.assert_allclose(filled(large) / 1e3, filled(sample), rtol=1e-6, atol=1e-9)


def test_categories_are_in_the_units_of_their_series() -> None:
    sample = panel()
    size = sample.context.std(axis=1)[:, None, None]
    encoded = sample._replace(past=size * sample.past, ahead=size * sample.ahead)
    sums = PoolSums((True,))
    sums.add(encoded, np.arange(40))
    np.testing.assert_allclose(
        filled(encoded, sums.pool()), filled(sample), rtol=1e-6, atol=1e-9 * size.max()
    )


def test_few_or_constant_series_have_nothing_in_common() -> None:
    lone_series = panel(count=1)
    assert pool_of(lone_series).weights == (0.0,)
    constant = panel()._replace(context=np.full((40, 14), 3.0))
    assert pool_of(constant).weights == (0.0,)
    assert PoolSums(NUMBERS).pool().weights == (0.0,)
    assert FOLDS > 1


def test_effects_are_those_of_a_loop_that_leaves_each_fold_out() -> None:
    for effect, chosen in ((1.2, True), (0.25, False), (0.6, True)):
        sample = panel(20, 24, effect=effect, seed=2)
        weight, is_clear = slow_weight(sample)
        assert is_clear == chosen
        np.testing.assert_allclose(pool_of(sample).weights, [weight], rtol=1e-7)


def slow_weight(sample: Panel) -> tuple[float, bool]:
    """Return the common weight of one covariate, and whether it is clear, series by series."""
    pairs = []
    for n in range(len(sample.context)):
        lone = sample.take(np.array([n]))
        has_value = np.isfinite(lone.context)
        spread = spread_of(lone.context, has_value)[0]
        values = lone.context / spread
        memory = memory_of(values - find_effects(lone).past / spread, has_value, 1)
        steps = free_steps(values, has_value, centred(lone)[0], memory, 1)
        target, cause = steps.target[0], steps.design[0, 0]
        deviation = np.sqrt(np.mean(target**2))
        pairs.append((target / deviation, cause / deviation))

    def fitted(series: list[int], shrinkage: float) -> float:
        squares = sum(float(cause @ cause) for _, cause in (pairs[n] for n in series))
        whole_squares = sum(float(cause @ cause) for _, cause in pairs)
        products = sum(float(cause @ target) for target, cause in (pairs[n] for n in series))
        return products / (squares + shrinkage * whole_squares)

    everyone = list(range(len(pairs)))
    steps_in_all = sum(len(target) for target, _ in pairs)
    best, weight = steps_in_all * (1 - 0.02 - 4 / steps_in_all), 0.0
    for shrinkage in SHRINKAGES:
        error = 0.0
        for n, (target, cause) in enumerate(pairs):
            own_fold = [m for m in everyone if m % FOLDS != n % FOLDS]
            error += float(np.sum((target - fitted(own_fold, shrinkage) * cause) ** 2))
        if error < best:
            best, weight = error, fitted(everyone, shrinkage)
    return weight, weight != 0.0


@pytest.mark.parametrize(("steps", "is_filled"), [(MOST_VALUES - 1, True), (MOST_VALUES, False)])
def test_only_short_series_are_filled(steps: int, *, is_filled: bool) -> None:
    rng = np.random.default_rng(1)
    silent = panel(steps, 3, effect=0.0)._replace(context=rng.normal(size=(3, steps)))
    assert not find_effects(silent).is_any.any()
    filled_effects = Pool((1.0,), NUMBERS).fill(silent, find_effects(silent))
    assert filled_effects.is_any.all() == is_filled
    assert filled_effects.is_any.any() == is_filled
