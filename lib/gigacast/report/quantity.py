"""Numbers as people read them."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def count(number: float) -> str:
    """Return ``1,234,567``."""
    return f"{round(number):,}"


def duration(seconds: float) -> str:
    """Return ``0.42 s``, ``12.3 s``, ``2m 05s`` or ``3h 07m``: two parts at most."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24:02d}h"


def size(size_bytes: float) -> str:
    """Return ``417 B``, ``1.2 MB``, ``38 GB``: powers of 1000, as stores bill."""
    for unit in _UNITS:
        if size_bytes < 999.5 or unit == _UNITS[-1]:
            break
        size_bytes /= 1000
    digits = 1 if size_bytes < 9.95 and unit != "B" else 0
    return f"{size_bytes:,.{digits}f} {unit}"


def rate(number: float, seconds: float) -> str:
    """Return ``2,410`` per second, with a decimal where it is small; ``-`` before time passes."""
    if seconds <= 0:
        return "-"
    per_second = number / seconds
    return f"{per_second:,.1f}" if 0 < per_second < 10 else count(per_second)


def dollars(amount: float | None) -> str:
    """Return ``$1,204``, ``$3.70``, ``$0.0042``: two digits at least; ``-`` for what is unknown."""
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
