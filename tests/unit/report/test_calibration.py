"""Calibration as a picture."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gigacast.report.plot.calibration import save_calibration_figure

BLUE = np.array([11, 98, 168]) / 255


def test_a_model_on_the_diagonal_is_drawn_there(tmp_path: Path) -> None:
    levels = np.linspace(0.02, 0.98, 49)
    save_calibration_figure(tmp_path / "good.png", levels, {"good": levels}, dpi=60)
    save_calibration_figure(tmp_path / "low.png", levels, {"low": levels / 4}, dpi=60)
    heights = []
    for name in ("good", "low"):
        pixels = imread(tmp_path / f"{name}.png")[:260]
        rows, _ = np.nonzero((abs(pixels[..., :3] - BLUE) < 0.02).all(axis=2))
        heights.append(rows.max() - rows.min())
    assert 3 < heights[0] / heights[1] < 5


def test_every_ending_is_drawn(tmp_path: Path) -> None:
    save_calibration_figure(tmp_path / "c.svg", (0.1, 0.9), {"a": (0.2, 0.8), "b": (0.1, 0.7)})
    text = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert text.startswith("<?xml")


@pytest.mark.parametrize("coverage", [{}, {"a": (0.1,)}])
def test_shares_that_do_not_fit_the_levels_are_refused(
    tmp_path: Path, coverage: dict[str, tuple[float, ...]]
) -> None:
    with pytest.raises(ValueError, match="share per level"):
        save_calibration_figure(tmp_path / "c.png", (0.1, 0.9), coverage)
