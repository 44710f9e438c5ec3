"""Batches of series in memory, their covariates, hold-outs and forecasts."""
