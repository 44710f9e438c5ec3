"""Chronos models run by the stock Chronos pipelines."""
