"""A forecast drawn with characters. A pure function of a panel."""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import RealArray
from gigacast.report.plot.axis import nice_ticks, tick_labels, time_labels, value_range
from gigacast.report.plot.canvas import Canvas, Ink
from gigacast.report.plot.panel import Band, ForecastPanel

_ROWS_PER_TICK = 4


@dataclass(frozen=True, slots=True)
class Palette:
    """The characters and colours of a plot."""

    context: Ink
    median: Ink
    outer: Ink
    inner: Ink
    actual: Ink
    now: Ink
    corner: str
    floor: str
    wall: str
    tick: str
    notch: str
    is_braille: bool


UNICODE = Palette(
    context=Ink("⠒"),
    median=Ink("⠶", "1;36"),
    outer=Ink("░", "34"),
    inner=Ink("▒", "34"),
    actual=Ink("•", "1;33"),
    now=Ink("┊", "2"),
    corner="└",
    floor="─",
    wall="│",
    tick="┤",
    notch="┬",
    is_braille=True,
)
ASCII = Palette(
    context=Ink("*"),
    median=Ink("#", "1;36"),
    outer=Ink(".", "34"),
    inner=Ink(":", "34"),
    actual=Ink("o", "1;33"),
    now=Ink("|", "2"),
    corner="+",
    floor="-",
    wall="|",
    tick="+",
    notch="+",
    is_braille=False,
)


def terminal_plot(
    panel: ForecastPanel,
    *,
    width: int = 80,
    height: int = 16,
    palette: Palette = UNICODE,
    color: bool = False,
    context_steps: int | None = None,
) -> str:
    """Draw a forecast: context, median, the widest and a middle band, actuals where known.

    Parameters
    ----------
    panel : ForecastPanel
        What to draw.
    width, height : int
        Size of the whole in characters; title, axis and legend take four rows of it.
    palette : Palette
        `UNICODE`, or `ASCII` where the terminal knows no other.
    color : bool
        With ANSI colours.
    context_steps : int, optional
        How much of the context to show; by default as `ForecastPanel.last` says.

    Returns
    -------
    str
        Lines without trailing spaces, at most ``width`` wide (the title may be wider).
    """
    shown = panel.last(context_steps)
    lines = [
        "".join(letter if letter.isprintable() else "?" for letter in panel.title),
        *_body(shown, palette, width, max(height - 4, 3), color),
        _legend(shown, palette, color),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _body(
    panel: ForecastPanel, palette: Palette, width: int, height: int, color: bool
) -> list[str]:
    span = value_range(np.concatenate(_curves(panel)))
    if span is None:
        return ["  (no finite value to draw)"]
    low, high = span
    ticks = nice_ticks(low, high, max(2, height // _ROWS_PER_TICK))
    labels = tick_labels(ticks)
    margin = max(map(len, labels))
    canvas = Canvas(max(width - margin - 2, 1), height, is_braille=palette.is_braille)
    _draw(canvas, panel, palette, span)
    rows = [min(int((high - tick) / (high - low) * height), height - 1) for tick in ticks]
    label_of = dict(zip(rows, labels, strict=True))
    return [
        *(
            f"{label_of.get(i, '').rjust(margin)} {palette.tick if i in label_of else palette.wall}"
            f"{row}"
            for i, row in enumerate(canvas.rows(color=color))
        ),
        *_floor(panel, palette, canvas.width, margin + 1),
    ]


def _shaded(panel: ForecastPanel) -> list[Band]:
    # Two shades can be told apart: the widest band, and the one nearest to a half of it.
    bands = panel.bands()
    inner = [min(bands[1:], key=lambda band: abs(band.share - 0.5))] if bands[1:] else []
    return [*bands[:1], *inner]


def _curves(panel: ForecastPanel) -> list[RealArray]:
    edges = [edge for band in _shaded(panel) for edge in (band.low, band.high)]
    actuals = [] if panel.actuals is None else [panel.actuals]
    return [panel.context, panel.median, *edges, *actuals]


def _places(panel: ForecastPanel) -> RealArray:
    """Return where each step is between the left and the right edge: from 0 to 1, [T + H]."""
    n_steps = len(panel.context) + len(panel.times)
    return (np.arange(n_steps) + 0.5) / n_steps


def _draw(
    canvas: Canvas, panel: ForecastPanel, palette: Palette, span: tuple[float, float]
) -> None:
    low, high = span

    def y(values: RealArray) -> RealArray:
        return (high - np.asarray(values, dtype=np.float64)) / (high - low)

    x, now = _places(panel), len(panel.context)
    if len(panel.times):
        for band, ink in zip(_shaded(panel), (palette.outer, palette.inner), strict=False):
            canvas.fill(x[now:], y(band.low), y(band.high), ink)
        if now:
            canvas.upright(now / len(x), palette.now)
    canvas.line(x[:now], y(panel.context), palette.context)
    joined = max(now - 1, 0)  # from the last observation on, so that the eye can follow
    median = y(np.concatenate([panel.context[joined:], panel.median]))

    def draw_median() -> None:
        canvas.line(x[joined:], median, palette.median, is_thick=True)

    def draw_actuals() -> None:
        if panel.actuals is not None:
            canvas.marks(x[now:], y(panel.actuals), palette.actual)

    order = (draw_median, draw_actuals)
    for draw in order if len(x) <= canvas.width else reversed(order):  # dense marks would hide it
        draw()


def _floor(panel: ForecastPanel, palette: Palette, width: int, margin: int) -> list[str]:
    labels = time_labels(np.concatenate([panel.context_times, panel.times]))
    axis, text = [palette.floor] * width, [" "] * width
    last = len(labels) - 1
    for i in dict.fromkeys((0, last, min(len(panel.context), last))):
        column = min(int(_places(panel)[i] * width), width - 1)
        start = round(column - len(labels[i]) * i / max(last, 1))
        end = start + len(labels[i])
        is_free = not "".join(text[max(start - 2, 0) : end + 2]).strip()
        if start >= 0 and end <= width and is_free:
            axis[column] = palette.notch
            text[start:end] = labels[i]
    pad = " " * margin
    return [f"{pad}{palette.corner}{''.join(axis)}", f"{pad} {''.join(text)}"]


def _legend(panel: ForecastPanel, palette: Palette, color: bool) -> str:
    inks = [palette.context, palette.median, palette.outer, palette.inner]
    names = ["context", "median", *(band.label for band in _shaded(panel))]
    entries = list(zip(inks, names, strict=False))
    if panel.actuals is not None:
        entries.append((palette.actual, "actual"))
    return "   " + "   ".join(f"{ink.paint(2, color=color)} {name}" for ink, name in entries)
