"""Portfolios: several models, and which of them, or which mixture, forecasts each series."""
