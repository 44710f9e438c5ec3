"""Incremental refresh: series that did not change keep the rows of the former forecast."""
