"""The aggregation of the rows of series into calendar bins."""
