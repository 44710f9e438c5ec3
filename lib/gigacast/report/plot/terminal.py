"""Figures of forecasts drawn with characters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import RealArray
from gigacast.report.document import Curve, Figure, Scale
from gigacast.report.layout import text_width
from gigacast.report.plot.axis import ValueRange, nice_ticks, tick_labels, value_range
from gigacast.report.plot.canvas import Canvas, Ink

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
    guide: Ink
    marks: str
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
    guide=Ink("⠒", "2"),
    marks="●■▲◆○□△◇",
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
    guide=Ink(".", "2"),
    marks="ox#*@%&$",
    is_braille=False,
)


def draw_figure(
    figure: Figure,
    *,
    width: int = 80,
    height: int = 16,
    palette: Palette = UNICODE,
    color: bool = False,
) -> str:
    """Draw a figure: of a forecast the history, median, two bands and actuals; lines with marks.

    Parameters
    ----------
    figure : Figure
        Curves over N positions.
    width, height : int
        Size in characters; title, axis and legend take four rows of it or more.
    palette : Palette
        `UNICODE`, or `ASCII` for terminals without braille characters.
    color : bool
        Draw with ANSI colours.

    Returns
    -------
    str
        Lines without trailing spaces, at most ``width`` wide; the title and a single name of the
        legend may be wider.
    """
    # Cells are about twice as high as wide: shares keep their proportions on both axes.
    across = min(width, 4 * height) if figure.scale is Scale.SHARE else width
    legend = _legend(figure, palette, width, color)
    rows = max(height - 3 - len(legend), 3)
    lines = [figure.title, *_body(figure, palette, across, rows, color), *legend]
    return "\n".join(line.rstrip() for line in lines)


def _body(figure: Figure, palette: Palette, width: int, height: int, color: bool) -> list[str]:
    curves = _drawn(figure)
    edges = [values for c in curves for values in (c.values, c.lower) if values is not None]
    span = value_range(np.concatenate([np.asarray(values, np.float64) for values in edges]))
    if span is None:
        return ["  (no finite value to draw)"]
    low, high = span
    ticks = nice_ticks(low, high, max(2, height // _ROWS_PER_TICK))
    labels = tick_labels(ticks)
    margin = max(map(len, labels))
    canvas = Canvas(max(width - margin - 2, 1), height, is_braille=palette.is_braille)
    _draw(canvas, figure, palette, span)
    rows = [min(int((high - tick) / (high - low) * height), height - 1) for tick in ticks]
    label_of = dict(zip(rows, labels, strict=True))
    return [
        *(
            f"{label_of.get(i, '').rjust(margin)} {palette.tick if i in label_of else palette.wall}"
            f"{row}"
            for i, row in enumerate(canvas.rows(color=color))
        ),
        *_floor(figure, palette, canvas.width, margin + 1),
    ]


def _shaded(figure: Figure) -> list[Curve]:
    # Two shades can be told apart: the widest band, and the one nearest to a half of outcomes.
    bands = figure.of_role("band")
    inner = [min(bands[1:], key=lambda band: abs(band.share - 0.5))] if bands[1:] else []
    return [*bands[:1], *inner]


def _drawn(figure: Figure) -> list[Curve]:
    lines = [curve for curve in figure.curves if curve.role != "band"]
    return [*lines, *_shaded(figure)]


def _places(figure: Figure) -> RealArray:
    """Return the position of each step between the left edge, 0, and the right edge, 1: [N]."""
    if figure.scale is Scale.SHARE and figure.places is not None:
        return np.asarray(figure.places, dtype=np.float64)
    return (np.arange(len(figure.x)) + 0.5) / len(figure.x)


def _draw(canvas: Canvas, figure: Figure, palette: Palette, span: ValueRange) -> None:
    low, high = span

    def y(values: Sequence[float]) -> RealArray:
        return (high - np.asarray(values, dtype=np.float64)) / (high - low)

    x, border = _places(figure), figure.border
    history = [y(curve.values)[:border] for curve in figure.of_role("history")]
    for band, ink in zip(_shaded(figure), (palette.outer, palette.inner), strict=False):
        lower = band.values if band.lower is None else band.lower
        canvas.fill(x[border:], y(lower)[border:], y(band.values)[border:], ink)
    if 0 < border < len(x):
        canvas.upright(border / len(x), palette.now)
    for past in history:
        canvas.line(x[:border], past, palette.context)

    def draw_forecast() -> None:
        # From the last observation on, so that the eye can follow.
        last = [past[-1:] for past in history[:1]]
        for curve in figure.of_role("forecast"):
            heights = np.concatenate([*last, y(curve.values)[border:]])
            canvas.line(x[len(x) - len(heights) :], heights, palette.median, is_thick=True)

    def draw_actuals() -> None:
        for curve in figure.of_role("actual"):
            canvas.marks(x[border:], y(curve.values)[border:], palette.actual)

    # Later strokes cover earlier ones. Actuals of a long horizon would hide the median.
    order = (draw_forecast, draw_actuals)
    for draw in order if len(x) <= canvas.width else reversed(order):
        draw()
    _draw_lines(canvas, figure, palette, y)


def _draw_lines(
    canvas: Canvas, figure: Figure, palette: Palette, y: Callable[[Sequence[float]], RealArray]
) -> None:
    """Draw the lines that are compared, each with its mark, above their guide."""
    x = _places(figure)
    for curve in figure.of_role("guide"):
        canvas.line(x, y(curve.values), palette.guide)
    marked = _marked(figure, palette)
    for ink, curve in marked:
        canvas.line(x, y(curve.values), ink)
    # Marks last: a line must not cover the marks of another.
    for ink, curve in marked:
        canvas.marks(x, y(curve.values), ink)


def _marked(figure: Figure, palette: Palette) -> list[tuple[Ink, Curve]]:
    """Return each line to be compared with its mark and colour."""
    lines, marks = figure.of_role("line"), palette.marks
    styles = [f"1;{31 + place % 6}" for place in range(len(lines))]
    return [
        (Ink(marks[place % len(marks)], style), line)
        for place, (style, line) in enumerate(zip(styles, lines, strict=True))
    ]


def _floor(figure: Figure, palette: Palette, width: int, margin: int) -> list[str]:
    labels = figure.x
    axis, text = [palette.floor] * width, [" "] * width
    last = len(labels) - 1
    for i in dict.fromkeys((0, last, min(figure.border, last))):
        column = min(int(_places(figure)[i] * width), width - 1)
        start = round(column - len(labels[i]) * i / max(last, 1))
        end = start + len(labels[i])
        is_free = not "".join(text[max(start - 2, 0) : end + 2]).strip()
        if start >= 0 and end <= width and is_free:
            axis[column] = palette.notch
            text[start:end] = labels[i]
    start = (width - len(figure.x_name)) // 2
    end = start + len(figure.x_name)
    if start >= 0 and not "".join(text[max(start - 2, 0) : end + 2]).strip():
        text[start:end] = figure.x_name
    pad = " " * margin
    return [f"{pad}{palette.corner}{''.join(axis)}", f"{pad} {''.join(text)}"]


def _legend(figure: Figure, palette: Palette, width: int, color: bool) -> list[str]:
    """Return the names of the curves, each after its ink; lines break between names."""
    inks = [palette.context, palette.median, palette.outer, palette.inner]
    lines = [c for role in ("history", "forecast") for c in figure.of_role(role)]
    names = [curve.name for curve in (*lines, *_shaded(figure))]
    entries = list(zip(inks, names, strict=False))
    entries += [(palette.actual, curve.name) for curve in figure.of_role("actual")]
    entries += [(palette.guide, curve.name) for curve in figure.of_role("guide")]
    entries += [(ink, curve.name) for ink, curve in _marked(figure, palette)]
    rows: list[str] = []
    room = 0
    for ink, name in entries:
        text = f"   {ink.paint(2, color=color)} {name}"
        width_of_entry = 6 + text_width(name)
        if width_of_entry > room:
            rows.append("")
            room = width
        rows[-1] += text
        room -= width_of_entry
    return rows
