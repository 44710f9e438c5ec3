"""The spec of a job: what changes its digest."""

from dataclasses import replace

import pytest

from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.forecast_job import Method
from gigacast.job.spec import make_spec
from gigacast.lake.plan.discovery import Selection

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
INFO = ForecasterInfo("m", "v", "d", "engine-1", "cpu", "float32", 512, 64, TENTHS)


@pytest.mark.parametrize(
    ("levels", "extrapolate", "has_field"),
    [
        ((0.05, 0.5), True, False),
        ((0.05, 0.15), True, True),
        ((0.15, 0.5), True, False),
        ((0.05, 0.15), False, False),
    ],
)
def test_only_levels_whose_extrapolation_changed_have_another_digest(
    levels: tuple[float, ...], extrapolate: bool, has_field: bool
) -> None:
    method = Method(levels=levels, extrapolate_levels=extrapolate)
    assert ("tails" in make_spec(INFO, method, Selection()).fields) == has_field


def test_the_median_that_is_always_computed_counts_as_a_level() -> None:
    two = replace(INFO, levels=(0.25, 0.75))
    method = Method(levels=(0.05,), extrapolate_levels=True)
    assert "tails" in make_spec(two, method, Selection()).fields
