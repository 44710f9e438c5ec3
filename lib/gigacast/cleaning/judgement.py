"""Verdicts on partitions by what their cleaning removed; those on cleaned rows are of quality."""

from dataclasses import dataclass
from typing import NamedTuple

from gigacast.core.mark import Count
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import CorruptedFileError
from gigacast.lake.plan.receipt import Receipt
from gigacast.quality.measures import Judgement, Thresholds, Verdict, worst
from gigacast.quality.result import Judged
from gigacast.runtime.executor import Failure
from gigacast.series.duplicates import item_flag


def judge_loss(receipt: Receipt) -> Judgement | None:
    """Fail a partition that lost all its rows, independently of the thresholds."""
    if not receipt.rows or receipt.output.get("rows"):
        return None
    if receipt.repairs.get("carried") and not receipt.output.get("lost"):
        return Judgement(Verdict.OK, ("its rows are in calendar bins of later files",))
    lost = receipt.output.get("lost") or f"no row is left of {receipt.rows:,}"
    return Judgement(Verdict.FAIL, (f"fail: {lost}",))


class _Unreadable(NamedTuple):
    column: str | None
    values: Count


@dataclass(frozen=True, slots=True)
class _Dropped:
    """What a receipt of cleaning says about removed rows and values."""

    null_keys: Count
    conflicting: Count
    apart: tuple[str, ...]
    unreadable: _Unreadable
    ids: tuple[str, ...] = ()  # receipts of the first release do not name the columns of ids


def judge_dropped(receipt: Receipt, allowed: Thresholds) -> Judgement:
    """Judge the rows and values that cleaning removed, by the thresholds of their faults."""
    stored, rows = receipt.output.get("dropped"), receipt.rows
    if not stored or not rows:
        return Judgement(Verdict.OK)
    source = Source(receipt.partition, CorruptedFileError, "not a receipt")
    dropped = read_record(_Dropped, stored, source, place="output.dropped", ignore_unknown=True)
    column, unreadable = dropped.unreadable
    apart = dropped.apart
    flag = item_flag(apart, dropped.ids)
    tell = "tells" if len(apart) == 1 else "tell"
    hint = f"; {' and '.join(apart)} {tell} them apart: use {flag}"
    faults = (
        ("null_keys", dropped.null_keys, "rows had no series or no time that can be read"),
        (
            "duplicates",
            dropped.conflicting,
            "rows had a series and time that came before, and other values"
            + (hint if apart else ""),
        ),
        ("missing", unreadable, f"values of {column} were not of the contract's type"),
    )
    judged = [(getattr(allowed, name).judge(n / rows), n, text) for name, n, text in faults]
    wrong = [entry for entry in judged if entry[0] is not Verdict.OK]
    return Judgement(
        worst(verdict for verdict, *_ in judged),
        tuple(f"{verdict}: {n:,} of {rows:,} {text}" for verdict, n, text in wrong),
    )


def judge_failure(task: Task, failure: Failure) -> Judged:
    """Return the verdict on a partition that could not be cleaned."""
    return Judged(task.partition, Judgement(Verdict.FAIL, (f"{failure.error}: {failure.message}",)))
