"""The revision of the code around the Chronos pipelines, and the engine names in specs."""

from importlib.metadata import version

ENGINE_REVISION = 1
"""Raised when our code around the Chronos pipelines changes the numbers it gives."""


def chronos_engine() -> str:
    """Return the name of the stock Chronos code and its revision, for models not run lean."""
    return f"chronos-{version('chronos-forecasting')}-r{ENGINE_REVISION}"
