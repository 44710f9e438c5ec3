"""Series from families: blocks of a fixed size, each with a random stream of its own.

Block *b* of seed *s* draws from the counter-based generator keyed ``(s, b)``, so series are
reproducible by seed and index whatever is asked for before or beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gigacast.core.array import FloatArray
from gigacast.errors import ConfigError
from gigacast.synthetic import seasonal, stochastic, structural
from gigacast.synthetic.augmentation import augment
from gigacast.synthetic.mixture import Mixture

BLOCK_ROWS = 512
SHORTEST = 16

Family = Callable[[np.random.Generator, int, int], FloatArray]

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "calendar": seasonal.calendar,
        "harmonics": seasonal.harmonics,
        "profile": seasonal.profile,
        "evolving": seasonal.evolving,
        "multiplicative": seasonal.multiplicative,
        "waves": seasonal.waves,
        "smooth": stochastic.smooth_kernels,
        "autoregressive": stochastic.autoregressive,
        "random_walk": stochastic.random_walk,
        "mean_reverting": stochastic.mean_reverting,
        "regimes": stochastic.regimes,
        "level_shifts": structural.level_shifts,
        "trend": structural.trend,
        "growth": structural.growth,
        "spikes": structural.spikes,
        "intermittent": structural.intermittent,
        "counts": structural.counts,
        "bounded": structural.bounded,
    }
)


@dataclass(frozen=True)
class SyntheticBatch:
    """Synthetic series and where they come from.

    Attributes
    ----------
    values : FloatArray
        The series, [N, T], float32; NaN where missing, never infinite.
    families : NDArray[np.str_]
        Name of the family each series was drawn from, [N].
    """

    values: FloatArray
    families: NDArray[np.str_]


def generate(
    count: int, length: int, seed: int, *, start: int = 0, mixture: Mixture | None = None
) -> SyntheticBatch:
    """Make series ``start`` to ``start + count`` of a synthetic corpus.

    Parameters
    ----------
    count : int
        Number of series N.
    length : int
        Points per series T, at least 16.
    seed : int
        Names the corpus; zero or more.
    start : int
        Index of the first series.
    mixture : Mixture, optional
        What the corpus is made of; the default mixture if left out.

    Raises
    ------
    ConfigError
        For a negative count, start or seed, a length under 16, or an unknown family.
    """
    mixture = mixture or Mixture()
    _check(count, length, seed, start, mixture)
    stop = start + count
    blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS) if count else start // BLOCK_ROWS)
    made = [_block(seed, block, length, mixture) for block in blocks]
    if not made:
        return SyntheticBatch(np.empty((0, length), np.float32), np.empty(0, np.str_))
    offset = start - blocks.start * BLOCK_ROWS
    values = np.concatenate([values for values, _ in made])[offset : offset + count]
    names = np.concatenate([names for _, names in made])[offset : offset + count]
    return SyntheticBatch(values, names)


def _check(count: int, length: int, seed: int, start: int, mixture: Mixture) -> None:
    if min(count, seed, start) < 0:
        raise ConfigError(f"count, seed and start must be 0 or more, got {count}, {seed}, {start}")
    if length < SHORTEST:
        raise ConfigError(f"length must be at least {SHORTEST}, got {length}")
    unknown = sorted(set(mixture.shares) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"unknown families {unknown}", hint=f"known: {', '.join(FAMILIES)}")


def _block(
    seed: int, block: int, length: int, mixture: Mixture
) -> tuple[FloatArray, NDArray[np.str_]]:
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, block], dtype=np.uint64)))
    names = np.array(sorted(mixture.shares))
    weights = np.array([mixture.shares[name] for name in names])
    drawn = rng.choice(len(names), size=BLOCK_ROWS, p=weights / weights.sum())
    values = np.empty((BLOCK_ROWS, length), dtype=np.float32)
    for kind, name in enumerate(names):
        rows = np.flatnonzero(drawn == kind)
        if len(rows):
            values[rows] = FAMILIES[str(name)](rng, len(rows), length)
    return augment(rng, values, mixture), names[drawn]
