"""Chronos-Bolt as a `Forecaster`, run by OpenVINO on a CPU, without torch."""

import os
from functools import lru_cache
from typing import Any

import numpy as np
import openvino

from gigacast.core.array import FloatArray
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.hardware import resolve_precision
from gigacast.forecasters.lean.fused import FusedBolt
from gigacast.forecasters.lean.loading import describe_bolt, read_bolt_shape, read_fused
from gigacast.forecasters.lean.pieces import piece_sizes
from gigacast.forecasters.lean.position import relative_buckets
from gigacast.forecasters.lean.shape import BoltShape, openvino_engine
from gigacast.forecasters.openvino.graph import LOWEST, build_graph
from gigacast.forecasters.openvino.int8 import Int8Scales
from gigacast.forecasters.openvino.scales import read_scales
from gigacast.forecasters.plain.forecaster import ArrayForecaster, check_cpu
from gigacast.forecasters.plain.patches import PatchArrays, cut_patches

PRECISIONS = ("float32", "bfloat16", "int8")
_TYPES = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names of the types in which everything outside int8 products is computed."""


def load_openvino(files: ModelFiles, rest: str | None = None) -> ArrayForecaster:
    """Load a Chronos-Bolt into OpenVINO.

    Parameters
    ----------
    files : ModelFiles
    rest : {"float32", "bfloat16"}, optional
        In int8, the precision of everything else; by default the one that is fastest here.

    Raises
    ------
    ConfigError
        If the device is not the CPU or the precision unknown.
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another kind of model, or int8 changes its forecasts too much.
    """
    check_cpu(files, "openvino", PRECISIONS)
    shape = read_bolt_shape(files.folder)
    weights = read_fused(files.folder, shape)
    precision = resolve_precision(files.precision, "cpu")
    scales = read_scales(weights, shape) if precision == "int8" else None
    floats = precision if scales is None else rest or resolve_precision("auto", "cpu")
    engine = openvino_engine(scales.digest if scales else None, floats)
    info = describe_bolt(files, shape, engine=engine, device="cpu", precision=precision)
    return ArrayForecaster(info, CompiledBolt(weights, shape, floats, scales))


class CompiledBolt:
    """The passes of a Bolt; a graph is compiled when it is first needed.

    Parameters
    ----------
    weights : FusedBolt
    shape : BoltShape
    floats : {"float32", "bfloat16"}
        Precision of everything that is not an int8 product.
    scales : Int8Scales, optional
        Computes the encoder's products in int8.
    """

    def __init__(
        self,
        weights: FusedBolt,
        shape: BoltShape,
        floats: str,
        scales: Int8Scales | None = None,
    ) -> None:
        self._weights = weights
        self._shape = shape
        self._floats = floats
        self._scales = scales
        self._requests: dict[tuple[int, bool], Any] = {}
        self._bias = lru_cache(maxsize=64)(self._make_bias)

    def __call__(self, context: FloatArray, steps: int, *, masked: bool) -> FloatArray:
        """Return raw quantiles at the trained levels, float32 [B, K, steps]; see `ArrayPass`."""
        shape = self._shape
        tokens = -(-context.shape[1] // shape.patch_size)
        sizes = piece_sizes(len(context), tokens)
        # Filled up with copies of the last row, whose results are cut off again.
        excess = sum(sizes) - len(context)
        filled = np.concatenate([context, np.repeat(context[-1:], excess, axis=0)])
        recent = filled[:, -shape.context_length :]
        patches = cut_patches(recent, shape.patch_size, shape.patch_stride)
        outputs = self._infer(patches, sizes, steps, masked=masked)
        return patches.restore(outputs)[: len(context)]

    def _infer(
        self, patches: PatchArrays, sizes: list[int], steps: int, *, masked: bool
    ) -> FloatArray:
        """Return the network's outputs, [B, K, steps], computed in pieces of the given sizes."""
        request = self._request(steps, masked=masked)
        register = int(self._shape.has_register)
        bias = self._bias(patches.values.shape[1] + register)
        hidden = np.pad(np.where(patches.observed, 0, LOWEST), ((0, 0), (0, register)))
        hidden = hidden.astype(np.float32)
        parts, first = [], 0
        for size in sizes:
            rows = slice(first, first + size)
            inputs = [patches.values[rows], bias, *([hidden[rows]] if masked else [])]
            # Copied: the request's own memory is written anew by the next piece.
            parts.append(request.infer(inputs)[0].copy())
            first += size
        return np.concatenate(parts).reshape(len(patches.values), -1, steps)

    def _request(self, steps: int, *, masked: bool) -> Any:
        key = (steps, masked)
        if key not in self._requests:
            graph = build_graph(
                self._weights, self._shape, steps, masked=masked, scales=self._scales
            )
            compiled = _core().compile_model(graph, "CPU", self._settings())
            self._requests[key] = compiled.create_infer_request()
        return self._requests[key]

    def _settings(self) -> dict[str, Any]:
        return {
            "INFERENCE_NUM_THREADS": _threads(),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _TYPES[self._floats],
        }

    def _make_bias(self, length: int) -> FloatArray:
        """Return the position bias of ``length`` tokens, [1, heads, T, T]."""
        buckets = relative_buckets(length, self._shape.buckets, self._shape.max_distance)
        return np.ascontiguousarray(self._weights.position[buckets].transpose(2, 0, 1)[None])


@lru_cache(maxsize=1)
def _core() -> Any:
    return openvino.Core()


def _threads() -> int:
    """Return the number of threads; 0 lets OpenVINO choose."""
    # Set for every process of a run by `runtime.cores.divide_threads`.
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else 0
