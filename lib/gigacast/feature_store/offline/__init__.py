"""Features of past days, point in time: backfills of joins, group-bys and staging queries."""
