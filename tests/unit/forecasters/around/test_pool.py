"""Effects that series have in common: found together, for those that cannot tell alone."""

import numpy as np
import pytest

from gigacast.forecasters.around.pool import FOLDS, MOST_VALUES, Pool, PoolSums
from gigacast.forecasters.around.ridge import Panel, find_effects

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
