"""Figures of documents as pictures."""

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gigacast.core.array import AnyArray
from gigacast.core.local_file import write_whole
from gigacast.errors import ConfigError
from gigacast.report.document import Curve, Figure, Scale
from gigacast.report.plot.date_axis import date_ticks
from gigacast.report.plot.palette import LIGHT

_INK, _MUTED, _GRID = LIGHT.ink, LIGHT.muted, LIGHT.line
_CONTEXT, _FORECAST, _ACTUAL = LIGHT.history, LIGHT.forecast, LIGHT.actual
_AHEAD, _COLOURS = LIGHT.raised, LIGHT.compared
_TIME_TICKS = 6
_MOST_DOTS = 48
"""Maximum steps whose actuals are drawn as dots; more would run into each other."""
_DOTS = {"ls": "", "marker": "o", "ms": 4.2, "mec": "white", "mew": 0.7}
_LINE = {"lw": 1.1}
_PANEL_INCHES = (6.4, 2.9)
_WIDE_INCHES = (9.0, 4.2)
_SQUARE_INCHES = (5.2, 4.8)
_SHAPES = "osD^vPX*"
"""Marks of the lines that are compared; a print without colours shows them."""
_STYLE = {
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
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
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


def save_figures(
    path: str | Path | BinaryIO, figures: Sequence[Figure], *, title: str = "", dpi: int = 160
) -> None:
    """Draw figures of a document into a PNG (or SVG, PDF: by the ending of ``path``).

    Parameters
    ----------
    path : str, Path or binary file
        File to write; an open one gets a PNG.
    figures : sequence of Figure
        A single one fills the picture, several are small multiples.
    title : str
        Title above all figures.
    dpi : int
        Pixels per inch.

    Raises
    ------
    ConfigError
        If no picture has this ending, or the file cannot be written.
    ValueError
        If there is no figure.
    """
    if not figures:
        raise ValueError("no figure to draw")
    if isinstance(path, str | Path):
        _save_file(Path(path), figures, title, dpi)
    else:
        _render(path, figures, title, dpi, "png")


def _render(stream: BinaryIO, figures: Sequence[Figure], title: str, dpi: int, ending: str) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - half a second, for those who want a picture
    from matplotlib.figure import Figure as Sheet  # noqa: PLC0415

    rows, columns = _grid(len(figures))
    with mpl.rc_context(_STYLE):
        sheet: Any = Sheet(figsize=_inches(figures), layout="constrained")
        sheet.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.02, hspace=0.04)
        axes = sheet.subplots(rows, columns, squeeze=False).ravel()
        for axis, figure in zip(axes, figures, strict=False):
            _draw(axis, figure)
        for axis in axes[len(figures) :]:
            axis.set_axis_off()
        is_square = all(figure.scale is Scale.SHARE for figure in figures)
        # Names of models are long, those of a forecast's curves are short.
        _legend(sheet, axes[: len(figures)], columns=1 if is_square else None)
        if title:
            sheet.suptitle(
                title, parse_math=False, x=0.012, ha="left", fontsize=13, fontweight="bold"
            )
        with warnings.catch_warnings():
            # Characters that the font lacks become boxes; a warning for each would be noise.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            sheet.savefig(stream, dpi=dpi, format=ending)


def _save_file(path: Path, figures: Sequence[Figure], title: str, dpi: int) -> None:
    content = io.BytesIO()
    try:
        _render(content, figures, title, dpi, path.suffix.removeprefix(".").lower() or "png")
    except ValueError as error:
        raise ConfigError(
            f"{path} can't be written: {error}", hint="end its name in .png, .svg or .pdf"
        ) from error
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}") from error


def _grid(n_figures: int) -> tuple[int, int]:
    columns = 1 if n_figures < 2 else 2 if n_figures < 7 else 3
    return math.ceil(n_figures / columns), columns


def _inches(figures: Sequence[Figure]) -> tuple[float, float]:
    rows, columns = _grid(len(figures))
    if all(figure.scale is Scale.SHARE for figure in figures):
        width, height = _SQUARE_INCHES
    else:
        width, height = _WIDE_INCHES if len(figures) == 1 else _PANEL_INCHES
    return width * columns, height * rows + 0.6


def _draw(axis: Any, figure: Figure) -> None:
    x = _positions(figure)
    _draw_forecast(axis, figure, x)
    for curve in figure.of_role("guide"):
        axis.plot(x, curve.values, color=_MUTED, lw=0.9, ls=(0, (4, 3)), label=_name(curve))
    for place, curve in enumerate(figure.of_role("line")):
        look = {"color": _COLOURS[place % len(_COLOURS)], "lw": 1.4, "ms": 4.5}
        axis.plot(x, curve.values, marker=_SHAPES[place % len(_SHAPES)], label=curve.name, **look)
    # Titles hold item ids, in which a dollar sign does not begin a formula.
    axis.set_title(figure.title, parse_math=False)
    axis.set_xlabel(figure.x_name, parse_math=False)
    axis.set_ylabel(figure.y_name, parse_math=False)
    if figure.scale is Scale.SHARE:
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    else:
        _label_axes(axis, figure)


def _positions(figure: Figure) -> AnyArray:
    """Return the positions of a figure: times as datetime64, others as numbers; [N]."""
    if figure.places is None:
        return np.arange(len(figure.x), dtype=np.float64)
    places = np.asarray(figure.places, dtype=np.float64)
    if figure.scale is Scale.TIME:
        return (places * 1e6).round().astype(np.int64).astype("datetime64[us]")
    return places


def _draw_forecast(axis: Any, figure: Figure, x: AnyArray) -> None:
    border, end = figure.border, len(x)
    histories = figure.of_role("history")
    for curve in histories:
        look = {"color": _CONTEXT, "lw": 1.2, "zorder": 3}
        axis.plot(x[:border], curve.values[:border], label=_name(curve), **look)
    for curve in figure.of_role("actual"):
        marks: dict[str, Any] = _DOTS if end - border <= _MOST_DOTS else _LINE
        values = curve.values[border:]
        axis.plot(x[border:], values, color=_ACTUAL, label=_name(curve), zorder=5, **marks)
    for curve in figure.of_role("forecast"):
        # From the last observation on, so that the eye can follow.
        before = [value for past in histories[:1] for value in past.values[border - 1 : border]]
        heights = [*before, *curve.values[border:]]
        look = {"color": _FORECAST, "lw": 1.8, "zorder": 4}
        axis.plot(x[end - len(heights) :], heights, label=_name(curve), **look)
    _draw_bands(axis, figure, x)
    if 0 < border < end:
        middle = x[border - 1] + (x[border] - x[border - 1]) / 2
        axis.axvspan(middle, x[-1], color=_AHEAD, lw=0, zorder=0)
        axis.axvline(middle, color=_MUTED, lw=0.8, ls=(0, (4, 3)), zorder=2)


def _draw_bands(axis: Any, figure: Figure, x: AnyArray) -> None:
    bands = figure.of_role("band")
    for i, band in enumerate(bands):
        lower = band.values if band.lower is None else band.lower
        axis.fill_between(
            x[figure.border :],
            lower[figure.border :],
            band.values[figure.border :],
            color=_tint(0.22 + 0.5 * i / max(len(bands), 1)),
            lw=0,
            label=f"{band.name} interval" if i in (0, len(bands) - 1) else None,
            zorder=1 + i / 100,
        )


def _name(curve: Curve) -> str:
    return curve.name[:1].upper() + curve.name[1:]


def _tint(strength: float) -> tuple[float, ...]:
    """Mix the forecast's colour with white: opaque, so that bands do not add up."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    return tuple(1 - strength * (1 - part) for part in to_rgb(_FORECAST))


def _label_axes(axis: Any, figure: Figure) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415

    if figure.scale is Scale.TIME:
        _label_times(axis, figure)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    low, high = axis.get_ylim()
    if 1e4 <= max(abs(low), abs(high)) < 1e15:
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))


def _label_times(axis: Any, figure: Figure) -> None:
    # The ticks of matplotlib are days and hours with the month of the last of them beside the
    # axis: it is another month than that of the first ones. Ours name their own.
    places = figure.places or (0.0,)
    ticks = date_ticks(places[0], places[-1], _TIME_TICKS)
    times = [np.datetime64(int(tick.place * 1e6), "us") for tick in ticks]
    axis.set_xticks(times, [f"{tick.label}\n{tick.below}" for tick in ticks])


def _legend(sheet: Any, axes: Iterable[Any], columns: int | None) -> None:
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    sheet.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=columns or len(entries)
    )
