"""The public functions of forecasting: `forecast`, `plan`, `read_forecasts`, `ChronosLoader`."""
