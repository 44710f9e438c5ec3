"""Finished forecasts of a bucket: what they were made with, which there are, where an item is."""
