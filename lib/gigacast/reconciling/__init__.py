"""Sums of series over columns of items, and forecasts of them that add up."""
