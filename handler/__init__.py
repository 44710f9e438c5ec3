"""Doors for serverless callers: each turns its event into plain values and calls a pipeline."""
