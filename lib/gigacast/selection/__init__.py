"""The choice of a model for each series, or of a mixture for each segment, as a portfolio."""
