"""The law of forms: the canonical result, or a refusal that names column, file and remedy."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import product
from random import Random
from typing import Any

from gigacast.errors import GigacastError
from tests.forms.doors import expected, given
from tests.forms.form import AXES, MEMORY, Form, is_possible, parts_of, refusals_of
from tests.forms.panel import Panel
from tests.forms.results import UnwritableError
from tests.forms.tables import FRAMES


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
    except Exception as error:
        return Outcome(form, "fault", f"raw {type(error).__name__}: {error}")
    if patterns:
        return Outcome(form, "fault", f"read, expected a refusal: {patterns[0]}")
    canonical = expected(parts)
    if result != canonical:
        return Outcome(form, "fault", _difference(result, canonical))
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


def _difference(result: Any, canonical: Any) -> str:
    if result.keys() != canonical.keys():
        return f"series {sorted(map(str, result))[:4]}, expected {sorted(map(str, canonical))[:4]}"
    key = next(key for key in canonical if result[key] != canonical[key])
    return f"{key}: {str(result[key])[:300]}, expected {str(canonical[key])[:300]}"


# -- drawing ---------------------------------------------------------------------------------------

_NAMES = tuple(field.name for field in fields(Form))
Entry = tuple[str, str]
"""An axis and one of its entries."""


def draw(chance: Random, fixed: dict[str, str], attempts: int = 300) -> Form | None:
    """Return a random form with some axes fixed; ``None`` if none was found."""
    for _ in range(attempts):
        drawn = {name: fixed.get(name) or chance.choice(AXES[name]) for name in _NAMES}
        # Most combinations of a frame and a place do not go together.
        if "place" not in fixed and drawn["carrier"] in FRAMES:
            drawn["place"] = MEMORY
        form = Form(**drawn)
        if is_possible(form):
            return form
    return None


def covering_forms(
    seed: int, groups: Iterable[tuple[str, ...]], fixed: dict[str, str], *, mixed: bool = False
) -> Iterator[Form]:
    """Yield forms until each possible combination of entries of some axes has been in one.

    Parameters
    ----------
    seed : int
    groups : iterable of tuple of str
        Groups of axes: all combinations of the entries of a group are covered.
    fixed : mapping
        Entries that are the same in all forms.
    mixed : bool
        Whether the first forms are of all axes, for runs that are stopped early.
    """
    chance = Random(seed)
    axes = [group for group in groups if not fixed.keys() & set(group)]
    missing = {
        tuple(zip(group, entries, strict=True))
        for group in axes
        for entries in product(*(AXES[name] for name in group))
    }
    # The greatest groups come first: their forms have entries of the smaller ones as well.
    ordered = sorted(missing, key=lambda entries: (-len(entries), entries))
    for combination in chance.sample(ordered, len(ordered)) if mixed else ordered:
        if combination not in missing:
            continue
        missing.discard(combination)
        own = fixed | dict(combination)
        # What 300 attempts do not find is most likely impossible.
        possible = [form] if (form := draw(chance, own)) is not None else []
        if possible:
            possible += [form for form in (draw(chance, own), draw(chance, own)) if form]
            best = max(possible, key=lambda form: len(_combinations(form, axes) & missing))
            missing -= _combinations(best, axes)
            yield best


def _combinations(form: Form, axes: Iterable[tuple[str, ...]]) -> set[tuple[Entry, ...]]:
    return {tuple((name, getattr(form, name)) for name in group) for group in axes}


def count_entries(forms: Iterable[Form]) -> dict[str, Counter[str]]:
    """Return how often each entry of each axis is in forms."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _NAMES}
    for form in forms:
        for name in _NAMES:
            counts[name][getattr(form, name)] += 1
    return counts
