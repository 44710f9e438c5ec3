"""Engines: where rows are read by SQL and features are aggregated."""
