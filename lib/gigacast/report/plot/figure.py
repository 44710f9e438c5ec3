"""Forecasts as a picture."""

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gigacast.core.array import AnyArray
from gigacast.report.plot.panel import ForecastPanel

_INK = "#24292f"
MUTED = "#6e7781"
_GRID = "#e6e8eb"
_CONTEXT = "#3d444d"
_FORECAST = "#0b62a8"
_ACTUAL = "#d9480f"
_AHEAD = "#f4f7fa"
_MAX_DOTS = 48
"""Maximum steps whose actuals are drawn as dots; more would run into each other."""
_DOTS = {"ls": "", "marker": "o", "ms": 4.2, "mec": "white", "mew": 0.7}
_LINE = {"lw": 1.1}
_PANEL_INCHES = (6.4, 2.9)
_WIDE_INCHES = (9.0, 4.2)
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#c4c9cf",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.xmargin": 0.01,
    "axes.ymargin": 0.08,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def save_forecast_figure(
    path: str | Path,
    panels: Sequence[ForecastPanel],
    *,
    title: str = "",
    dpi: int = 160,
    context_steps: int | None = None,
) -> None:
    """Draw one or several series into a PNG (or SVG, PDF: by the ending of ``path``).

    Parameters
    ----------
    path : str or Path
        File to write.
    panels : sequence of ForecastPanel
        Panels; a single one fills the figure, several are small multiples.
    title : str
        Title above all panels.
    dpi : int
        Pixels per inch.
    context_steps : int, optional
        Number of context steps to show; that of `ForecastPanel.last` by default.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("no panel to draw")
    import matplotlib as mpl  # noqa: PLC0415 - half a second, for those who want a picture
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows, columns = _grid(len(panels))
    width, height = _WIDE_INCHES if len(panels) == 1 else _PANEL_INCHES
    with mpl.rc_context(STYLE):
        inches = (width * columns, height * rows + 0.6)
        figure: Any = Figure(figsize=inches, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.02, hspace=0.04)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            _draw(axis, panel.last(context_steps))
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        _legend(figure, axes[: len(panels)])
        if title:
            figure.suptitle(
                title, parse_math=False, x=0.012, ha="left", fontsize=13, fontweight="bold"
            )
        with warnings.catch_warnings():
            # Characters that the font lacks become boxes; a warning for each would be noise.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(path, dpi=dpi)


def _grid(n_panels: int) -> tuple[int, int]:
    columns = 1 if n_panels < 2 else 2 if n_panels < 7 else 3
    return math.ceil(n_panels / columns), columns


def _draw(axis: Any, panel: ForecastPanel) -> None:
    axis.plot(panel.context_times, panel.context, color=_CONTEXT, lw=1.2, label="Context", zorder=3)
    if panel.actuals is not None:
        look = _DOTS if len(panel.times) <= _MAX_DOTS else _LINE
        axis.plot(panel.times, panel.actuals, color=_ACTUAL, label="Actual", zorder=5, **look)
    # From the last observation on, so that the eye can follow.
    times = np.concatenate([panel.context_times[-1:], panel.times])
    median = np.concatenate([panel.context[-1:], panel.median])
    axis.plot(times, median, color=_FORECAST, lw=1.8, label="Median", zorder=4)
    _draw_bands(axis, panel)
    if len(panel.context) and len(panel.times):
        axis.axvspan(_border(panel), panel.times[-1], color=_AHEAD, lw=0, zorder=0)
        axis.axvline(_border(panel), color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=2)
    # Titles hold item ids, in which a dollar sign does not begin a formula.
    axis.set_title(panel.title, parse_math=False)
    _label_times(axis, panel.times if len(panel.times) else panel.context_times)


def _draw_bands(axis: Any, panel: ForecastPanel) -> None:
    bands = panel.bands()
    for i, band in enumerate(bands):
        axis.fill_between(
            panel.times,
            band.low,
            band.high,
            color=_tint(0.22 + 0.5 * i / max(len(bands), 1)),
            lw=0,
            label=f"{band.label} interval" if i in (0, len(bands) - 1) else None,
            zorder=1 + i / 100,
        )


def _tint(strength: float) -> tuple[float, ...]:
    """Mix the forecast's colour with white: opaque, so that bands do not add up."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    return tuple(1 - strength * (1 - part) for part in to_rgb(_FORECAST))


def _border(panel: ForecastPanel) -> Any:
    last, first = panel.context_times[-1], panel.times[0]
    return last + (first - last) / 2


def _label_times(axis: Any, times: AnyArray) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415

    if np.asarray(times).dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axis.xaxis.get_offset_text().set_color(MUTED)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    low, high = axis.get_ylim()
    if 1e4 <= max(abs(low), abs(high)) < 1e15:
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))


def _legend(figure: Any, axes: Iterable[Any]) -> None:
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))
