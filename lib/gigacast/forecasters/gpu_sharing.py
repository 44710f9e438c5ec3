"""Number of processes that share a GPU: as many as it takes to feed it.

A process that reads, prepares and writes keeps a small model waiting on a large GPU. Several of
them take turns there, each with its own weights, which are small then. A large model keeps the GPU
busy by itself, and a second process only overlaps its pauses.
"""

from pathlib import Path

from gigacast.forecasters.chronos2.shape import (
    chronos2_engine,
    count_chronos2_operations,
    read_chronos2_shape,
)
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.hardware import Gpu
from gigacast.forecasters.lean.shape import count_operations, lean_engine, read_shape

POINTS_PER_SECOND = 13e6
"""Points that a process reads, prepares and writes in a second: 88,000 series of 150 points
(docs/benchmarks.md, "Around the model")."""

REACHED = 0.3
"""Share of a GPU's speed by its data sheet that the products of these models reach. An estimate."""

GPU_BYTES = 3 * 1024**3
"""Memory of a GPU that a process gets: torch's context, weights, and two batches. An estimate."""

MOST_PER_GPU = 8
"""More processes would mostly wait for each other: a GPU works for one of them at a time."""

TYPICAL_STEPS = 512
"""Context for which operations are counted; per point they hardly depend on it."""


def operations_per_point(folder: Path | None, info: ForecasterInfo) -> float | None:
    """Return the operations of a forecast per point of its context; ``None`` if not known.

    Parameters
    ----------
    folder : Path, optional
        Folder of the model.
    info : ForecasterInfo
    """
    if folder is None:
        return None
    steps = min(TYPICAL_STEPS, info.context_length)
    if info.engine == lean_engine():
        shape = read_shape(read_model_config(folder))
        return count_operations(shape, steps, shape.prediction_length) / steps
    if info.engine == chronos2_engine():
        wide = read_chronos2_shape(read_model_config(folder))
        return count_chronos2_operations(wide, steps) / steps
    return None


def processes_per_gpu(operations: float | None, gpu: Gpu | None, precision: str) -> int:
    """Return how many processes keep a GPU busy and fit into its memory, at least 1.

    Parameters
    ----------
    operations : float, optional
        Result of `operations_per_point`.
    gpu : Gpu, optional
    precision : str
    """
    if operations is None or gpu is None:
        return 1
    wanted = -(-REACHED * gpu.speed(precision) // (operations * POINTS_PER_SECOND))
    return max(1, min(int(wanted), MOST_PER_GPU, gpu.memory_bytes // GPU_BYTES))
