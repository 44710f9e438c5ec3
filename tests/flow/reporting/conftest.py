"""A bucket with pages of every kind, made once."""

from pathlib import Path

import pytest

from gigacast.cli.program import run
from tests.flow.reporting.lake import flags, forecast, put_lake


@pytest.fixture(scope="session")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bucket with a run, its evaluation, a backtest, quality and anomalies, as pages."""
    folder = tmp_path_factory.mktemp("morning") / "lake"
    url = put_lake(folder)
    assert forecast(url, "--report") == 0
    assert run(["evaluate", *flags(url), "--report"]) == 0
    backtest = ["backtest", *flags(url), "--model", "seasonal-naive", "--horizon", "7"]
    assert run([*backtest, "--months", "2", "--report"]) == 0
    assert run(["data", "quality", *flags(url), "--report"]) == 0
    assert run(["anomalies", *flags(url), "--report"]) == 0
    return folder
