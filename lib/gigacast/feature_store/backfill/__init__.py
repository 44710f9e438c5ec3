"""Backfill: features of past days, point in time."""
