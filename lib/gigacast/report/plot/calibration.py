"""Calibration as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gigacast.report.plot.figure import MUTED, STYLE

_INCHES = (5.2, 5.4)
_COLOURS = ("#0b62a8", "#d9480f", "#2b8a3e", "#862e9c", "#b08800", "#c2255c", "#0c8599", "#5f3dc4")
_SHAPES = "osD^vPX*"


def save_calibration_figure(
    path: str | Path,
    levels: Sequence[float],
    coverage: Mapping[str, Sequence[float]],
    *,
    dpi: int = 160,
) -> None:
    """Draw the share of actuals at or below each quantile against its level.

    Parameters
    ----------
    path : str or Path
        File to write: PNG, SVG or PDF by its ending.
    levels : sequence of float
        Quantile levels, Q of them.
    coverage : mapping of str to sequence of float
        Shares by model, one per level; equal to the levels for a calibrated model.
    dpi : int
        Pixels per inch.

    Raises
    ------
    ValueError
        If there is no model, or a model has another number of shares than levels.
    """
    if not coverage or any(len(shares) != len(levels) for shares in coverage.values()):
        raise ValueError("a share per level and model is needed")
    import matplotlib as mpl  # noqa: PLC0415 - half a second, for those who want a picture
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=_INCHES, layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=MUTED, lw=0.9, ls=(0, (4, 3)), label="Calibrated")
        for place, (model, shares) in enumerate(coverage.items()):
            look = {"color": _COLOURS[place % len(_COLOURS)], "lw": 1.4, "ms": 4.5}
            axis.plot(levels, shares, marker=_SHAPES[place % len(_SHAPES)], label=model, **look)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Quantile level")
        axis.set_title("Share of actuals at or below the quantile")
        figure.legend(loc="outside lower center", ncols=1)
        figure.savefig(path, dpi=dpi)
