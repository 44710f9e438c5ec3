"""Synthetic time series to train forecasters on: many families, vectorised, reproducible.

A series is a pure function of ``(seed, index, length, mixture)``: asking for ten series or ten
million gives the same first ten. Series are made in blocks, family by family, with no Python loop
over series.

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
