"""Chronos-2 as a `Forecaster`, run by the lean forward pass, series alone and in groups.

Its numbers equal those of the stock pipeline except for float32 rounding; see
docs/decisions/0034-lean-chronos-2.md.
"""

import torch
from torch import Tensor

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.chronos2.forward import LeanChronos2
from gigacast.forecasters.chronos2.loading import read_fused_chronos2, read_shape_of
from gigacast.forecasters.chronos2.shape import chronos2_engine
from gigacast.forecasters.chronos2.weights import place_chronos2
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.lean.pieces import has_empty_patch
from gigacast.forecasters.network.device import (
    DTYPES,
    resolve_device,
    resolve_precision,
    translate_memory_errors,
)
from gigacast.forecasters.network.forecaster import NetworkForecaster
from gigacast.forecasters.network.graphs import GraphedPass, Pass
from gigacast.forecasters.network.groups import GroupUnrolling

MAX_TOKENS = 2_048
"""Maximum tokens that a CPU computes at once."""


def load_lean_chronos2(files: ModelFiles) -> "LeanChronos2Forecaster":
    """Load a Chronos-2.

    Raises
    ------
    ConfigError
        If the device or precision is unknown, or the machine has no such device.
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another kind of model; `load_chronos` may be able to run it.
    MemoryError
        If the model does not fit into memory.
    """
    place = resolve_device(files.device)
    precision = resolve_precision(files.precision, place)
    shape = read_shape_of(files.folder)
    with translate_memory_errors():
        weights = place_chronos2(read_fused_chronos2(files.folder, shape), place, DTYPES[precision])
        model = LeanChronos2(weights, shape, place, DTYPES[precision])
    unrolling = GroupUnrolling(
        shape.levels, shape.context_length, shape.patch_size, shape.max_patches
    )
    info = ForecasterInfo(
        name=files.name,
        version=files.version,
        digest=files.digest,
        engine=chronos2_engine(),
        device=place.type,
        precision=precision,
        context_length=shape.context_length,
        prediction_length=unrolling.prediction_length,
        levels=shape.levels,
        patch_size=shape.patch_size,
        takes_groups=True,
    )
    return LeanChronos2Forecaster(info, model, place, unrolling)


class LeanChronos2Forecaster(NetworkForecaster):
    """A loaded Chronos-2; see `Forecaster`.

    Parameters
    ----------
    info : ForecasterInfo
    model : LeanChronos2
    device : torch.device
        Device of the model's weights.
    unrolling : GroupUnrolling
    """

    def __init__(
        self,
        info: ForecasterInfo,
        model: LeanChronos2,
        device: torch.device,
        unrolling: GroupUnrolling,
    ) -> None:
        super().__init__(info, device, centre=True)
        self._model = model
        self._alone: Pass = GraphedPass(model) if device.type == "cuda" else model
        self._unrolling = unrolling

    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return quantiles at the trained levels, [B, K, H], unrolled beyond the first pass."""
        length, patch = self._info.context_length, self._info.patch_size
        masked = request.exact or has_empty_patch(request.context[:, -length:], patch)
        # Cut contexts begin with another part of a patch, which may be empty.
        masked = masked or (request.horizon > self._info.prediction_length and length % patch != 0)

        def one_pass(rows: Tensor, patches: int, group_size: int, ahead: Tensor | None) -> Tensor:
            sizes = self._sizes(rows, patches, group_size, is_exact=request.exact)
            return self._pass(rows, patches, group_size, ahead, sizes, masked=masked)

        return self._unrolling.forecast(
            context, request.horizon, one_pass, request.group_size, future
        )

    def _sizes(self, context: Tensor, patches: int, size: int, *, is_exact: bool) -> list[int]:
        """Return the groups of each piece that is computed at once; more than there are if exact.

        Pieces that are not whole are not filled up as those of a Bolt: for these models a series
        takes longer than oneDNN takes to compile products of another size.
        """
        groups = len(context) // size
        # A GPU gets the whole batch at once.
        if self._device.type != "cpu":
            return [groups]
        tokens = (-(-context.shape[1] // self._info.patch_size) + 1 + patches) * size
        whole = max(1, MAX_TOKENS // tokens)
        if is_exact:
            # Pieces of one size, a power of two: in odd ones the last rows are rounded otherwise.
            whole = min(1 << whole.bit_length() - 1, 1 << (groups - 1).bit_length())
            return [whole] * -(-groups // whole)
        count, rest = divmod(groups, whole)
        return [whole] * count + [rest] * bool(rest)

    def _pass(
        self,
        context: Tensor,
        patches: int,
        size: int,
        future: Tensor | None,
        sizes: list[int],
        *,
        masked: bool,
    ) -> Tensor:
        """Return the quantiles of one pass, [B, K, F * P], computed in pieces."""
        if size == 1 and future is None and self._device.type == "cuda":
            return self._alone(context, patches, masked=masked)
        excess = sum(sizes) * size - len(context)
        pieces = [count * size for count in sizes]
        contexts = torch.split(_fill(context, excess, size), pieces)
        futures: list[Tensor | None] = [None] * len(pieces)
        if future is not None:
            futures = [*torch.split(_fill(future, excess, size), pieces)]
        parts = [
            self._model(rows, patches, masked=masked, group_size=size, future=ahead)
            for rows, ahead in zip(contexts, futures, strict=True)
        ]
        return torch.cat(parts)[: len(context)]


def _fill(rows: Tensor, excess: int, size: int) -> Tensor:
    """Return rows, [B, T], with copies of the last group, whose forecasts are cut off again."""
    return torch.cat([rows, rows[-size:].repeat(excess // size, 1)]) if excess else rows
