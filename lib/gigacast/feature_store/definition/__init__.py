"""Definitions of features as values: what they are made of, their names, checks and JSON."""
