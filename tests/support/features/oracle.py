"""Features by brute force: plain loops over the rows of a window, with nothing of the product but
its types, for comparison with the kernel and the states.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgpack
import numpy as np

HOUR = 3_600_000
DAY = 24 * HOUR


@dataclass(frozen=True)
class Event:
    """A row of a source: key, time, columns, and whether it takes a row back."""

    key: tuple[Any, ...]
    time: int
    row: Mapping[str, Any]
    reverse: bool = False


@dataclass(frozen=True)
class Feature:
    """What is aggregated, in words of the oracle's own."""

    operation: str
    column: str
    k: int | None = None
    window_ms: int | None = None
    bucket: str | None = None
    element_wise: bool = False
    percentiles: tuple[float, ...] = (0.5,)


def window_start(window_ms: int | None, at: int) -> float:
    if window_ms is None:
        return -math.inf
    hop = DAY if window_ms >= 12 * DAY else HOUR if window_ms >= 12 * HOUR else HOUR // 12
    return math.floor(Fraction(at - window_ms, hop)) * hop


def feature_at(feature: Feature, events: Sequence[Event], key: tuple[Any, ...], at: int) -> Any:
    """Return a feature of a key at a time, from all rows of all keys."""
    if any(part is None for part in key):
        return None
    start = window_start(feature.window_ms, at)
    visible = [event for event in events if event.key == key and start <= event.time < at]
    return feature_of(feature, visible)


def feature_of(feature: Feature, visible: Sequence[Event]) -> Any:
    """Return a feature of the rows of a window."""
    values = [
        (event.time, event.row[feature.column], -1 if event.reverse else 1, event.row)
        for event in visible
        if event.row[feature.column] is not None
    ]
    timed = feature.operation.startswith(("FIRST", "LAST"))
    if feature.element_wise:
        width = len(values[0][1]) if values else 0
        places = [
            simple(feature, [(t, value[n], sign) for t, value, sign, _ in values])
            for n in range(width)
        ]
        return places if any(place is not None for place in places) else None
    grouped: dict[Any, list[tuple[int, Any, int]]] = {}
    for time, value, sign, row in values:
        if isinstance(value, dict) or _is_pairs(value):
            pairs = value.items() if isinstance(value, dict) else value
            for name, item in pairs:
                if item is not None:
                    grouped.setdefault(name, []).append((time, item, sign))
            continue
        group = row[feature.bucket] if feature.bucket else "all"
        if group is None:
            continue
        flat = value if isinstance(value, list) and not timed else [value]
        for item in flat:
            if item is not None:
                grouped.setdefault(group, []).append((time, item, sign))
    results = {name: simple(feature, items) for name, items in grouped.items()}
    results = {name: results[name] for name in sorted(results) if results[name] is not None}
    if feature.bucket or any(_is_pairs(value) for _, value, _, _ in values):
        return results or None
    result = results.get("all")
    strange = isinstance(result, float) and not math.isfinite(result)
    return None if strange else result


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], tuple)


def simple(feature: Feature, items: Sequence[tuple[int, Any, int]]) -> Any:
    """Return a feature of single values with their times and signs."""
    deletable = feature.operation in {"COUNT", "SUM", "AVERAGE", "HISTOGRAM"}
    if not deletable:
        items = [item for item in items if item[2] > 0]
    if not items:
        return None
    return OPERATIONS[feature.operation](feature, items)


def order(value: Any) -> Any:
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return msgpack.packb(value) if isinstance(value, list) else value


def exact_sum(items: Sequence[tuple[int, Any, int]]) -> Any:
    numbers = [value * sign for _, value, sign in items]
    if all(isinstance(value, int) for value in numbers):
        return sum(numbers)
    strange = [value for _, value, sign in items if not math.isfinite(value)]
    if strange:
        return sum(strange)
    total = sum((Fraction(value) for value in numbers), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def count(feature: Feature, items: Any) -> Any:
    return sum(sign for _, _, sign in items) or None


def total(feature: Feature, items: Any) -> Any:
    return exact_sum(items) if count(feature, items) else None


def average(feature: Feature, items: Any) -> Any:
    n = count(feature, items)
    return float(exact_sum(items)) / n if n else None


def moment(power: int) -> Callable[..., Any]:
    def compute(feature: Feature, items: Any) -> Any:
        numbers = [value for _, value, _ in items]
        if any(isinstance(v, float) and not math.isfinite(v) for v in numbers):
            return math.nan
        exact = [Fraction(value) for value in numbers]
        n = len(exact)
        mean = sum(exact) / n
        central = {p: sum((v - mean) ** p for v in exact) / n for p in (2, 3, 4)}
        if power == 2:
            return float(central[2])
        if n < power or central[2] == 0:
            return None
        if power == 4:
            return float(central[4] / central[2] ** 2 - 3)
        size = math.sqrt(float(central[3] ** 2 / central[2] ** 3))
        return size if central[3] >= 0 else -size

    return compute


def timed(feature: Feature, items: Any) -> list[Any]:
    newest = feature.operation.startswith("LAST")
    ordered = sorted(items, key=lambda item: (item[0], order(item[1])), reverse=newest)
    return [value for _, value, _ in ordered[: feature.k or 1]]


def best(feature: Feature, items: Any) -> list[Any]:
    values = sorted((v for _, v, _ in items), key=order, reverse=feature.operation == "TOP_K")
    return values[: feature.k]


def unique(feature: Feature, items: Any) -> int:
    n = len({order(value) for _, value, _ in items})
    return min(n, feature.k or 8) if feature.operation == "BOUNDED_UNIQUE_COUNT" else n


def histogram(feature: Feature, items: Any) -> Any:
    counts: Counter[Any] = Counter()
    for _, value, sign in items:
        counts[order(value)] += sign
    named = {order(value): value for _, value, _ in items}
    ordered = sorted(((-n, place) for place, n in counts.items() if n > 0))
    size = feature.k or (8 if feature.operation == "APPROX_HISTOGRAM_K" else None)
    return {named[place]: -n for n, place in ordered[:size]} or None


def percentile(feature: Feature, items: Any) -> Any:
    with np.errstate(over="ignore"):
        numbers = sorted(float(np.float32(v)) for _, v, _ in items if v == v)  # noqa: PLR0124
    n = len(numbers)
    return [numbers[min(int(p * n), n - 1)] for p in feature.percentiles] if n else None


OPERATIONS: dict[str, Callable[[Feature, Any], Any]] = {
    "COUNT": count,
    "SUM": total,
    "AVERAGE": average,
    "MIN": lambda feature, items: min((v for _, v, _ in items), key=order),
    "MAX": lambda feature, items: max((v for _, v, _ in items), key=order),
    "VARIANCE": moment(2),
    "SKEW": moment(3),
    "KURTOSIS": moment(4),
    "FIRST": lambda feature, items: timed(feature, items)[0],
    "LAST": lambda feature, items: timed(feature, items)[0],
    "FIRST_K": timed,
    "LAST_K": timed,
    "TOP_K": best,
    "BOTTOM_K": best,
    "UNIQUE_COUNT": unique,
    "BOUNDED_UNIQUE_COUNT": unique,
    "APPROX_UNIQUE_COUNT": unique,
    "HISTOGRAM": histogram,
    "APPROX_HISTOGRAM_K": histogram,
    "APPROX_PERCENTILE": percentile,
}
