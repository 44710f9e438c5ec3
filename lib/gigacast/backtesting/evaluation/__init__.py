"""Evaluation of stored forecasts against the values that came after them."""
