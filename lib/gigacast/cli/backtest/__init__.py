"""The commands `backtest` and `evaluate`."""
