"""The former path of `gigacast.synthetic`, kept for one release."""

from gigacast.synthetic import FAMILIES, Mixture, SyntheticBatch, generate

__all__ = ["FAMILIES", "Mixture", "SyntheticBatch", "generate"]
