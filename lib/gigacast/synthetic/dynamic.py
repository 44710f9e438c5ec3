"""Families that are computed step by step: exponential smoothing and causal graphs.

Each family takes a random generator, the number of series N and their length T, and returns series
[N, T], float32. A step is computed for all series at once.
"""

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.synthetic import period
from gigacast.synthetic.signal import (
    chance,
    heavy_tailed,
    log_uniform,
    smooth,
    standardise,
    uniform,
    white,
)

NODES = 4
"""Nodes of a causal graph."""
_LONGEST_SEASON = 168
_LONGEST_LAG = 24


def exponential_smoothing(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return what the models of exponential smoothing assume: level, damped trend, season, error.

    The states of a series follow the innovations form of Hyndman et al. (2008): each error moves
    the level, the slope and the season of its step by a share of itself. Season and error are added
    in half of the series, and grow with the level in the others.
    """
    errors = white(rng, rows, length) * log_uniform(rng, 0.005, 0.4, rows)
    season, steps, strength = _first_season(rng, rows, length)
    level_share = log_uniform(rng, 0.02, 0.95, rows)[:, 0]
    slope_share = (log_uniform(rng, 0.001, 0.3, rows) * chance(rng, 0.5, rows))[:, 0]
    season_share = (log_uniform(rng, 0.005, 0.4, rows) * chance(rng, 0.6, rows))[:, 0]
    damping = np.where(chance(rng, 0.4, rows) > 0, uniform(rng, 0.85, 0.995, rows), 1.0)[:, 0]
    # Slopes of up to a few spreads over the whole series; two in three rise, a quarter have none.
    slope = white(rng, rows, 1) * log_uniform(rng, 0.3, 6.0, rows) / length
    slope = np.abs(slope) * np.sign(uniform(rng, -1.0, 2.0, rows)) * chance(rng, 0.75, rows)
    slope, level = slope[:, 0], np.zeros_like(slope[:, 0])
    season, every = season * strength, np.arange(rows)
    result = np.empty((rows, length), np.float32)
    for step in range(length):
        at, error = step % steps, errors[:, step]
        ahead = level + damping * slope
        result[:, step] = ahead + season[every, at] + error
        level = ahead + level_share * error
        slope = damping * slope + slope_share * level_share * error
        season[every, at] += season_share * error
    bounded = np.clip(log_uniform(rng, 0.1, 0.8, rows) * result, -8.0, 8.0)
    return np.where(chance(rng, 0.5, rows) > 0, np.exp(bounded), result).astype(np.float32)


def _first_season(
    rng: np.random.Generator, rows: int, length: int
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return seasons at their start, [N, P], their whole periods, [N], and their sizes, [N, 1]."""
    cycle = period.mixed_periods(rng, rows, min(length / 2.5, _LONGEST_SEASON))
    steps = np.clip(np.rint(cycle), 2, _LONGEST_SEASON).astype(np.int64)
    independent = white(rng, rows, int(steps.max()))
    turns = 2.0 * np.pi * np.arange(independent.shape[1])[None, :] / steps
    wave = np.sin(turns + uniform(rng, 0.0, 6.28, rows))
    wave = wave + white(rng, rows, 1) * np.sin(2.0 * turns + uniform(rng, 0.0, 6.28, rows))
    season = np.where(chance(rng, 0.5, rows) > 0, independent, wave).astype(np.float32)
    strength = log_uniform(rng, 0.1, 2.5, rows) * chance(rng, 0.75, rows)
    return season, steps[:, 0], strength


def causal_graph(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return a node of a random graph whose nodes drive each other with lags, not all linearly.

    A node is a mixture of past values of up to three nodes, each bent by a function of its own,
    plus a drive: a season, a smooth signal, or noise.
    """
    shape = (rows, NODES, NODES)
    weights = rng.standard_normal(shape, dtype=np.float32) * (rng.random(shape) < 0.55)
    # Sums of absolute weights below one: bent or not, no node can grow without bound.
    reach = uniform(rng, 0.3, 0.97, rows)[:, :, None]
    weights = reach * weights / np.maximum(np.abs(weights).sum(axis=2, keepdims=True), 1e-6)
    lags = np.rint(np.exp(rng.uniform(0.0, np.log(_LONGEST_LAG), shape))).astype(np.int64)
    bend = rng.integers(0, 4, shape)
    drives = _drives(rng, rows, length)
    warm = np.concatenate([drives[:, :, :_LONGEST_LAG], drives], axis=2)
    past = np.ascontiguousarray(warm.transpose(2, 0, 1))
    row, node = np.arange(rows)[:, None, None], np.arange(NODES)[None, None, :]
    for step in range(_LONGEST_LAG, len(past)):
        causes = past[step - lags, row, node]
        bent = np.where(bend == 1, np.tanh(2.0 * causes), causes)
        bent = np.where(bend == 2, np.sin(2.0 * causes), bent)
        bent = np.where(bend == 3, np.maximum(causes, 0.0), bent)
        past[step] += (weights * bent).sum(axis=2)
    return standardise(np.ascontiguousarray(past[_LONGEST_LAG:, :, 0].T))


def _drives(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return what moves the nodes from outside, [N, NODES, T]."""
    count = rows * NODES
    noise = heavy_tailed(rng, count, length) * log_uniform(rng, 0.02, 1.0, count)
    slow = smooth(rng, count, length, log_uniform(rng, 3.0, length / 2.0, count))
    cycle = period.mixed_periods(rng, count, length / 2)
    turns = np.arange(length)[None, :] / cycle + uniform(rng, 0.0, 1.0, count)
    season = np.sin(2.0 * np.pi * turns).astype(np.float32)
    drive = noise + slow * chance(rng, 0.4, count) + season * chance(rng, 0.4, count)
    return np.asarray(drive, np.float32).reshape(rows, NODES, length)
