"""Aggregations: mergeable states for serving, and a vectorised kernel that gives the same bits."""
