"""A GPU is asked whether a series keeps its bits when others of its call change."""

from dataclasses import replace

import numpy as np
import pytest

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.budget import BatchBudget
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.refresh.probe import keeps_numbers

ON_A_GPU = replace(
    SeasonalNaive().info,
    device="cuda",
    patch_size=16,
    levels=(0.1, 0.5, 0.9),
    context_length=2048,
    prediction_length=64,
)


class Gpu:
    """A forecaster on a GPU that there is not: each row's last value, changed by some fault."""

    def __init__(self, fault: str = "", info: ForecasterInfo = ON_A_GPU) -> None:
        self.info = info
        self._fault = fault
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, request: ForecastRequest) -> FloatArray:
        self.shapes.append((*request.context.shape, request.group_size))
        assert request.exact
        last = request.context[:, -1].copy()
        rows = len(last)
        if self._fault == "the place in the call":
            last[-1] = np.nextafter(last[-1], np.float32(np.inf))
        if self._fault == "the others":
            last += np.float32(1e-7) * np.abs(last).max()
        if self._fault == "the others of long contexts" and request.context.shape[1] > 500:
            last += np.float32(1e-7) * np.abs(last).max()
        if request.group_size > 1:
            last = last.reshape(-1, request.group_size).sum(axis=1).repeat(request.group_size)
        return np.broadcast_to(last[:, None, None], (rows, request.horizon, 3)).copy()


def test_a_gpu_whose_rows_are_independent_keeps_numbers() -> None:
    gpu = Gpu()
    assert keeps_numbers(gpu)
    # One shape for each length, of many rows.
    assert len(set(gpu.shapes)) == 3
    assert all(rows * length >= 16_384 for rows, length, _ in gpu.shapes)
    # As many rows as an incremental run has in a call of that length, forecast as far.
    budget = BatchBudget(fixed=True)
    assert all(rows == budget.rows(ON_A_GPU, length, 24) for rows, length, _ in gpu.shapes)


@pytest.mark.parametrize(
    "fault", ["the place in the call", "the others", "the others of long contexts"]
)
def test_a_gpu_whose_rows_depend_on_their_call_does_not(fault: str) -> None:
    assert keeps_numbers(Gpu(fault)) is False


def test_groups_are_tried_as_well_and_move_as_a_whole() -> None:
    gpu = Gpu(info=replace(ON_A_GPU, takes_groups=True))
    assert keeps_numbers(gpu)
    assert {size for *_, size in gpu.shapes} == {1, 2}


def test_a_cpu_is_not_asked() -> None:
    gpu = Gpu("the others", replace(ON_A_GPU, device="cpu"))
    assert keeps_numbers(gpu)
    assert gpu.shapes == []


def test_a_gpu_without_levels_of_its_own_is_asked_for_three() -> None:
    class Asked(Gpu):
        def predict(self, request: ForecastRequest) -> FloatArray:
            assert request.levels == (0.1, 0.5, 0.9)
            return super().predict(request)

    assert keeps_numbers(Asked(info=replace(ON_A_GPU, levels=())))


def test_a_short_horizon_and_context_are_those_of_the_model() -> None:
    class Asked(Gpu):
        horizons: set[int] = set()  # noqa: RUF012 - of this test alone

        def predict(self, request: ForecastRequest) -> FloatArray:
            self.horizons.add(request.horizon)
            return super().predict(request)

    gpu = Asked(info=replace(ON_A_GPU, context_length=64, prediction_length=5))
    assert keeps_numbers(gpu)
    assert gpu.horizons == {5}
    assert {length for _, length, _ in gpu.shapes} == {16, 64}


def test_a_gpu_without_memory_for_a_call_of_one_shape_keeps_none() -> None:
    class Full(Gpu):
        def predict(self, request: ForecastRequest) -> FloatArray:
            raise MemoryError

    assert not keeps_numbers(Full())
