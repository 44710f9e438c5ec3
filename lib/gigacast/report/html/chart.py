"""Figures as inline SVG that keeps the size of its texts at any width.

Curves are in a square of 1000 by 1000 units that is stretched to the figure; lines keep their
width in it. Texts have places in percent, so that nothing needs a script or a style of its own.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape

import numpy as np

from gigacast.core.array import AnyArray, DoubleArray
from gigacast.core.text import printable
from gigacast.report.document import Curve, Figure, Scale
from gigacast.report.plot.axis import ValueRange, nice_ticks, tick_labels, value_range
from gigacast.report.plot.date_axis import Tick, date_ticks
from gigacast.report.quantity import short

_SIDE = 1000
_PLOT_HEIGHT = 84
"""Percent of a figure's height that curves take; below are the labels of the x axis."""
_WIDEST_LABEL = 9
_MOST_PLACES = 300
"""Positions drawn of a figure, so that a page stays small."""
_MOST_BANDS = 3
_MOST_DOTS = 48
_X_TICKS, _Y_TICKS = 4, 3
_ROOM = 0.07
_UNITS = ("", "k", "M", "G", "T")


def text(value: str) -> str:
    """Return a text, which may come from data, as HTML; for attributes as well."""
    return escape(printable(value), quote=True)


def draw_chart(figure: Figure, *, has_legend: bool = True) -> str:
    """Return a figure as HTML with its title, its legend, and a summary for screen readers."""
    chart = _Chart(figure)
    title = f"<figcaption>{text(figure.title)}</figcaption>" if figure.title else ""
    unit = f'<p class="unit">{text(figure.y_name)}</p>' if figure.y_name else ""
    legend = legend_of(figure) if has_legend else ""
    shape = " square" if figure.scale is Scale.SHARE else ""
    return (
        f'<figure class="chart{shape}">{title}{unit}<div class="frame">{chart.y_axis()}'
        f'<svg class="plot" role="img" aria-label="{text(summary_of(figure))}">'
        f"{''.join(chart.parts())}</svg></div>{legend}</figure>"
    )


def legend_of(figure: Figure) -> str:
    """Return the legend of a figure: a swatch and a name per curve, bands by their edges only."""
    bands = figure.of_role("band")
    middle = {id(band) for band in bands[1:-1]}
    entries = []
    for curve in figure.curves:
        # A figure without a past has a curve for it, too.
        if id(curve) in middle or not np.isfinite(np.asarray(curve.values, np.float64)).any():
            continue
        name = f"{curve.name} interval" if curve.role == "band" else curve.name
        look = _class_of(figure, curve)
        swatch = (
            f'<svg class="swatch" aria-hidden="true" viewBox="0 0 18 10"><path class="{look}" '
            f'd="{_swatch_path(curve)}"/></svg>'
        )
        entries.append(f"<li>{swatch}{text(name)}</li>")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def legend_names(figure: Figure) -> tuple[str, ...]:
    """Return the names and looks of a legend: figures with equal ones can share it."""
    return tuple(f"{_class_of(figure, curve)} {curve.name}" for curve in figure.curves)


def draw_sparkline(values: Sequence[float]) -> str:
    """Return a small line of values, the last one marked; empty for fewer than two."""
    heights = np.asarray(values, np.float64)
    limits = value_range(heights)
    if limits is None or np.isfinite(heights).sum() < 2:
        return ""
    chart = _Scaler(np.arange(len(heights), dtype=np.float64), limits, room=0.12)
    last = int(np.flatnonzero(np.isfinite(heights))[-1])
    dot = f"M{chart.x(np.array([last]))[0]:.0f} {chart.y(heights[last : last + 1])[0]:.0f}h0"
    return (
        f'<svg class="spark" aria-hidden="true" viewBox="0 0 {_SIDE} {_SIDE}" '
        f'preserveAspectRatio="none"><path class="forecast" d="{chart.line(heights)}"/>'
        f'<path class="dot" d="{dot}"/></svg>'
    )


def summary_of(figure: Figure) -> str:
    """Return what a figure shows, in words: its range, and the last value of each curve."""
    parts = [figure.title or "Chart"]
    if figure.x:
        parts.append(f"from {figure.x[0]} to {figure.x[-1]}")
    for curve in figure.curves:
        values = np.asarray(curve.values, np.float64)
        finite = np.flatnonzero(np.isfinite(values))
        if not len(finite) or curve.role == "guide":
            continue
        value = short(float(values[finite[-1]]))
        if curve.lower is not None:
            value = f"{short(float(curve.lower[finite[-1]]))} to {value}"
        parts.append(f"{curve.name} ends at {value}")
    return "; ".join(parts)


class _Scaler:
    """Places and heights as units of the square."""

    def __init__(self, places: DoubleArray, limits: ValueRange, room: float = _ROOM) -> None:
        low, high = (float(places[0]), float(places[-1])) if len(places) else (0.0, 1.0)
        self.x_low, self.x_span = low, (high - low) or 1.0
        pad = (limits.high - limits.low) * room
        self.y_low, self.y_span = limits.low - pad, (limits.high - limits.low) + 2 * pad
        self._places = places

    def x(self, places: AnyArray) -> DoubleArray:
        units: DoubleArray = (places - self.x_low) / self.x_span * _SIDE
        return units

    def y(self, heights: AnyArray) -> DoubleArray:
        units: DoubleArray = _SIDE - (heights - self.y_low) / self.y_span * _SIDE
        return units

    def line(self, heights: DoubleArray) -> str:
        """Return the path of a line, broken where a value is missing."""
        return "".join(
            _path(self.x(self._places[part]), self.y(heights[part])) for part in _runs(heights)
        )

    def dots(self, heights: DoubleArray) -> str:
        """Return the path of a row of points: lines without length have round ends."""
        finite = np.flatnonzero(np.isfinite(heights))
        points = zip(self.x(self._places[finite]), self.y(heights[finite]), strict=True)
        return "".join(f"M{_short(x)} {_short(y)}h0" for x, y in points)

    def band(self, upper: DoubleArray, lower: DoubleArray) -> str:
        """Return the path around a band."""
        return "".join(
            _path(
                np.concatenate([self.x(self._places[part]), self.x(self._places[part])[::-1]]),
                np.concatenate([self.y(upper[part]), self.y(lower[part])[::-1]]),
            )
            + "z"
            for part in _runs(upper + lower)
        )


def _with_few_bands(figure: Figure) -> Figure:
    """Return a figure with its widest, its narrowest and a middle band only."""
    bands = figure.of_role("band")
    if len(bands) <= _MOST_BANDS:
        return figure
    shown = {id(bands[place]) for place in (0, len(bands) // 2, len(bands) - 1)}
    curves = tuple(c for c in figure.curves if c.role != "band" or id(c) in shown)
    return replace(figure, curves=curves)


class _Chart:
    """The parts of one figure."""

    def __init__(self, figure: Figure) -> None:
        figure = _with_few_bands(figure)
        self._figure = figure
        places = figure.places if figure.places is not None else range(len(figure.x))
        self._chosen = _thinned(len(figure.x), figure.border)
        self._all_places = np.asarray(places, np.float64)
        is_share = figure.scale is Scale.SHARE
        limits = ValueRange(0.0, 1.0) if is_share else value_range(self._heights())
        self._limits = limits or ValueRange(0.0, 1.0)
        self._scaler = _Scaler(
            self._all_places[self._chosen], self._limits, room=0.0 if is_share else _ROOM
        )

    def parts(self) -> Iterator[str]:
        yield (
            f'<svg width="100%" height="{_PLOT_HEIGHT}%" viewBox="0 0 {_SIDE} {_SIDE}" '
            'preserveAspectRatio="none" aria-hidden="true">'
        )
        yield from self._ground()
        # Bands below lines, and points on top.
        order = {"band": 0, "guide": 1, "history": 2, "line": 2, "forecast": 3, "actual": 4}
        for curve in sorted(self._figure.curves, key=lambda curve: order[curve.role]):
            yield f'<path class="{_class_of(self._figure, curve)}" d="{self._path(curve)}"/>'
        yield "</svg>"
        yield from self._x_labels()

    def y_axis(self) -> str:
        """Return the labels of the y axis, as wide as they need."""
        ticks = self._y_ticks()
        labels = compact_labels(ticks)
        width = min(max(map(len, labels)), _WIDEST_LABEL)
        texts = []
        for tick, label in zip(ticks, labels, strict=True):
            y = _short(self._scaler.y(np.array([tick]))[0] / _SIDE * _PLOT_HEIGHT)
            texts.append(f'<text class="tick" x="100%" y="{y}%" dy=".32em">{label}</text>')
        return f'<svg class="y y{width}" aria-hidden="true">{"".join(texts)}</svg>'

    def _heights(self) -> DoubleArray:
        edges = [e for c in self._figure.curves for e in (c.values, c.lower) if e is not None]
        return np.concatenate([np.asarray(edge, np.float64) for edge in [[], *edges]])

    def _values(self, values: Sequence[float]) -> DoubleArray:
        return np.asarray(values, np.float64)[self._chosen]

    def _path(self, curve: Curve) -> str:
        values = self._values(curve.values)
        if curve.role == "band" and curve.lower is not None:
            return self._scaler.band(values, self._values(curve.lower))
        if curve.role == "actual" and len(self._figure.x) - self._figure.border <= _MOST_DOTS:
            return self._scaler.dots(values)
        if curve.role == "forecast":
            values = self._joined(values)
        return self._scaler.line(values)

    def _joined(self, values: DoubleArray) -> DoubleArray:
        """Return a forecast that begins at the last observation, so that the eye can follow."""
        border = int(np.searchsorted(self._chosen, self._figure.border))
        histories = self._figure.of_role("history")
        if not histories or not 0 < border < len(values):
            return values
        joined = values.copy()
        joined[border - 1] = self._values(histories[0].values)[border - 1]
        return joined

    def _ground(self) -> Iterator[str]:
        border, places = self._figure.border, self._all_places
        if 0 < border < len(places):
            middle = self._scaler.x(np.array([(places[border - 1] + places[border]) / 2]))[0]
            width = _short(_SIDE - middle)
            yield f'<rect class="ahead" x="{_short(middle)}" width="{width}" height="{_SIDE}"/>'
        rows = [self._scaler.y(np.array([tick]))[0] for tick in self._y_ticks()]
        yield f'<path class="grid" d="{"".join(f"M0 {_short(y)}h{_SIDE}" for y in rows)}"/>'

    def _y_ticks(self) -> list[float]:
        return nice_ticks(self._limits.low, self._limits.high, _Y_TICKS)

    def _x_labels(self) -> Iterator[str]:
        for tick in self._x_ticks():
            share = self._scaler.x(np.array([tick.place]))[0] / _SIDE
            anchor = "start" if share < 0.06 else "end" if share > 0.94 else "middle"
            x = _short(share * 100)
            yield _label(tick.label, x, _PLOT_HEIGHT, 1.4, anchor)
            if tick.below:
                yield _label(tick.below, x, _PLOT_HEIGHT, 2.7, anchor)
        if self._figure.x_name and self._figure.scale is not Scale.TIME:
            yield _label(self._figure.x_name, "50", _PLOT_HEIGHT, 2.7, "middle")

    def _x_ticks(self) -> list[Tick]:
        places = self._all_places
        if not len(places):
            return []
        if self._figure.scale is Scale.TIME:
            return date_ticks(places[0], places[-1], _X_TICKS)
        if self._figure.scale is Scale.SHARE:
            return [Tick(share, f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        count = min(len(places), _X_TICKS)
        chosen = np.unique(np.linspace(0, len(places) - 1, count).round().astype(np.int64))
        return [Tick(float(places[n]), self._figure.x[n]) for n in chosen.tolist()]


def _label(content: str, x: str, y: int, lines: float, anchor: str) -> str:
    """Return a text some lines below a height in percent."""
    place = f'x="{x}%" y="{y}%" dy="{lines}em" text-anchor="{anchor}"'
    return f'<text class="tick" {place}>{text(content)}</text>'


def compact_labels(ticks: list[float]) -> list[str]:
    """Return ticks as text, thousands as ``k``, millions as ``M``."""
    largest = max(map(abs, ticks))
    power = min(int(math.log10(largest)) // 3, len(_UNITS) - 1) if largest >= 1e4 else 0
    labels = tick_labels([tick / 1000**power for tick in ticks])
    return [f"{label}{_UNITS[power]}" for label in labels]


def _thinned(count: int, border: int) -> AnyArray:
    """Return the indices of the positions to draw; those around the border are among them."""
    if count <= _MOST_PLACES:
        return np.arange(count)
    even = np.linspace(0, count - 1, _MOST_PLACES).round().astype(np.int64)
    edges = [place for place in (border - 1, border) if 0 <= place < count]
    return np.unique(np.concatenate([even, np.array(edges, np.int64)]))


def _runs(values: DoubleArray) -> Iterable[slice]:
    """Yield the parts of values without a missing one."""
    finite = np.isfinite(values).astype(np.int8)
    edges = np.flatnonzero(np.diff(finite, prepend=0, append=0))
    return (slice(int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _path(x: DoubleArray, y: DoubleArray) -> str:
    points = [f"{_short(a)} {_short(b)}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    # A line through one point has no length: its round ends show it.
    return f"M{points[0]}{'L' + ' '.join(points[1:]) if len(points) > 1 else 'h0'}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _class_of(figure: Figure, curve: Curve) -> str:
    if curve.role == "line":
        return f"line c{_place_of(curve, figure.of_role('line')) % 8}"
    if curve.role == "band":
        bands = figure.of_role("band")
        return f"band b{min(3, 4 * _place_of(curve, bands) // max(len(bands), 1))}"
    if curve.role == "actual" and len(figure.x) - figure.border <= _MOST_DOTS:
        return "actual dots"
    return curve.role


def _place_of(curve: Curve, curves: Sequence[Curve]) -> int:
    # By identity: curves may hold arrays and NaN, whose comparison says nothing.
    return next(place for place, entry in enumerate(curves) if entry is curve)


def _swatch_path(curve: Curve) -> str:
    if curve.role == "band":
        return "M0 0h18v10h-18z"
    return "M9 5h0" if curve.role == "actual" else "M1 5h16"
