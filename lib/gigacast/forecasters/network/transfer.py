"""Contexts to the device and quantiles back, while the device computes.

On a GPU three things go on at once: the next batch is copied in, this one is computed, the last one
is copied out. Each has a stream; page-locked memory on the host lets copies run without it. Source:
"CUDA semantics" and ``Tensor.record_stream`` in torch's documentation.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from gigacast.core.array import FloatArray

Fetched = Callable[[], FloatArray]
"""Waits until values have arrived, and returns them."""


class Transfer(Protocol):
    """The way to a device and back."""

    def send(self, context: FloatArray) -> Tensor:
        """Return an array as a tensor that what is computed next may use."""
        ...

    def fetch(self, values: Tensor) -> Fetched:
        """Begin to bring a float32 tensor back; it need not be computed yet."""
        ...


class HostTransfer:
    """Nothing to copy: the device is the host."""

    def send(self, context: FloatArray) -> Tensor:
        """Return the array's own memory as a tensor."""
        return torch.from_numpy(context)

    def fetch(self, values: Tensor) -> Fetched:
        """Return what returns the tensor's own memory as an array."""
        array: FloatArray = values.numpy()
        return lambda: array


def empty_pinned(*shape: int) -> Tensor:
    """Return page-locked host memory, float32; torch keeps it for reuse when it is let go."""
    return torch.empty(shape, dtype=torch.float32, pin_memory=True)


class CudaTransfer:
    """Copies on streams of their own.

    Parameters
    ----------
    device : torch.device
    cuda : module
        ``torch.cuda``, or what stands in for it.
    pinned : callable
        Makes host memory that the device copies from and to by itself.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        cuda: Any = torch.cuda,
        pinned: Callable[..., Tensor] = empty_pinned,
    ) -> None:
        self._device = device
        self._cuda = cuda
        self._pinned = pinned
        self._inward = cuda.Stream(device)
        self._outward = cuda.Stream(device)

    def send(self, context: FloatArray) -> Tensor:
        """Return an array as a tensor on the device; its copy is under way."""
        staged = self._pinned(*context.shape).copy_(torch.from_numpy(context))
        with self._cuda.stream(self._inward):
            there = staged.to(self._device, non_blocking=True)
        computing = self._cuda.current_stream(self._device)
        computing.wait_stream(self._inward)
        there.record_stream(computing)  # its memory is the inward stream's, but used by this one
        return there

    def fetch(self, values: Tensor) -> Fetched:
        """Begin to bring a tensor back once it is computed; nothing waits before the result."""
        ready = values.contiguous()
        here = self._pinned(*ready.shape)
        self._outward.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._outward):
            here.copy_(ready, non_blocking=True)
            arrived = self._outward.record_event()
        ready.record_stream(self._outward)  # not to be reused before it is copied

        def result() -> FloatArray:
            arrived.synchronize()
            array: FloatArray = here.numpy()
            return array

        return result


def make_transfer(device: torch.device) -> Transfer:
    """Return the way to a device and back."""
    return CudaTransfer(device) if device.type == "cuda" else HostTransfer()
