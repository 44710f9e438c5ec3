"""Whole months and items over several objects, in evaluations and backtests."""

from pathlib import Path

import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import DataNotFoundError

NAIVE = {"model": "seasonal-naive", "horizon": 3}


def write_parts(root: Path, days: int) -> str:
    """Write the days of two items to the parts of January in turn, and return the address."""
    times = pd.date_range("2024-01-01", periods=days).repeat(2)
    rows = pd.DataFrame({"item_id": ["a", "b"] * days, "timestamp": times})
    rows["target"] = [float(n * n % 11) for n in range(len(rows))]
    folder = root / "2024" / "01"
    folder.mkdir(parents=True, exist_ok=True)
    for part in (0, 1):
        rows[rows.index // 2 % 2 == part].to_parquet(folder / f"part-{part}.parquet")
    return root.as_uri()


def test_forecasts_of_whole_months_are_evaluated_without_saying_it_again(tmp_path: Path) -> None:
    bucket = write_parts(tmp_path, 25)
    gigacast.forecast(bucket, partition_by="month", **NAIVE)
    write_parts(tmp_path, 28)
    unsaid = gigacast.evaluate(bucket)
    said = gigacast.evaluate(bucket, partition_by="month")
    assert unsaid.matched == 2 * 3
    assert unsaid.figures == said.figures


def test_forecasts_whose_names_the_settings_do_not_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = write_parts(tmp_path, 25)
    with pytest.warns(UserWarning, match="share items"):
        gigacast.forecast(bucket, **NAIVE)
    pattern = "parquet_loader:\n  file_patterns:\n    panel_regex: '{}'\n"
    settings = tmp_path / "names.yaml"
    settings.write_text(pattern.format(r"(?P<stem>part-0)\.(?P<extension>parquet)"))
    with pytest.warns(UserWarning, match=r"1 forecast is not evaluated.*part-1.*config="):
        assert len(gigacast.evaluate(bucket, config=settings).passed_over) == 1
    assert run(["evaluate", "--bucket", bucket, "--config", str(settings)]) == 0
    assert "1 forecast is not evaluated" in " ".join(capsys.readouterr().out.split())
    settings.write_text(pattern.format(r"(?P<stem>shop-0)\.(?P<extension>parquet)"))
    with pytest.raises(DataNotFoundError, match="2 forecasts are not evaluated"):
        gigacast.evaluate(bucket, config=settings)


def test_a_backtest_of_items_over_several_objects_warns_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = write_parts(tmp_path, 28)
    with pytest.warns(UserWarning, match="share items, such as 'a'.*partition_by=.month"):
        result = gigacast.backtest(bucket, **NAIVE)
    assert len(result.problems) == 1
    together = gigacast.backtest(bucket, partition_by="month", **NAIVE)
    assert together.problems == ()
    assert run(["backtest", "--bucket", bucket, "--model", "seasonal-naive", "--horizon", "3"]) == 0
    assert "share items, such as" in " ".join(capsys.readouterr().out.split())
