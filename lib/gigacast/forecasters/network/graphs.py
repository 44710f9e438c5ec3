"""Passes of a network as CUDA graphs: the kernels of a shape are recorded once and then replayed.

A small model has a hundred kernels of a few microseconds each, and starting them one by one from
Python takes longer than they run. A graph starts all of them at once. It works on fixed memory: the
contexts are copied into the recorded input, and the quantiles out of the recorded output.
Source: "CUDA Graphs" in torch's documentation.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gigacast.forecasters.network.device import translate_memory_errors

logger = logging.getLogger(__name__)

MOST_GRAPHS = 64
"""Graphs that are kept, the last used ones; each holds an input and an output."""

SIZES_PER_OCTAVE = 16
"""Numbers of rows between two powers of two: at most a sixteenth is computed in vain."""


class Pass(Protocol):
    """A pass of a network that reads nothing but its arguments and waits for nothing."""

    def __call__(self, context: Tensor, steps: int, /, *, masked: bool) -> Tensor:
        """Return quantiles of contexts, [B, T], for a number of steps or patches."""
        ...


@dataclass(slots=True)
class _Recorded:
    """A recorded pass with the memory that it reads and writes."""

    graph: Any
    context: Tensor
    quantiles: Tensor


class GraphedPass:
    """A pass that is computed as it is at first, and from a graph when its shape comes again.

    Batches are filled up with copies of their last row to one of a few sizes, because batches of
    equal lengths seldom have equal numbers of rows. Those that are computed as they are, too: the
    last bits of a product depend on its size, and must not depend on what came before. The caller
    uses one stream, and the returned tensor is its own.

    Parameters
    ----------
    compute : Pass
    cuda : module
        ``torch.cuda``, or a substitute in tests.
    most : int
        Graphs to keep.
    """

    def __init__(self, compute: Pass, *, cuda: Any = torch.cuda, most: int = MOST_GRAPHS) -> None:
        self._compute = compute
        self._cuda = cuda
        self._most = most
        self._seen: set[tuple[int, ...]] = set()
        self._recorded: OrderedDict[tuple[int, ...], _Recorded] = OrderedDict()
        # Outputs are copied before another graph runs, so that all graphs may use one memory.
        self._pool: Any = None
        self._is_refused = False

    def __call__(self, context: Tensor, steps: int, *, masked: bool) -> Tensor:
        """Return quantiles, [B, K, steps], of contexts, [B, T]; see `Pass`."""
        rows = len(context)
        shape = (graph_rows(rows), context.shape[1], steps, int(masked))
        recorded = self._recorded.get(shape)
        if recorded is None and shape in self._seen and not self._is_refused:
            recorded = self._record(shape, context)
        self._seen.add(shape)
        if recorded is not None:
            self._recorded.move_to_end(shape)
            _fill(recorded.context, context)
            recorded.graph.replay()
            return recorded.quantiles[:rows].clone()
        filled = context.new_empty(shape[:2])
        _fill(filled, context)
        try:
            return self._compute(filled, steps, masked=masked)[:rows]
        except torch.OutOfMemoryError:
            self.forget()  # what graphs hold may be enough for a smaller batch
            raise

    def _record(self, shape: tuple[int, ...], context: Tensor) -> _Recorded | None:
        """Return the recorded pass of a shape; ``None`` if it can't be recorded."""
        static = context.new_empty(shape[:2])
        _fill(static, context)
        # Work of a stream of its own begins after that of the caller's, and ends before it goes on.
        aside = self._cuda.Stream(context.device)
        current = self._cuda.current_stream(context.device)
        aside.wait_stream(current)
        try:
            with translate_memory_errors(), self._cuda.stream(aside):
                graph, quantiles = self._capture(static, shape, aside)
        except (RuntimeError, MemoryError) as error:
            # The forecasts are the same without graphs.
            logger.warning("passes are not recorded as CUDA graphs: %s", error)
            self.forget()
            self._is_refused = True
            return None
        finally:
            current.wait_stream(aside)
        self._recorded[shape] = _Recorded(graph, static, quantiles)
        if len(self._recorded) > self._most:
            self._recorded.popitem(last=False)
        return self._recorded[shape]

    def _capture(self, static: Tensor, shape: tuple[int, ...], stream: Any) -> tuple[Any, Tensor]:
        _, _, steps, masked = shape
        # Libraries allocate and choose kernels when they first see a shape: not to be recorded.
        self._compute(static, steps, masked=bool(masked))
        graph = self._cuda.CUDAGraph()
        self._pool = self._pool or self._cuda.graph_pool_handle()
        # Other threads may lock memory meanwhile, which is none of the graph's business.
        recording = self._cuda.graph(
            graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
        )
        with recording:
            quantiles = self._compute(static, steps, masked=bool(masked))
        return graph, quantiles

    def forget(self) -> None:
        """Free the memory of all graphs; their shapes are recorded again."""
        self._recorded.clear()
        self._seen.clear()
        self._pool = None


def graph_rows(rows: int) -> int:
    """Return the number of rows that a batch of ``rows`` is filled up to."""
    step = max(1, (1 << max(0, rows - 1).bit_length()) // (2 * SIZES_PER_OCTAVE))
    return -(-rows // step) * step


def _fill(static: Tensor, context: Tensor) -> None:
    """Write contexts into the memory that a graph reads, and copies of the last one after them."""
    rows = len(context)
    static[:rows].copy_(context)
    if rows < len(static):
        static[rows:].copy_(context[-1:].expand(len(static) - rows, -1))
