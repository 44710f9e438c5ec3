"""Numbers, and typed values of documents, as people read them."""

import math

from gigacast.report.document import Cell, Kind

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def count(number: float) -> str:
    """Return ``1,234,567``."""
    return f"{round(number):,}"


def percent(share: float, digits: int | None = None) -> str:
    """Return ``12.34%``; by default ``0`` only for zero itself, ``<0.01%`` for less than shown."""
    if digits is not None:
        return f"{share:.{digits}%}"
    if share == 0:
        return "0"
    return f"{share:.2%}" if abs(share) >= 5e-5 else "<0.01%"


def duration(seconds: float) -> str:
    """Return ``0.42 s``, ``12.3 s``, ``2m 05s`` or ``3h 07m``: two parts at most."""
    # Bounds are those of the rounded text: 59.95 would be shown as 60.0 s.
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, remainder = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {remainder:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24:02d}h"


def size(size_bytes: float) -> str:
    """Return ``417 B``, ``1.2 MB``, ``38 GB``: powers of 1000, as stores bill."""
    for unit in _UNITS:
        # 999.5 would be rounded to 1,000 of the unit.
        if size_bytes < 999.5 or unit == _UNITS[-1]:
            break
        size_bytes /= 1000
    digits = 1 if size_bytes < 9.95 and unit != "B" else 0
    return f"{size_bytes:,.{digits}f} {unit}"


def rate(number: float, seconds: float) -> str:
    """Return ``2,410`` per second, with a decimal below 10; ``-`` before any time has passed."""
    if seconds <= 0:
        return "-"
    per_second = number / seconds
    return f"{per_second:,.1f}" if 0 < per_second < 10 else count(per_second)


def dollars(amount: float | None) -> str:
    """Return ``$1,204``, ``$3.70``, ``$0.0042``: two digits at least; ``-`` if unknown."""
    if amount is None:
        return "-"
    if amount >= 999.5:
        return f"${amount:,.0f}"
    if amount >= 0.0995 or amount == 0:
        return f"${amount:.2f}"
    return f"${amount:.2g}" if amount >= 1e-4 else "under $0.0001"


def short(number: float) -> str:
    """Return four digits, or all before the point: ``0.0123``, ``12.3``, ``12,345``, ``3e-09``."""
    magnitude = abs(number)
    if 1e4 <= magnitude < 1e12:
        return count(number)
    if magnitude == 0 or 1e-4 <= magnitude < 1e4:
        return f"{number:.4g}"
    return f"{number:.3g}"


def text_of(value: Cell, kind: Kind, digits: int | None = None) -> str:
    """Return the text of a typed value; empty for ``None`` and NaN, text as it is.

    Parameters
    ----------
    value : str, int, float or None
        In base units: bytes, seconds, dollars, a share of 1.
    kind : Kind
        Its type. A date is ISO text, shown to the second.
    digits : int, optional
        Decimals of a percentage.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value[:19] if kind is Kind.DATE else value
    if kind is Kind.PERCENT:
        return percent(value, digits)
    write = _WRITERS.get(kind, count if isinstance(value, int) else short)
    return write(value)


_WRITERS = {
    Kind.COUNT: count,
    Kind.SIZE: size,
    Kind.DURATION: duration,
    Kind.DOLLARS: dollars,
}
