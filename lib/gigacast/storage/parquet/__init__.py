"""Parquet files in a store: read, scan, write."""
