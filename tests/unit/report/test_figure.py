"""Forecasts as a picture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gigacast.report.plot.figure import save_forecast_figure
from gigacast.report.plot.panel import ForecastPanel

DAYS = np.datetime64("2014-03-01") + np.arange(30)
WAVE = np.sin(np.arange(30))
BAND = 0.78 + 0.22 * np.array([11, 98, 168]) / 255


def panel(title: str = "EURUSD", scale: float = 1.0) -> ForecastPanel:
    quantiles = WAVE[20:, None] + np.array([-1, 0, 1])
    return ForecastPanel(
        title, DAYS[:20], scale * WAVE[:20], DAYS[20:], scale * WAVE[20:],
        (0.1, 0.5, 0.9), scale * quantiles, scale * WAVE[20:] + 0.1,
    )  # fmt: skip


def test_one_series_fills_a_picture_with_its_band(tmp_path: Path) -> None:
    save_forecast_figure(tmp_path / "one.png", [panel()], dpi=50)
    pixels = imread(tmp_path / "one.png")
    assert pixels.shape == (240, 450, 4)
    is_band = (abs(pixels[..., :3] - BAND) < 0.01).all(axis=2)
    assert is_band[:, 300:].sum() > 1000
    assert is_band[:150, :220].sum() == 0


def test_several_series_are_small_multiples(tmp_path: Path) -> None:
    save_forecast_figure(tmp_path / "many.png", [panel(str(i)) for i in range(5)], dpi=40)
    assert imread(tmp_path / "many.png").shape == (372, 512, 4)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30, np.nan])
def test_series_of_any_scale_are_drawn(tmp_path: Path, scale: float) -> None:
    save_forecast_figure(tmp_path / "one.png", [panel(scale=scale)], dpi=40)
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_integer_steps_without_quantiles_or_context(tmp_path: Path) -> None:
    steps = np.arange(5)
    bare = ForecastPanel("$x_1 日本", steps[:0], WAVE[:0], steps, WAVE[:5])
    save_forecast_figure(tmp_path / "one.png", [bare], title="100 % of $x", dpi=40)
    assert (tmp_path / "one.png").exists()


def test_a_figure_without_panels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no panel"):
        save_forecast_figure(tmp_path / "none.png", [])


def test_matplotlib_is_imported_when_a_picture_is_drawn() -> None:
    code = "import sys, gigacast.report.plot.figure as f; print('matplotlib' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"
