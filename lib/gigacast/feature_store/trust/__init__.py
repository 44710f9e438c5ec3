"""Proofs that served features are those of a backfill: logs, consistency, statistics, drift."""
