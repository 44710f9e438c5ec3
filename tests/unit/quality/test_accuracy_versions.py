"""Accuracy beside quality where several versions of a dataset were measured."""

from types import SimpleNamespace
from typing import Any

import pytest

from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.core.dataset.ref import DatasetRef
from gigacast.forecasters.metric import Figures
from gigacast.job.forecast_job import ForecastJob
from gigacast.quality import accuracy
from gigacast.quality.measures import Judgement, Verdict
from gigacast.quality.result import Judged, QualityReport
from gigacast.storage.store import StoreAddress

PARTITION = "year=2024/month=01/part-00000"
FIGURES = Figures(3, 9, 0, 0, 0.9, 0.2, 0.3, 1.0, 0.1, 0.0, (0.5,), ())
VERSIONS = ("v1", "v2", "v10")
LAKE = StoreAddress("memory://accuracy-versions")


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[ForecastJob]:
    """Jobs whose forecasts are evaluated: each has one partition."""
    jobs: list[ForecastJob] = []

    def evaluate(job: Any) -> Evaluation:
        jobs.append(job.forecast)
        return Evaluation(partitions={("naive", PARTITION): FIGURES})

    monkeypatch.setattr(accuracy, "evaluate_forecasts", evaluate)
    return jobs


def judged(version: str, missing: float) -> Judged:
    measured: Any = SimpleNamespace()
    partition = f"cleaned/{version}/FX/{PARTITION}"
    return Judged(partition, Judgement(Verdict.OK, ()), measured, {"missing": missing})


def test_forecasts_of_the_latest_version_are_compared_with_its_own_quality(
    evaluated: list[ForecastJob],
) -> None:
    refs = tuple(DatasetRef.parse(f"cleaned/{version}/FX") for version in VERSIONS)
    files: Any = SimpleNamespace(sources=SimpleNamespace(refs=refs), outputs=LAKE)
    partitions = [judged(version, n / 10) for n, version in enumerate(VERSIONS)]
    # Reports are sorted by name, in which v10 comes before v2.
    partitions.sort(key=lambda entry: entry.partition)
    report = QualityReport("cleaned/FX", "", {}, partitions, f"{LAKE.url}/quality/r")
    result = accuracy.report_accuracy(report, files, ForecastJob(LAKE, LAKE, LAKE))
    assert [job.inputs.url for job in evaluated] == [f"{LAKE.url}/cleaned/v10/FX"]
    assert [pair.shares for pair in result.pairs] == [{"missing": 0.2}]
