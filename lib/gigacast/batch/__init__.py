"""Forecasting runs as AWS Batch arrays: submit, watch, close, schedule."""
