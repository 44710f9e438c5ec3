"""Synthetic time series of many families, to train forecasters on.

A series depends on ``(seed, index, length, mixture)`` only: the first ten of ten million series are
those of a call for ten. Series are generated in blocks, family by family, without a loop over
series.

Examples
--------
>>> from gigacast.synthetic import generate
>>> batch = generate(count=3, length=100, seed=7)
>>> batch.values.shape
(3, 100)
"""

from gigacast.synthetic.generator import FAMILIES, SyntheticBatch, generate
from gigacast.synthetic.mixture import Mixture

__all__ = ["FAMILIES", "Mixture", "SyntheticBatch", "generate"]
