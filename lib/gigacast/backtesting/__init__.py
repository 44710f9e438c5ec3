"""Backtests: forecast the past of each series, compare models by their losses."""
