"""Executors: run tasks in this process, over joblib's processes, or over a Dask or Ray cluster."""
