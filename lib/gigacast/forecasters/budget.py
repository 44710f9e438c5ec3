"""Number of series per call of a forecaster: chosen automatically, lowered if memory runs out."""

import logging
from dataclasses import dataclass
from typing import Literal

from gigacast.forecasters.chronos2.shape import chronos2_engine
from gigacast.forecasters.forecaster import NAIVE_ENGINE, ForecasterInfo
from gigacast.forecasters.lean.shape import lean_engine, numpy_engine, openvino_engine

logger = logging.getLogger(__name__)

TOKENS_PER_CALL = {"cpu": 2_048, "cuda": 131_072}
"""Tokens (patches times series) per call, by device.

Measured on a CPU with Bolt's tiny and base shapes at contexts of 208 and 2,048: speed is highest
between 800 and 4,000 tokens; above, activations no longer fit into the cache. The value for a GPU
is an estimate, not a measurement.
"""
LEAN_TOKENS_PER_CALL = 65_536
"""Tokens per call of our own engines on a CPU, and of the seasonal naive forecast.

They split their batches themselves (`lean.pieces.piece_sizes`) into a few fixed sizes, and large
batches leave less of a remainder to fill up. The naive forecast is a few array operations, whatever
the size: calls of 2,048 tokens are mostly overhead.
"""


FIXED_TOKENS_PER_CALL = {"cpu": 512, "cuda": 16_384}
"""Tokens per call of one shape, by device. No more, as few series that changed must not cost a
large call; our own engines do not divide calls of this size on a CPU. The value for a GPU is an
estimate."""
_SIZES_PER_OCTAVE = 4


@dataclass(slots=True)
class BatchBudget:
    """Size of the next batch, limited by the batches that did not fit into memory.

    A budget is shared by all batches of a partition, so that a memory limit is found only once.

    Parameters
    ----------
    batch_size : int or "auto"
        Series per call; "auto" derives it from the device, the model and the lengths.
    limit_tokens : int, optional
        Maximum tokens per call: half of the last call that did not fit; no limit by default.
    largest : int
        Number of series in the largest call so far, for the receipt.
    fixed : bool
        Whether all calls of one length have one shape, filled up where needed. Then the rounding of
        a series' numbers does not depend on the series beside it.
    """

    batch_size: int | Literal["auto"] = "auto"
    limit_tokens: int | None = None
    largest: int = 0
    fixed: bool = False

    def rows(self, info: ForecasterInfo, length: int, horizon: int) -> int:
        """Return the number of series of ``length`` steps for one call, at least 1."""
        tokens = series_tokens(info, length, horizon)
        automatic = tokens_per_call(info) // tokens
        planned = automatic if self.batch_size == "auto" else self.batch_size
        # A fixed batch size is limited as well: a smaller batch is better than a failed run.
        if self.limit_tokens is not None:
            planned = min(planned, self.limit_tokens // tokens)
        if self.fixes(info):
            return _floor_to_power(min(planned, FIXED_TOKENS_PER_CALL[info.device] // tokens))
        return max(1, planned)

    def fixes(self, info: ForecasterInfo) -> bool:
        """Whether calls of a forecaster have one shape; of a portfolio each member is asked."""
        return self.fixed and needs_one_shape(info)

    @property
    def is_exact(self) -> bool:
        """Whether every call so far had the shape that others of its length have."""
        return self.fixed and self.limit_tokens is None

    def halve(self, rows: int, tokens: int) -> None:
        """Lower the limit to half of ``rows`` series of ``tokens`` each, which did not fit."""
        # Halving finds a size that fits in a few failures. The limit is in tokens, because series
        # of another length need another amount of memory.
        self.limit_tokens = rows * tokens // 2
        logger.warning("%d series at once did not fit into memory: halving the batch", rows)


def needs_one_shape(info: ForecasterInfo) -> bool:
    """Whether it takes calls of one shape: baselines compute each series by itself anyway."""
    return bool(info.levels) or info.samples > 0 or info.takes_groups


def fixed_length(length: int, info: ForecasterInfo) -> int:
    """Return the steps that calls of one shape pad a context to.

    There are four sizes to each doubling, so that few series seldom take many calls.
    """
    patches = -(-length // info.patch_size)
    step = max(1, (1 << (patches - 1).bit_length()) // (2 * _SIZES_PER_OCTAVE))
    most = -(-info.context_length // info.patch_size)
    return min(-(-patches // step) * step, max(most, patches)) * info.patch_size


def _floor_to_power(limit: int) -> int:
    """Return the largest power of two up to a limit, at least 1."""
    return 1 << max(0, limit.bit_length() - 1)


def tokens_per_call(info: ForecasterInfo) -> int:
    """Return the number of tokens per call at which this forecaster is fastest."""
    own = (
        lean_engine(),
        chronos2_engine(),
        numpy_engine(),
        openvino_engine(),
        NAIVE_ENGINE,
    )
    if info.device == "cpu" and info.engine.startswith(own):
        return LEAN_TOKENS_PER_CALL
    return TOKENS_PER_CALL[info.device]


def series_tokens(info: ForecasterInfo, length: int, horizon: int) -> int:
    """Return the tokens that one series of ``length`` steps takes where a call needs most memory.

    A sampling model computes one row per sample. A quantile model continues a long horizon from
    every trained level at once, so that a series becomes as many rows as there are levels.
    """
    unrolled = len(info.levels) if horizon > info.prediction_length else 1
    return -(-length // info.patch_size) * max(1, info.samples, unrolled)
