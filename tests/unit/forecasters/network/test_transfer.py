"""Copies beside the computation: the order in which streams wait for each other.

No GPU is needed: a stand-in for ``torch.cuda`` runs the work of a stream only when something waits
for it, so that a missing wait shows as values that are not there.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gigacast.forecasters.network.transfer import (  # noqa: E402
    MOST_BUFFERS,
    CudaTransfer,
    HostTransfer,
    PendingArray,
    make_transfer,
)

CPU = torch.device("cpu")


class LazyStream:
    """Does what it was given when it is waited for."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def run(self) -> None:
        for step in self.work:
            step()
        self.work = []

    def wait_stream(self, stream: "LazyStream") -> None:
        self.work.append(stream.run)

    def record_event(self) -> "LazyStream":
        return self

    def query(self) -> bool:
        return not self.work

    def synchronize(self) -> None:
        self.run()


class LazyCuda:
    """What `CudaTransfer` uses of ``torch.cuda``."""

    def __init__(self) -> None:
        self.default = LazyStream()
        self.current = self.default

    def Stream(self, device: "torch.device") -> LazyStream:  # noqa: N802 - as torch spells it
        return LazyStream()

    def current_stream(self, device: "torch.device") -> LazyStream:
        return self.current

    @contextmanager
    def stream(self, stream: LazyStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before


class LazyTensor:
    """A tensor whose copies happen on the stream that is current when they are asked for."""

    def __init__(self, cuda: LazyCuda, values: np.ndarray) -> None:
        self.cuda = cuda
        self.values = values
        self.users: list[LazyStream] = []

    def copy_(self, source: object, non_blocking: bool = False) -> "LazyTensor":
        def copy() -> None:
            self.values[...] = source.values if isinstance(source, LazyTensor) else source.numpy()

        self.cuda.current.work.append(copy) if non_blocking else copy()
        return self

    def to(self, device: "torch.device", *, non_blocking: bool) -> "LazyTensor":
        assert non_blocking
        copy = LazyTensor(self.cuda, np.full_like(self.values, np.nan))
        return copy.copy_(self, non_blocking=True)

    def contiguous(self) -> "LazyTensor":
        return self

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> "LazyTensor":
        return LazyTensor(self.cuda, self.values[rows])

    def view(self, shape: tuple[int, ...]) -> "LazyTensor":
        return LazyTensor(self.cuda, self.values.reshape(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def record_stream(self, stream: LazyStream) -> None:
        self.users.append(stream)

    def numpy(self) -> np.ndarray:
        return self.values


def double(cuda: LazyCuda, tensor: LazyTensor) -> LazyTensor:
    """Compute on the default stream."""
    result = LazyTensor(cuda, np.full_like(tensor.values, np.nan))

    def compute() -> None:
        result.values[...] = tensor.values * 2

    cuda.default.work.append(compute)
    return result


@pytest.fixture
def cuda() -> LazyCuda:
    return LazyCuda()


@pytest.fixture
def locked() -> list[int]:
    """Return the sizes of the buffers that were locked, filled as they are asked for."""
    return []


@pytest.fixture
def transfer(cuda: LazyCuda, locked: list[int]) -> CudaTransfer:
    def pinned(*shape: int) -> LazyTensor:
        locked.append(int(np.prod(shape)))
        return LazyTensor(cuda, np.full(shape, np.nan, np.float32))

    return CudaTransfer(CPU, cuda=cuda, pinned=pinned)  # type: ignore[arg-type]


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 5)).astype(np.float32)


def test_results_wait_for_the_computation_and_that_for_its_input(
    cuda: LazyCuda, transfer: CudaTransfer
):
    fetched = [transfer.fetch(double(cuda, transfer.send(numbers(seed)))) for seed in range(3)]
    for seed, result in enumerate(fetched):
        assert np.array_equal(result(), numbers(seed) * 2)


def test_the_host_waits_only_for_a_result(cuda: LazyCuda, transfer: CudaTransfer):
    computed = double(cuda, transfer.send(numbers(0)))
    result = transfer.fetch(computed)
    assert np.isnan(computed.values).all()
    result()
    assert np.array_equal(computed.values, numbers(0) * 2)


def test_memory_is_kept_for_the_streams_that_still_use_it(cuda: LazyCuda, transfer: CudaTransfer):
    sent = transfer.send(numbers(0))
    assert sent.users == [cuda.default]
    computed = double(cuda, sent)
    transfer.fetch(computed)
    assert len(computed.users) == 1
    assert computed.users != [cuda.default]


def test_a_context_may_be_modified_once_it_is_sent(cuda: LazyCuda, transfer: CudaTransfer):
    context = numbers(0)
    result = transfer.fetch(double(cuda, transfer.send(context)))
    context[:] = 0
    assert np.array_equal(result(), numbers(0) * 2)


def test_memory_is_locked_once_and_used_in_turn(
    cuda: LazyCuda, transfer: CudaTransfer, locked: list[int]
):
    pending: deque[PendingArray] = deque()
    results = []
    for seed in range(20):
        pending.append(transfer.fetch(double(cuda, transfer.send(numbers(seed)))))
        if len(pending) > 1:  # as batches are collected: one is computed, one is read
            results.append(pending.popleft()())
    results += [result() for result in pending]
    assert all(np.array_equal(r, numbers(seed) * 2) for seed, r in enumerate(results))
    assert len(locked) <= 2 * MOST_BUFFERS


def test_a_buffer_is_not_filled_before_its_copy_is_done(
    cuda: LazyCuda, transfer: CudaTransfer, locked: list[int]
):
    sent = [transfer.send(numbers(seed)) for seed in range(10)]
    fetched = [transfer.fetch(double(cuda, tensor)) for tensor in sent]
    for seed, result in reversed(list(enumerate(fetched))):  # in whichever order they are read
        assert np.array_equal(result(), numbers(seed) * 2)
    assert len(locked) == MOST_BUFFERS + 10


def test_larger_batches_get_larger_buffers(
    cuda: LazyCuda, transfer: CudaTransfer, locked: list[int]
):
    for rows in (1, 200, 3, 150, 201):
        values = np.arange(rows * 5, dtype=np.float32).reshape(rows, 5)
        assert np.array_equal(transfer.fetch(double(cuda, transfer.send(values)))(), values * 2)
    assert locked == [8, 8, 1024, 1024]


def test_a_result_may_be_asked_for_twice_and_kept(cuda: LazyCuda, transfer: CudaTransfer):
    result = transfer.fetch(double(cuda, transfer.send(numbers(1))))
    kept = result()
    assert result() is kept
    for seed in range(5):
        transfer.fetch(double(cuda, transfer.send(numbers(seed + 2))))()
    assert np.array_equal(kept, numbers(1) * 2)


def test_on_a_cpu_nothing_is_copied():
    transfer = make_transfer(CPU)
    assert isinstance(transfer, HostTransfer)
    context = numbers(0)
    sent = transfer.send(context)
    assert sent.data_ptr() == context.ctypes.data
    assert transfer.fetch(sent)().ctypes.data == context.ctypes.data


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_returns_the_values_it_was_sent():
    transfer = make_transfer(torch.device("cuda"))
    fetched = [transfer.fetch(transfer.send(numbers(seed)) * 2) for seed in range(3)]
    for seed, result in enumerate(fetched):
        assert np.array_equal(result(), numbers(seed) * 2)
