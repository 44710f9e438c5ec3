"""The NumPy engine's patches, network and continuation: against loops over single numbers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gigacast.forecasters.lean.fused import (
    FusedAffine,
    FusedBolt,
    FusedDecoderLayer,
    FusedEncoderLayer,
    FusedResidual,
)
from gigacast.forecasters.lean.position import relative_buckets
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.plain.forward import PlainBolt
from gigacast.forecasters.plain.patches import cut_patches
from gigacast.forecasters.plain.unrolling import (
    ArrayUnrolling,
    empirical_quantiles,
    is_even,
    level_masses,
    weighted_quantiles,
)

NAN = float("nan")
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def contexts(rows: int, steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 2, (rows, steps)).astype(np.float32)
    values[rng.random((rows, steps)) < 0.2] = NAN
    values[:, -1] = 1.0
    return values


# -- patches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stride"), [(4, 4), (4, 2), (3, 1), (6, 6)])
@pytest.mark.parametrize("steps", [1, 4, 7, 12])
def test_patches_are_the_normalised_steps_beside_their_mask(
    size: int, stride: int, steps: int
) -> None:
    context = contexts(3, steps)
    context[1, :-1] = NAN
    patches = cut_patches(context, size, stride)
    width = -(-steps // size) * size
    for row, series in enumerate(context):
        known = series[~np.isnan(series)].astype(np.float64)
        scale = known.std() or 1e-5
        np.testing.assert_allclose(patches.location[row], known.mean(), rtol=1e-6)
        np.testing.assert_allclose(patches.scale[row], scale, rtol=1e-5)
        padded = [NAN] * (width - steps) + series.tolist()
        expected = []
        for first in range(0, width - size + 1, stride):
            part = padded[first : first + size]
            expected.append(
                [0.0 if np.isnan(v) else (v - known.mean()) / scale for v in part]
                + [float(not np.isnan(v)) for v in part]
            )
        np.testing.assert_allclose(patches.values[row], expected, rtol=1e-4, atol=1e-5)
        observed = [any(entry[size:]) for entry in expected]
        assert patches.observed[row].tolist() == observed
    outputs = np.zeros((3, 2, 5), np.float32)
    outputs[:, 1] = 2
    restored = patches.restore(outputs)
    np.testing.assert_allclose(restored[:, 0], patches.location.repeat(5, 1), rtol=1e-6)
    spread = (restored[:, 1] - restored[:, 0]) / 2
    np.testing.assert_allclose(spread, patches.scale.repeat(5, 1), rtol=1e-3, atol=1e-6)


def test_a_constant_series_has_a_small_scale_and_an_empty_one_none() -> None:
    patches = cut_patches(np.array([[5.0, 5.0], [NAN, NAN]], np.float32), 2, 2)
    assert patches.scale[0] == np.float32(1e-5)
    assert patches.values[0].tolist() == [[0, 0, 1, 1]]
    assert np.isnan(patches.location[1])
    assert patches.observed.tolist() == [[True], [False]]


# -- the network -----------------------------------------------------------------------------------

SHAPE = BoltShape(
    d_model=6,
    d_kv=4,
    d_ff=5,
    heads=2,
    encoder_layers=2,
    decoder_layers=2,
    buckets=8,
    max_distance=16,
    epsilon=1e-3,
    patch_size=4,
    patch_stride=4,
    context_length=24,
    prediction_length=8,
    levels=(0.1, 0.5, 0.9),
    has_register=True,
)
WIDE = SHAPE.heads * SHAPE.d_kv


def weights(*, has_register: bool = True) -> FusedBolt:
    rng = np.random.default_rng(7)

    def array(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.5, shape)

    def residual(inputs: int, outputs: int) -> FusedResidual:
        hidden = FusedAffine(array(5, inputs), array(5))
        skip = FusedAffine(array(outputs, inputs), array(outputs))
        return FusedResidual(hidden, FusedAffine(array(outputs, 5), array(outputs)), skip)

    d, ff, heads, size = SHAPE.d_model, SHAPE.d_ff, SHAPE.heads, SHAPE.d_kv
    return FusedBolt(
        embed=residual(2 * SHAPE.patch_size, d),
        register=array(1, d) if has_register else None,
        position=array(SHAPE.buckets, heads),
        encoder=tuple(
            FusedEncoderLayer(array(3 * WIDE, d), array(d, WIDE), array(ff, d), array(d, ff))
            for _ in range(2)
        ),
        start=array(1, d),
        decoder=tuple(
            FusedDecoderLayer(array(d, d), array(WIDE, d), array(heads, size, d),
                              array(heads, d, size), array(d, WIDE), array(ff, d), array(d, ff))
            for _ in range(2)
        ),
        head=residual(d, len(SHAPE.levels) * SHAPE.prediction_length),
    )  # fmt: skip


def slow_affine(layer: FusedAffine, row: np.ndarray) -> np.ndarray:
    return layer.weight @ row + layer.bias


def slow_residual(block: FusedResidual, row: np.ndarray) -> np.ndarray:
    hidden = np.maximum(slow_affine(block.hidden, row), 0)
    return slow_affine(block.output, hidden) + slow_affine(block.skip, row)


def slow_norm(row: np.ndarray) -> np.ndarray:
    return row / np.sqrt((row**2).mean() + SHAPE.epsilon)


def slow_shares(scores: list[float]) -> np.ndarray:
    shares = np.exp(np.array(scores) - max(scores))
    return shares / shares.sum()


def slow_bolt(bolt: FusedBolt, values: np.ndarray, visible: list[int]) -> np.ndarray:
    """Raw outputs of one series, token by token and head by head, [K * P]."""
    tokens = [slow_residual(bolt.embed, patch) for patch in values]
    if bolt.register is not None:
        tokens.append(bolt.register[0])
    heads, size = range(SHAPE.heads), SHAPE.d_kv
    buckets = relative_buckets(len(tokens), SHAPE.buckets, SHAPE.max_distance)
    for layer in bolt.encoder:
        parts = [(layer.joined @ slow_norm(t)).reshape(3, SHAPE.heads, size) for t in tokens]
        mixed = []
        for place, own in enumerate(parts):
            row = []
            for head in heads:
                scores = [
                    own[0, head] @ parts[n][1, head] + bolt.position[buckets[place, n], head]
                    for n in visible
                ]
                shares = slow_shares(scores)
                row.append(sum(s * parts[n][2, head] for s, n in zip(shares, visible, strict=True)))
            mixed.append(np.concatenate(row))
        tokens = [t + layer.output @ m for t, m in zip(tokens, mixed, strict=True)]
        tokens = [t + layer.narrow @ np.maximum(layer.widen @ slow_norm(t), 0) for t in tokens]
    memory = [slow_norm(t) for t in tokens]
    hidden = bolt.start[0]
    for layer in bolt.decoder:
        hidden = hidden + layer.own @ slow_norm(hidden)
        query = (layer.query @ slow_norm(hidden)).reshape(SHAPE.heads, size)
        row = []
        for head in heads:
            shares = slow_shares([query[head] @ layer.key[head] @ memory[n] for n in visible])
            mean = sum(s * memory[n] for s, n in zip(shares, visible, strict=True))
            row.append(mean @ layer.value[head])
        hidden = hidden + layer.output @ np.concatenate(row)
        hidden = hidden + layer.narrow @ np.maximum(layer.widen @ slow_norm(hidden), 0)
    return slow_residual(bolt.head, slow_norm(hidden))


@pytest.mark.parametrize("has_register", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_the_network_is_that_of_loops_over_tokens_and_heads(
    has_register: bool, masked: bool
) -> None:
    shape, bolt = replace(SHAPE, has_register=has_register), weights(has_register=has_register)
    context = contexts(3, 31, seed=1)
    if masked:
        context[1, -16:-8] = NAN  # two patches without a value
        context[2, :-4] = NAN
    network = PlainBolt(bolt, shape)
    patches = cut_patches(context[:, -shape.context_length :], 4, 4)
    for steps in (8, 3, 8):
        got = network(context, steps, masked=masked)
        assert got.shape == (3, 3, steps)
        for row in range(3):
            visible = [n for n, seen in enumerate(patches.observed[row]) if seen or not masked]
            visible += [len(patches.observed[row])] if has_register else []
            raw = slow_bolt(bolt, patches.values[row].astype(float), visible).reshape(3, -1)
            expected = raw[:, :steps] * patches.scale[row] + patches.location[row]
            np.testing.assert_allclose(got[row], expected, rtol=1e-5, atol=1e-5)


# -- longer horizons -------------------------------------------------------------------------------


def slow_unrolled(
    context: list[float], levels: tuple[float, ...], horizon: int, length: int, steps: int,
    model: Callable[[list[float]], np.ndarray],
) -> np.ndarray:  # fmt: skip
    """One series, path by path, [K, H]."""
    result = [model(context)]
    paths = [list(context) for _ in levels]
    while sum(part.shape[1] for part in result) < horizon:
        for path, row in zip(paths, result[-1], strict=True):
            path.extend(row.tolist())
            del path[: max(0, len(path) - length)]
        samples = np.concatenate([model(path) for path in paths])
        result.append(empirical_quantiles(samples[None].astype(np.float32), levels)[0])
    return np.concatenate(result, axis=1)[:, :horizon]


@pytest.mark.parametrize("horizon", [4, 5, 8, 13])
def test_each_quantile_is_continued_by_its_own_path(horizon: int) -> None:
    levels = (0.25, 0.5, 0.75)
    unrolling = ArrayUnrolling(levels, context_length=10, prediction_length=4)

    def model(path: list[float]) -> np.ndarray:
        steps = np.arange(1, 5)
        return np.stack([np.mean(path) + path[-1] * 0.1 * steps + q * len(path) for q in levels])

    def one_pass(rows: np.ndarray) -> np.ndarray:
        return np.stack([model(row.tolist()) for row in rows]).astype(np.float32)

    context = np.random.default_rng(0).normal(size=(2, 9)).astype(np.float32)
    got = unrolling.forecast(context, horizon, one_pass)
    for row, series in enumerate(context):
        expected = slow_unrolled(series.tolist(), levels, horizon, 10, 4, model)
        np.testing.assert_allclose(got[row], expected, rtol=1e-5, atol=1e-5)


def test_uneven_levels_are_weighed_by_their_masses() -> None:
    levels = (0.05, 0.5, 0.7)
    paths = np.random.default_rng(1).normal(size=(2, 9, 4)).astype(np.float32)
    masses = level_masses(levels)
    np.testing.assert_allclose(masses * 2, np.array([0.5, 0.65, 0.5]) / 0.825)
    got = ArrayUnrolling(levels, 10, 4)._reduce(paths)
    weighed = weighted_quantiles(paths, np.outer(masses, masses).ravel(), levels)
    np.testing.assert_array_equal(got, weighed)
    even = ArrayUnrolling(TENTHS[::4], 10, 4)._reduce(paths)
    assert not np.array_equal(even, got)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [(TENTHS, True), ((0.25, 0.5, 0.75), True), ((0.1, 0.5, 0.9), False), ((0.5,), True)],
)
def test_levels_are_even_if_each_stands_for_as_much(
    levels: tuple[float, ...], expected: bool
) -> None:
    assert is_even(levels) is expected
    assert level_masses(levels).sum() == pytest.approx(1)


@pytest.mark.parametrize("levels", [TENTHS, (0.001, 0.35, 0.999)])
@pytest.mark.parametrize("count", [1, 2, 11, 30])
def test_quantiles_of_samples_are_those_between_the_ordered_ones(
    levels: tuple[float, ...], count: int
) -> None:
    samples = np.random.default_rng(count).normal(size=(2, count, 3)).astype(np.float32)
    got = empirical_quantiles(samples, levels)
    expected = np.quantile(samples.astype(float), levels, axis=1).transpose(1, 0, 2)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    if count == 11 and levels == TENTHS:
        # A rank that is whole is a sample, to the bit.
        np.testing.assert_array_equal(got, np.sort(samples, axis=1)[:, 1:10])


def slow_weighted(samples: list[float], weights: list[float], level: float) -> float:
    pairs = sorted(zip(samples, weights, strict=True))
    reached, before = 0.0, None
    for value, weight in pairs:
        last, reached = reached, min(reached + weight / sum(weights), 1.0)
        if reached >= level:
            if before is None:
                return value
            return before + (level - last) / (reached - last) * (value - before)
        before = value
    return pairs[-1][0]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_weighted_quantiles_are_on_the_line_through_the_sums_of_weights(count: int) -> None:
    rng = np.random.default_rng(count)
    samples = rng.normal(size=(2, count, 3)).astype(np.float32)
    chances = rng.uniform(0.2, 3, count)
    levels = (0.001, 0.3, 0.5, 0.97, 1.0)
    got = weighted_quantiles(samples, chances, levels)
    for row in range(2):
        for step in range(3):
            own = samples[row, :, step].tolist()
            expected = [slow_weighted(own, chances.tolist(), level) for level in levels]
            np.testing.assert_allclose(got[row, :, step], expected, rtol=1e-4, atol=1e-5)
