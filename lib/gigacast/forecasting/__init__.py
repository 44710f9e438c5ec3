"""The forecasting job: plan, forecast, read, verify, prune."""
