"""Series in memory: batches, covariates, hold-outs and forecasts."""
