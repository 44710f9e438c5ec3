"""Copy contexts to the device and quantiles back while the device computes.

On a GPU three steps run at the same time: the next batch is copied to the device, the current one
is computed, and the previous one is copied back. Each has its own stream. Host memory is
page-locked, because only then can the device copy without the processor. Source: "CUDA semantics"
and ``Tensor.record_stream`` in torch's documentation.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from gigacast.core.array import FloatArray

PendingArray = Callable[[], FloatArray]
"""Waits until the values are on the host and returns them."""


class Transfer(Protocol):
    """Copies between the host and a device."""

    def send(self, context: FloatArray) -> Tensor:
        """Return an array as a tensor on the device; later computations may use it."""
        ...

    def fetch(self, values: Tensor) -> PendingArray:
        """Start to copy a float32 tensor to the host; its computation may still be running."""
        ...


class HostTransfer:
    """Transfer for the CPU, where nothing is copied."""

    def send(self, context: FloatArray) -> Tensor:
        """Return the array's own memory as a tensor."""
        return torch.from_numpy(context)

    def fetch(self, values: Tensor) -> PendingArray:
        """Return a function that returns the tensor's own memory as an array."""
        array: FloatArray = values.numpy()
        return lambda: array


def empty_pinned(*shape: int) -> Tensor:
    """Return page-locked host memory, float32.

    Locking pages is slow, but torch caches freed blocks and reuses them for the next batch.
    """
    return torch.empty(shape, dtype=torch.float32, pin_memory=True)


class CudaTransfer:
    """Transfer for a GPU, with one stream for each direction.

    Parameters
    ----------
    device : torch.device
    cuda : module
        ``torch.cuda``, or a substitute in tests.
    pinned : callable
        Allocates page-locked host memory.
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
        """Return an array as a tensor on the device, while its copy is still running."""
        staged = self._pinned(*context.shape).copy_(torch.from_numpy(context))
        with self._cuda.stream(self._inward):
            on_device = staged.to(self._device, non_blocking=True)
        computing = self._cuda.current_stream(self._device)
        computing.wait_stream(self._inward)
        # The memory belongs to the inward stream. Without this note torch could give it to the next
        # copy while the computation still reads it.
        on_device.record_stream(computing)
        return on_device

    def fetch(self, values: Tensor) -> PendingArray:
        """Start to copy a tensor to the host once it is computed; only the result waits for it."""
        ready = values.contiguous()
        on_host = self._pinned(*ready.shape)
        self._outward.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._outward):
            on_host.copy_(ready, non_blocking=True)
            copied = self._outward.record_event()
        # The memory belongs to the computing stream and must not be reused before it is copied.
        ready.record_stream(self._outward)

        def result() -> FloatArray:
            copied.synchronize()
            array: FloatArray = on_host.numpy()
            return array

        return result


def make_transfer(device: torch.device) -> Transfer:
    """Return the transfer for a device."""
    return CudaTransfer(device) if device.type == "cuda" else HostTransfer()
