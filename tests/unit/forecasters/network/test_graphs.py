"""Passes that are recorded as CUDA graphs: the same numbers, from fixed memory.

No GPU is needed: a stand-in for ``torch.cuda`` records the operations of a pass with the memory
that they read and write, and repeats them on it, as a graph does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from gigacast.core.series.forecast import ForecastRequest  # noqa: E402
from gigacast.forecasters.network.graphs import GraphedPass, graph_rows  # noqa: E402
from tests.unit.forecasters.lean.lean_models import SMALLEST, save_bolt  # noqa: E402

CPU = torch.device("cpu")


class Recorder(TorchDispatchMode):
    """Notes every operation with its arguments and what it returned."""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))

        def repeat() -> None:
            again = func(*args, **(kwargs or {}))
            for old, new in zip(tree_leaves(outputs), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

        self.steps.append(repeat)
        return outputs


class Graph:
    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        for step in self.steps:
            step()


class Stream:
    def wait_stream(self, stream: "Stream") -> None:
        pass


class RecordingCuda:
    """What `GraphedPass` uses of ``torch.cuda``; work is done at once, so streams need no order."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.graphs: list[Graph] = []
        self.refusal = refusal

    def Stream(self, device: "torch.device") -> Stream:  # noqa: N802 - as torch spells it
        return Stream()

    def current_stream(self, device: "torch.device") -> Stream:
        return Stream()

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        yield

    def CUDAGraph(self) -> Graph:  # noqa: N802 - as torch spells it
        self.graphs.append(Graph())
        return self.graphs[-1]

    def graph_pool_handle(self) -> object:
        return object()

    @contextmanager
    def graph(self, graph: Graph, **options: object) -> Iterator[None]:
        assert options["capture_error_mode"] == "thread_local"
        if self.refusal is not None:
            raise self.refusal
        with Recorder(graph.steps):
            yield


def contexts(rows: int, seed: int, *, gaps: bool = False) -> "torch.Tensor":
    values = np.random.default_rng(seed).normal(size=(rows, 64)).cumsum(axis=1).astype(np.float32)
    if gaps:
        values[::2, :20] = np.nan
    return torch.from_numpy(values)


@pytest.fixture(scope="module")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> "Callable[..., torch.Tensor]":
    from gigacast.forecasters.forecaster import ModelFiles
    from gigacast.forecasters.lean.forecaster import load_lean

    folder: Path = save_bolt(tmp_path_factory.getbasetemp().parent, SMALLEST)
    return load_lean(ModelFiles(folder, "b", "1", "d", "cpu", "float32"))._model


def test_a_shape_that_comes_again_is_replayed_with_the_same_numbers(bolt) -> None:
    cuda = RecordingCuda()
    graphed = GraphedPass(bolt, cuda=cuda)
    with torch.inference_mode():
        for seed in range(4):
            for steps, gaps in ((7, False), (7, True), (64, False)):
                context = contexts(5, seed, gaps=gaps)
                expected = bolt(context, steps, masked=gaps)
                quantiles = graphed(context, steps, masked=gaps)
                torch.testing.assert_close(quantiles, expected, rtol=1e-5, atol=1e-5)
    assert [graph.replays for graph in cuda.graphs] == [3, 3, 3]


def test_earlier_quantiles_stay_when_the_graph_is_replayed(bolt) -> None:
    graphed = GraphedPass(bolt, cuda=RecordingCuda())
    with torch.inference_mode():
        first, *others = [graphed(contexts(5, seed), 7, masked=False) for seed in (0, 1, 2, 3)]
        kept = [values.clone() for values in others]
        graphed(contexts(5, 9), 7, masked=False)
    assert all(torch.equal(a, b) for a, b in zip(others, kept, strict=True))
    assert not torch.equal(first, others[0])


def test_batches_of_nearly_equal_sizes_share_a_graph_and_its_numbers(bolt) -> None:
    cuda = RecordingCuda()
    graphed = GraphedPass(bolt, cuda=cuda)
    assert len({graph_rows(rows) for rows in (993, 1000, 1024)}) == 1
    with torch.inference_mode():
        whole = contexts(40, 3)
        asked = [graphed(whole[:rows], 7, masked=False) for rows in (39, 40, 39)]
    assert len(cuda.graphs) == 1
    assert [len(quantiles) for quantiles in asked] == [39, 40, 39]
    assert torch.equal(asked[0], asked[2])  # as it is at first, then replayed
    assert torch.equal(asked[0], asked[1][:39])


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 33, 1000, 65_537])
def test_at_most_a_sixteenth_is_computed_in_vain(rows: int) -> None:
    assert rows <= graph_rows(rows) <= max(rows, rows * 17 // 16 + 1)
    assert graph_rows(graph_rows(rows)) == graph_rows(rows)


def test_only_the_last_used_graphs_are_kept(bolt) -> None:
    cuda = RecordingCuda()
    graphed = GraphedPass(bolt, cuda=cuda, most=2)
    with torch.inference_mode():
        for steps in (1, 1, 2, 2, 1, 3, 3, 1, 2):
            graphed(contexts(3, steps), steps, masked=False)
    assert len(cuda.graphs) == 4  # that of two steps was dropped for three, and is made again
    assert len(graphed._recorded) == 2


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted"), MemoryError("full")])
def test_a_pass_that_cannot_be_recorded_is_computed_as_it_is(
    error: Exception,
    bolt,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cuda = RecordingCuda(error)
    graphed = GraphedPass(bolt, cuda=cuda)
    with torch.inference_mode():
        for seed in range(4):
            context = contexts(3, seed)
            assert torch.equal(graphed(context, 7, masked=False), bolt(context, 7, masked=False))
    assert len(caplog.messages) == len(cuda.graphs) == 1


def test_graphs_are_freed_when_memory_runs_out(bolt) -> None:
    def compute(context: "torch.Tensor", steps: int, *, masked: bool) -> "torch.Tensor":
        if len(context) > 8:
            raise torch.OutOfMemoryError("out of memory")
        result: torch.Tensor = bolt(context, steps, masked=masked)
        return result

    graphed = GraphedPass(compute, cuda=RecordingCuda())
    with torch.inference_mode():
        for _ in range(3):
            graphed(contexts(3, 1), 7, masked=False)
        with pytest.raises(torch.OutOfMemoryError):
            graphed(contexts(9, 1), 7, masked=False)
    assert not graphed._recorded


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_replays_what_it_computes(tmp_path_factory: pytest.TempPathFactory) -> None:
    from gigacast.forecasters.forecaster import ModelFiles
    from gigacast.forecasters.lean.forecaster import load_lean

    folder = save_bolt(tmp_path_factory.getbasetemp().parent, SMALLEST)
    on_gpu, on_cpu = (
        load_lean(ModelFiles(folder, "b", "1", "d", device, "float32"))
        for device in ("cuda", "cpu")
    )
    for seed in range(4):
        context = contexts(70, seed).numpy()
        seasons, seeds = np.ones(70, np.int64), np.zeros(70, np.uint64)
        request = ForecastRequest(context, 7, (0.1, 0.5, 0.9), seasons, seeds)
        np.testing.assert_allclose(on_gpu.predict(request), on_cpu.predict(request), atol=1e-3)
