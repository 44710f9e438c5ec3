"""A grid of characters with lines in braille dots or in ASCII."""

from dataclasses import dataclass
from math import nan

import numpy as np

from gigacast.core.array import RealArray

_BRAILLE = 0x2800
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bit of each dot of a braille character, as [row, column]; Unicode 16.0, chapter 21.1."""


@dataclass(frozen=True, slots=True)
class Ink:
    """How something is drawn.

    Parameters
    ----------
    character : str
        Character that fills a cell; in ASCII also the character of lines.
    style : str
        SGR parameters for a terminal with colours, as ``1;36``.
    """

    character: str
    style: str = ""

    def paint(self, n: int, *, color: bool) -> str:
        """Return ``n`` of its characters."""
        text = self.character * n
        return f"\x1b[0;{self.style}m{text}\x1b[0m" if color and self.style else text


class Canvas:
    """``height`` rows of ``width`` cells; positions are fractions of both, from the top left.

    Later ink covers earlier ink, cell by cell; lines of the same ink join their dots.

    Parameters
    ----------
    width, height : int
        Size in characters.
    is_braille : bool
        Draw lines with the 2 x 4 dots of braille characters, else one character per cell.
    """

    def __init__(self, width: int, height: int, *, is_braille: bool) -> None:
        self.width = width
        self.height = height
        self._per_cell = (2, 4) if is_braille else (1, 1)
        self._cells = [[" "] * width for _ in range(height)]
        self._inks: list[list[Ink | None]] = [[None] * width for _ in range(height)]

    def fill(self, x: RealArray, low: RealArray, high: RealArray, ink: Ink) -> None:
        """Fill between two curves, [N] points each; every column with at least one cell."""
        # A band is sampled at the middle of each column.
        columns = (np.arange(self.width) + 0.5) / self.width
        for column in range(self.width):
            top, bottom = (np.interp(columns[column], x, y, nan, nan) for y in (high, low))
            if np.isfinite(top + bottom):
                first = min(int(top * self.height + 0.5), self.height - 1)
                # At least one row, so that a narrow band stays visible.
                last = max(int(bottom * self.height + 0.5), first + 1)
                for row in range(first, min(last, self.height)):
                    self.put(column, row, ink)

    def line(self, x: RealArray, y: RealArray, ink: Ink, *, is_thick: bool = False) -> None:
        """Draw a curve through [N] points; it breaks where ``y`` is NaN."""
        across, down = self.width * self._per_cell[0], self.height * self._per_cell[1]
        # Position 1 is the edge, just outside of the last cell.
        dots_x = np.minimum(x * across, across - 1)
        dots_y = np.minimum(y * down, down - 1)
        dots = np.zeros((down, across), dtype=bool)
        is_finite = np.isfinite(dots_y)
        dots[dots_y[is_finite].astype(int), dots_x[is_finite].astype(int)] = True
        for i in np.flatnonzero(is_finite[1:] & is_finite[:-1]):
            steps = int(max(abs(dots_x[i + 1] - dots_x[i]), abs(dots_y[i + 1] - dots_y[i]))) + 1
            xs, ys = (np.linspace(v[i], v[i + 1], steps + 1).astype(int) for v in (dots_x, dots_y))
            dots[ys, xs] = True
        if is_thick and self._per_cell[1] > 1:
            dots[1:] |= dots[:-1]  # each dot and the one below it
        self._stamp(dots, ink)

    def marks(self, x: RealArray, y: RealArray, ink: Ink) -> None:
        """Put a mark at each of [N] points that is known."""
        for i in np.flatnonzero(np.isfinite(y)):
            column, row = int(x[i] * self.width), int(y[i] * self.height)
            self.put(min(column, self.width - 1), min(row, self.height - 1), ink)

    def upright(self, x: float, ink: Ink) -> None:
        """Draw a vertical line in the cells that are still empty."""
        column = min(int(x * self.width), self.width - 1)
        for row in range(self.height):
            if self._inks[row][column] is None:
                self.put(column, row, ink)

    def put(self, column: int, row: int, ink: Ink) -> None:
        """Put the ink's character into a cell."""
        self._cells[row][column] = ink.character
        self._inks[row][column] = ink

    def rows(self, *, color: bool) -> list[str]:
        """Return the rows as text."""
        return [
            "".join(self._pieces(row)) if color else "".join(self._cells[row])
            for row in range(self.height)
        ]

    def _stamp(self, dots: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]", ink: Ink) -> None:
        wide, tall = self._per_cell
        by_cell = dots.reshape(self.height, tall, self.width, wide)
        for row, column in np.argwhere(by_cell.any(axis=(1, 3))).tolist():
            self.put(column, row, ink)
            if tall > 1:
                bits = int((_DOTS * by_cell[row, :, column, :]).sum())
                self._cells[row][column] = chr(_BRAILLE + bits)

    def _pieces(self, row: int) -> list[str]:
        pieces, current = [], ""
        for cell, ink in zip(self._cells[row], self._inks[row], strict=True):
            style = ink.style if ink else ""
            if style != current:
                pieces.append("\x1b[0m" if not style else f"\x1b[0;{style}m")
            pieces.append(cell)
            current = style
        return [*pieces, "\x1b[0m"] if current else pieces
