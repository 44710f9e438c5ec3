"""Figures of documents as pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gigacast.backtesting.leaderboard.result import calibration_figure
from gigacast.errors import ConfigError
from gigacast.report.document import Figure
from gigacast.report.plot.panel import ForecastPanel
from gigacast.report.plot.picture import save_figures

DAYS = np.datetime64("2014-03-01") + np.arange(30)
WAVE = np.sin(np.arange(30))
BLUE = np.array([11, 98, 168]) / 255
BAND = 0.78 + 0.22 * BLUE


def forecast(title: str = "EURUSD", scale: float = 1.0) -> Figure:
    quantiles = WAVE[20:, None] + np.array([-1, 0, 1])
    return ForecastPanel(
        title, DAYS[:20], scale * WAVE[:20], DAYS[20:], scale * WAVE[20:],
        (0.1, 0.5, 0.9), scale * quantiles, scale * WAVE[20:] + 0.1,
    ).to_figure()  # fmt: skip


def test_one_series_fills_a_picture_with_its_band(tmp_path: Path) -> None:
    save_figures(tmp_path / "one.png", [forecast()], dpi=50)
    pixels = imread(tmp_path / "one.png")
    assert pixels.shape == (240, 450, 4)
    is_band = (abs(pixels[..., :3] - BAND) < 0.01).all(axis=2)
    assert is_band[:, 300:].sum() > 1000
    assert is_band[:150, :220].sum() == 0


def test_several_series_are_small_multiples(tmp_path: Path) -> None:
    save_figures(tmp_path / "many.png", [forecast(str(i)) for i in range(5)], dpi=40)
    assert imread(tmp_path / "many.png").shape == (372, 512, 4)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30, np.nan])
def test_series_of_any_scale_are_drawn(tmp_path: Path, scale: float) -> None:
    save_figures(tmp_path / "one.png", [forecast(scale=scale)], dpi=40)
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_integer_steps_without_quantiles_or_context(tmp_path: Path) -> None:
    steps = np.arange(5)
    bare = ForecastPanel("$x_1 日本", steps[:0], WAVE[:0], steps, WAVE[:5]).to_figure()
    save_figures(tmp_path / "one.png", [bare], title="100 % of $x", dpi=40)
    assert (tmp_path / "one.png").exists()


def test_a_calibrated_model_is_drawn_along_the_diagonal(tmp_path: Path) -> None:
    levels = np.linspace(0.02, 0.98, 49)
    for name, shares in (("good", levels), ("low", levels / 4)):
        save_figures(tmp_path / f"{name}.png", [calibration_figure(levels, {name: shares})], dpi=60)
    heights = []
    for name in ("good", "low"):
        pixels = imread(tmp_path / f"{name}.png")[:260]
        rows, _ = np.nonzero((abs(pixels[..., :3] - BLUE) < 0.02).all(axis=2))
        heights.append(rows.max() - rows.min())
    assert 3 < heights[0] / heights[1] < 5


def test_a_picture_has_the_form_of_its_ending(tmp_path: Path) -> None:
    shares = {"a": (0.2, 0.8), "b": (0.1, 0.7)}
    save_figures(tmp_path / "c.svg", [calibration_figure((0.1, 0.9), shares)])
    assert (tmp_path / "c.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_picture_without_figures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no figure"):
        save_figures(tmp_path / "none.png", [])


def test_a_picture_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("one.xyz", "file/one.png", f"{'x' * 300}.png"):
        with pytest.raises(ConfigError, match="can't be written"):
            save_figures(tmp_path / name, [forecast()], dpi=10)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_matplotlib_is_imported_when_a_picture_is_drawn() -> None:
    code = "import sys, gigacast.report.plot.picture as p; print('matplotlib' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"
