"""Copy contexts to the device and quantiles back while the device computes.

On a GPU three steps run at the same time: the next batch is copied to the device, the current one
is computed, and the previous one is copied back. Each has its own stream. Host memory is
page-locked, because only then can the device copy without the processor; it is locked once and used
in turn. Source: "CUDA semantics" and ``Tensor.record_stream`` in torch's documentation.
"""

from collections import deque
from collections.abc import Callable
from math import prod
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
    """Return page-locked host memory, float32."""
    return torch.empty(shape, dtype=torch.float32, pin_memory=True)


MOST_BUFFERS = 3
"""Buffers of a ring: one is filled, one copied, and one waits to be read."""


class BufferRing:
    """Page-locked buffers that are used again, the longest unused first.

    Locking pages takes longer than copying them, and locked pages are lost to everything else.

    Parameters
    ----------
    pinned : callable
        Allocates page-locked host memory.
    most : int
        Buffers after which the host waits for a copy instead of locking more memory.
    """

    def __init__(self, pinned: Callable[..., Tensor], most: int = MOST_BUFFERS) -> None:
        self._pinned = pinned
        self._most = most
        self._free: deque[tuple[Tensor, Any]] = deque()

    def take(self, *shape: int) -> tuple[Tensor, Tensor]:
        """Return a buffer and its beginning as an array of a shape; nobody else has the buffer."""
        count = prod(shape)
        buffer = None
        # The oldest copy ends first, so that no other one needs to be looked at.
        if self._free and (self._free[0][1].query() or len(self._free) >= self._most):
            buffer, copied = self._free.popleft()
            copied.synchronize()
        if buffer is None or len(buffer) < count:
            # To the next power of two: batches grow and shrink by a few rows.
            buffer = self._pinned(1 << max(0, count - 1).bit_length())
        return buffer, buffer[:count].view(shape)

    def give_back(self, buffer: Tensor, copied: Any) -> None:
        """Take a buffer back that may be used again after an event."""
        self._free.append((buffer, copied))


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
        self._sending = BufferRing(pinned)
        self._fetching = BufferRing(pinned)
        self._inward = cuda.Stream(device)
        self._outward = cuda.Stream(device)

    def send(self, context: FloatArray) -> Tensor:
        """Return an array as a tensor on the device, while its copy is still running."""
        buffer, staged = self._sending.take(*context.shape)
        staged.copy_(torch.from_numpy(context))
        with self._cuda.stream(self._inward):
            on_device = staged.to(self._device, non_blocking=True)
            self._sending.give_back(buffer, self._inward.record_event())
        computing = self._cuda.current_stream(self._device)
        computing.wait_stream(self._inward)
        # The memory belongs to the inward stream. Without this note torch could give it to the next
        # copy while the computation still reads it.
        on_device.record_stream(computing)
        return on_device

    def fetch(self, values: Tensor) -> PendingArray:
        """Start to copy a tensor to the host once it is computed; only the result waits for it."""
        ready = values.contiguous()
        buffer, on_host = self._fetching.take(*ready.shape)
        self._outward.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._outward):
            on_host.copy_(ready, non_blocking=True)
            copied = self._outward.record_event()
        # The memory belongs to the computing stream and must not be reused before it is copied.
        ready.record_stream(self._outward)

        arrays: list[FloatArray] = []

        def result() -> FloatArray:
            if not arrays:  # the buffer is given back once, however often somebody asks
                copied.synchronize()
                # A copy, so that the buffer is free for the next batch, whatever becomes of it.
                arrays.append(on_host.numpy().copy())
                self._fetching.give_back(buffer, copied)
            return arrays[0]

        return result


def make_transfer(device: torch.device) -> Transfer:
    """Return the transfer for a device."""
    return CudaTransfer(device) if device.type == "cuda" else HostTransfer()
