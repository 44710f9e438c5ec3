"""The law of forms: the canonical result, or a refusal that names column, file and remedy."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import combinations
from random import Random
from typing import Any

from gigacast.errors import GigacastError
from tests.forms.doors import UnwritableError, expected, given
from tests.forms.form import AXES, Form, is_possible, parts_of, refusals_of
from tests.forms.panel import Panel

@dataclass(frozen=True)
class Outcome:
    """What became of a form.

    Parameters
    ----------
    form : Form
    kind : str
        ``read``, ``refused``, ``unwritable`` (its writer has no such form) or ``fault``.
    detail : str
        Message of a refusal, or what is wrong.
    """

    form: Form
    kind: str
    detail: str = ""


def try_form(form: Form, panel: Panel | None = None) -> Outcome:
    """Return what becomes of a form; a fault for anything but its expected outcome."""
    parts = parts_of(form, panel)
    patterns = refusals_of(parts)
    try:
        result = given(parts)
    except GigacastError as error:
        return _judge_refusal(form, error, patterns)
    except UnwritableError as error:
        return Outcome(form, "unwritable", str(error))
    except Exception as error:  # noqa: BLE001 - a raw error is what the law forbids
        return Outcome(form, "fault", f"raw {type(error).__name__}: {error}")
    if patterns:
        return Outcome(form, "fault", f"read, expected a refusal: {patterns[0]}")
    wanted = expected(parts)
    if result != wanted:
        return Outcome(form, "fault", _difference(result, wanted))
    return Outcome(form, "read")


def _judge_refusal(form: Form, error: GigacastError, patterns: list[str]) -> Outcome:
    message = f"{error.message} ({error.hint})"
    if not patterns:
        return Outcome(form, "fault", f"refused: {message}")
    if not any(re.search(pattern, message) for pattern in patterns):
        return Outcome(form, "fault", f"another refusal than {patterns[0]}: {message}")
    if not error.hint:
        return Outcome(form, "fault", f"a refusal without a remedy: {message}")
    return Outcome(form, "refused", message)


def _difference(result: Any, wanted: Any) -> str:
    if result.keys() != wanted.keys():
        return f"series {sorted(map(str, result))[:4]}, expected {sorted(map(str, wanted))[:4]}"
    key = next(key for key in wanted if result[key] != wanted[key])
    return f"{key}: {str(result[key])[:300]}, expected {str(wanted[key])[:300]}"


# -- drawing ---------------------------------------------------------------------------------------

_NAMES = tuple(field.name for field in fields(Form))
Pair = tuple[str, str, str, str]


def draw(chance: Random, fixed: dict[str, str]) -> Form | None:
    """Return a random form with some axes fixed; ``None`` if none was found."""
    for _ in range(300):
        drawn = {name: fixed.get(name) or chance.choice(AXES[name]) for name in _NAMES}
        form = Form(**drawn)
        if is_possible(form):
            return form
    return None


def covering_forms(seed: int, axes: Iterable[tuple[str, str]]) -> Iterator[Form]:
    """Yield forms until each possible pair of entries of these pairs of axes has been in one."""
    chance = Random(seed)  # noqa: S311 - no secret
    missing = {(a, x, b, y) for a, b in axes for x in AXES[a] for y in AXES[b]}
    for pair in sorted(missing):
        if pair not in missing:
            continue
        a, x, b, y = pair
        candidates = [draw(chance, {a: x, b: y}) for _ in range(4)]
        possible = [form for form in candidates if form is not None]
        if not possible:
            missing.discard(pair)
            continue
        best = max(possible, key=lambda form: len(_pairs(form) & missing))
        missing -= _pairs(best)
        yield best


def _pairs(form: Form) -> set[Pair]:
    own = [(name, getattr(form, name)) for name in _NAMES]
    both = {(*left, *right) for left, right in combinations(own, 2)}
    return both | {(b, y, a, x) for a, x, b, y in both}


def count_entries(forms: Iterable[Form]) -> dict[str, Counter[str]]:
    """Return how often each entry of each axis is in forms."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _NAMES}
    for form in forms:
        for name in _NAMES:
            counts[name][getattr(form, name)] += 1
    return counts
