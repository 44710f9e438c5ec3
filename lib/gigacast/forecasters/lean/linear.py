"""Matrix products of the lean engine, fused with the step after them where that is faster."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Linear:
    """``x @ weight.T + bias``, and the two things that a transformer does with it next.

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
        """Return the positive part of what a call returns."""
        return self(rows).relu_()

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Return what a call returns plus a residual of [..., O]."""
        return self(rows).add_(residual)


class PackedLinear(Linear):
    """The same on a CPU, its weight laid out once as oneDNN wants it.

    Activation and residual ride along in the product. In bfloat16 that spares a ReLU as dear as the
    product itself, which eager torch computes element by element in float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(_ops().mkldnn._reorder_linear_weight(weight), bias)  # noqa: SLF001

    def __call__(self, rows: Tensor) -> Tensor:
        """Return [..., O] for rows [..., I]."""
        return self._apply(rows, "none")

    def relu(self, rows: Tensor) -> Tensor:
        """Return the positive part of what a call returns."""
        return self._apply(rows, "relu")

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Return what a call returns plus a residual of [..., O]."""
        product = _ops().mkldnn._linear_pointwise.binary  # noqa: SLF001
        result: Tensor = product(rows, residual, self._weight, self._bias, "add")
        return result

    def _apply(self, rows: Tensor, activation: str) -> Tensor:
        product = _ops().mkldnn._linear_pointwise  # noqa: SLF001
        result: Tensor = product(rows, self._weight, self._bias, activation, [], "")
        return result


def make_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return the faster of the two for where the weight lies."""
    return PackedLinear(weight, bias) if _can_pack(weight) else Linear(weight, bias)


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return False
    onednn = _ops().mkldnn
    if not hasattr(onednn, "_linear_pointwise"):  # torch was built without it
        return False
    return bool(onednn._is_mkldnn_bf16_supported())  # noqa: SLF001


def _ops() -> Any:
    return torch.ops
