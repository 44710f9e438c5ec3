"""Matrix products of the lean engine, fused with the following operation if that is faster."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.forecasters.hardware import packs_float32


class Linear:
    """``x @ weight.T + bias``, alone or followed by ReLU or by the sum with a residual.

    Parameters
    ----------
    weight : Tensor
        [O, I].
    bias : Tensor, optional
        [O].
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, rows: Tensor) -> Tensor:
        """Return [..., O] for rows [..., I]."""
        return functional.linear(rows, self._weight, self._bias)

    def relu(self, rows: Tensor) -> Tensor:
        """Return the product, [..., O], with negative values replaced by zero."""
        return self(rows).relu_()

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Return the product plus a residual of the same shape, [..., O]."""
        return self(rows).add_(residual)


class PackedLinear(Linear):
    """`Linear` on a CPU, with its weight stored once in oneDNN's layout.

    ReLU and residual are computed within the product. A separate ReLU costs as much as the product
    itself, because eager torch computes it on bfloat16 element by element in float32 (1.2 ms
    against 0.55 ms packed, docs/decisions/0004-lean-bolt-engine.md). These operations are not part
    of torch's public interface; they are those that torch's compiler emits, and a test compares
    them with `Linear`. float32 is packed where that is faster (`packs_float32`).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(_ops().mkldnn._reorder_linear_weight(weight), bias)  # noqa: SLF001

    def __call__(self, rows: Tensor) -> Tensor:
        """Return [..., O] for rows [..., I]."""
        return self._apply(rows, "none")

    def relu(self, rows: Tensor) -> Tensor:
        """Return the product, [..., O], with negative values replaced by zero."""
        return self._apply(rows, "relu")

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Return the product plus a residual of the same shape, [..., O]."""
        product = _ops().mkldnn._linear_pointwise.binary  # noqa: SLF001
        result: Tensor = product(rows, residual, self._weight, self._bias, "add")
        return result

    def _apply(self, rows: Tensor, activation: str) -> Tensor:
        product = _ops().mkldnn._linear_pointwise  # noqa: SLF001
        result: Tensor = product(rows, self._weight, self._bias, activation, [], "")
        return result


def make_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return the faster kind of product for the weight's device and type."""
    return PackedLinear(weight, bias) if _can_pack(weight) else Linear(weight, bias)


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu":
        return False
    # In float32 packing gains a fifth on AMD. Elsewhere it gains 0 to 5 %, which is not worth the
    # private operations.
    is_wanted = weight.dtype == torch.bfloat16 or (
        weight.dtype == torch.float32 and packs_float32()
    )
    if not is_wanted:
        return False
    onednn = _ops().mkldnn
    # Missing if torch was built without oneDNN, or if another version of torch has renamed it.
    if not hasattr(onednn, "_linear_pointwise"):
        return False
    if weight.dtype == torch.float32:
        return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return bool(onednn._is_mkldnn_bf16_supported())  # noqa: SLF001


def _ops() -> Any:
    return torch.ops
