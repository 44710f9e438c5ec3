"""How many series go into one call of a forecaster, found automatically."""

import logging
from dataclasses import dataclass
from typing import Literal

from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.lean.shape import lean_engine

logger = logging.getLogger(__name__)

TOKENS_PER_CALL = {"cpu": 2_048, "cuda": 131_072}
"""Tokens (patches times series) per call.

Measured on a CPU with Bolt's tiny and base shapes at contexts of 208 and 2048: full speed lies
between 800 and 4,000 tokens; beyond, activations leave the cache. Not measured on a GPU.
"""
LEAN_TOKENS_PER_CALL = 65_536
"""On a CPU, for the lean Bolt engine, which cuts its batches itself and likes them large."""


@dataclass(slots=True)
class BatchBudget:
    """The size of the next batch; it learns from batches that did not fit.

    One budget may serve many batches of series, so that a limit is found once.

    Parameters
    ----------
    batch_size : int or "auto"
        Series per call; "auto" derives it from the device, the model and the lengths.
    limit_tokens : int, optional
        Half the tokens of the smallest call that did not fit; no call is larger.
    largest : int
        Most series in one call so far, for the record.
    """

    batch_size: int | Literal["auto"] = "auto"
    limit_tokens: int | None = None
    largest: int = 0

    def rows(self, info: ForecasterInfo, length: int, horizon: int) -> int:
        """Return how many series of ``length`` steps to forecast in one call, at least 1."""
        tokens = series_tokens(info, length, horizon)
        automatic = tokens_per_call(info) // tokens
        planned = automatic if self.batch_size == "auto" else self.batch_size
        if self.limit_tokens is not None:
            planned = min(planned, self.limit_tokens // tokens)
        return max(1, planned)

    def halve(self, rows: int, tokens: int) -> None:
        """Note that ``rows`` series of ``tokens`` each did not fit into memory."""
        self.limit_tokens = rows * tokens // 2
        logger.warning("%d series at once did not fit into memory: halving the batch", rows)


def tokens_per_call(info: ForecasterInfo) -> int:
    """Return how many tokens a call of this forecaster takes at best."""
    if info.device == "cpu" and info.engine == lean_engine():
        return LEAN_TOKENS_PER_CALL
    return TOKENS_PER_CALL[info.device]


def series_tokens(info: ForecasterInfo, length: int, horizon: int) -> int:
    """Return the tokens one series of ``length`` steps takes in a call at its widest point.

    A sampling model carries one row per sample; a quantile model unrolls a long horizon from
    every trained level at once.
    """
    unrolled = len(info.levels) if horizon > info.prediction_length else 1
    return -(-length // info.patch_size) * max(1, info.samples, unrolled)
