"""Leaderboards: mean losses by model and by segment of the data."""
