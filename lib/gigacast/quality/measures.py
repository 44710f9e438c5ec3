"""How good a partition is, as values: what was measured, what is allowed, what follows from it.

Measures say nothing of good and bad; thresholds do. So other thresholds judge what was measured
before, and nothing is read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from gigacast.errors import ConfigError


class Verdict(StrEnum):
    """What thresholds make of measures; the worst counts."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_WORSE = {Verdict.OK: 0, Verdict.WARN: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; of none it is ``ok``."""
    return max(verdicts, key=_WORSE.__getitem__, default=Verdict.OK)


@dataclass(frozen=True, slots=True)
class Limit:
    """Above which value a measure is a warning, and above which a failure; ``None`` is never."""

    warn: float | None = None
    fail: float | None = None

    def judge(self, measure: float) -> "Verdict":
        """Hold a measure against the limits."""
        if self.fail is not None and measure > self.fail:
            return Verdict.FAIL
        return Verdict.WARN if self.warn is not None and measure > self.warn else Verdict.OK


@dataclass(frozen=True)
class Thresholds:
    """What is allowed: shares from 0 to 1, and hours.

    Parameters
    ----------
    missing : Limit
        Share of the values of the worst column.
    duplicates, unordered, null_keys, off_grid : Limit
        Share of rows whose series and time came before; that go back in time within their series;
        that name no series or no readable time; that lie off the grid of the frequency.
    gaps : Limit
        Share of the steps the calendar expects that have no row.
    outliers : Limit
        Share of the values of the worst column, by the stricter method.
    noncompliant : Limit
        1 less the score of compliance with the contract.
    incomplete : Limit
        1 less the completeness.
    stale_hours : Limit
        Hours since the latest row.
    """

    missing: Limit = Limit(0.01, 0.2)
    duplicates: Limit = Limit(0.0, 0.05)
    unordered: Limit = Limit(0.0, None)
    null_keys: Limit = Limit(0.0, 0.05)
    off_grid: Limit = Limit(0.0, None)
    gaps: Limit = Limit(0.01, 0.5)
    outliers: Limit = Limit(0.02, 0.2)
    noncompliant: Limit = Limit(0.0, 0.05)
    incomplete: Limit = Limit(0.05, 0.6)
    stale_hours: Limit = Limit(None, None)

    def with_limits(self, side: str, given: Iterable[str]) -> "Thresholds":
        """Return thresholds with limits as people write them: ``missing=0.05``, ``gaps=never``.

        Parameters
        ----------
        side : {"warn", "fail"}
        given : iterable of str

        Raises
        ------
        ConfigError
        """
        changed = self
        for text in given:
            name, _, value = text.partition("=")
            limit = _limit_of(name.strip(), value.strip(), side)
            known = getattr(changed, name.strip())
            changed = replace(changed, **{name.strip(): replace(known, **{side: limit})})
        return changed


def _limit_of(name: str, value: str, side: str) -> float | None:
    names = [one.name for one in fields(Thresholds)]
    if name not in names:
        raise ConfigError(f"--{side}: there is no measure {name!r}", hint=f"one of {_list(names)}")
    if value == "never":
        return None
    try:
        limit = float(value)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ConfigError(f"--{side} {name}: {value!r} is no limit", hint="as missing=0.05")
    return limit


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


@dataclass(frozen=True)
class ColumnQuality:
    """One column: its values, those that are missing, and those that lie far out, by method."""

    name: str
    type: str
    values: int
    missing: int
    outliers: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing_share(self) -> float:
        """Share of the values that are missing."""
        return self.missing / self.values if self.values else 0.0

    @property
    def outlier_share(self) -> float:
        """Share of the values there are that lie far out, by the strictest method."""
        there = self.values - self.missing
        return max(self.outliers.values(), default=0) / there if there else 0.0


@dataclass(frozen=True)
class KeyQuality:
    """The rows of a partition as series in time.

    Parameters
    ----------
    rows, series : int
    null_keys : int
        Rows without a series or a readable time; they count nowhere below.
    duplicates, unordered, off_grid : int
        Rows.
    missing_steps, expected_steps : int
        Steps between the first and the last row of each series that have none, and all of them.
    gaps : int
        Runs of missing steps.
    longest_gap : mapping, optional
        ``series``, ``after`` and ``steps`` of the longest.
    frequencies : mapping of str to int
        How many series have each.
    first, last : str, optional
        The earliest and the latest time (ISO 8601, UTC).
    """

    rows: int = 0
    series: int = 0
    null_keys: int = 0
    duplicates: int = 0
    unordered: int = 0
    off_grid: int = 0
    missing_steps: int = 0
    expected_steps: int = 0
    gaps: int = 0
    longest_gap: Mapping[str, Any] | None = None
    frequencies: Mapping[str, int] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None

    @property
    def newest_timestamp(self) -> str | None:
        """The latest time, where the rows have times: plain step numbers are none."""
        return self.last if self.last is not None and "T" in self.last else None


@dataclass(frozen=True)
class Compliance:
    """How far a contract is kept: its name, and what breaks it."""

    contract: str
    bad_rows: int
    columns: int
    bad_columns: int
    violations: tuple[Mapping[str, Any], ...] = ()

    def score(self, rows: int) -> float:
        """Return the share of the columns that are as promised, times that of the good rows."""
        kept = 1 - self.bad_columns / self.columns if self.columns else 1.0
        return kept * (1 - self.bad_rows / rows if rows else 1.0)


@dataclass(frozen=True)
class PartitionQuality:
    """All that was measured of one partition."""

    partition: str
    keys: KeyQuality
    columns: tuple[ColumnQuality, ...] = ()
    compliance: Compliance | None = None
    anomalies: int | None = None
    """Rows that an isolation forest sets apart."""

    @property
    def completeness(self) -> float:
        """Share of the values that are there, of all the calendar expects."""
        rows = self.keys.rows
        cells = sum(column.values for column in self.columns)
        there = 1 - sum(c.missing for c in self.columns) / cells if cells else 1.0
        expected = max(self.keys.expected_steps, 1)
        steps = 1 - self.keys.missing_steps / expected if rows else 1.0
        return there * steps

    @property
    def score(self) -> float | None:
        """Compliance with the contract; ``None`` without one."""
        return None if self.compliance is None else self.compliance.score(self.keys.rows)

    def shares(self, now: datetime | None = None) -> dict[str, float]:
        """Return what thresholds look at, by their names; what was not measured is left out."""
        keys, rows = self.keys, max(self.keys.rows, 1)
        found = {
            "missing": max((c.missing_share for c in self.columns), default=0.0),
            "duplicates": keys.duplicates / rows,
            "unordered": keys.unordered / rows,
            "null_keys": keys.null_keys / rows,
            "off_grid": keys.off_grid / rows,
            "gaps": keys.missing_steps / max(keys.expected_steps, 1),
            "outliers": max(
                [c.outlier_share for c in self.columns] + [(self.anomalies or 0) / rows]
            ),
            "incomplete": 1 - self.completeness,
        }
        if self.score is not None:
            found["noncompliant"] = 1 - self.score
        if now is not None and keys.last is not None and "T" in keys.last:  # else plain steps
            age = now - datetime.fromisoformat(keys.last)
            found["stale_hours"] = age.total_seconds() / 3600
        return found

    def judge(self, allowed: Thresholds, now: datetime | None = None) -> "Judgement":
        """Hold the measures against thresholds."""
        if not self.keys.rows:
            return Judgement(Verdict.WARN, ("no rows",))
        found = [
            ((limit := getattr(allowed, name)).judge(share), name, share, limit)
            for name, share in self.shares(now).items()
        ]
        wrong = [one for one in found if one[0] is not Verdict.OK]
        wrong.sort(key=lambda one: -_WORSE[one[0]])
        reasons = tuple(
            self._reason(name, share, limit, verdict) for verdict, name, share, limit in wrong
        )
        return Judgement(worst(verdict for verdict, *_ in found), reasons)

    def _reason(self, name: str, share: float, limit: Limit, verdict: Verdict) -> str:
        allowed = limit.fail if verdict is Verdict.FAIL else limit.warn
        assert allowed is not None  # noqa: S101 - it was exceeded
        where = self._worst_column(name)
        if name == "stale_hours":
            return f"{verdict}: {share:,.1f} hours since the latest row (over {allowed:g})"
        return f"{verdict}: {name}{where} {100 * share:.3g}% (over {100 * allowed:.3g}%)"

    def _worst_column(self, name: str) -> str:
        if name == "missing" and self.columns:
            return f" in {max(self.columns, key=lambda c: c.missing_share).name}"
        by_column = max(self.columns, key=lambda c: c.outlier_share, default=None)
        if name == "outliers" and by_column is not None and by_column.outlier_share:
            return f" in {by_column.name}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PartitionQuality":
        """Read what `to_dict` gave."""
        known = values.get("compliance")
        violations = tuple(known["violations"]) if known else ()
        return cls(
            partition=values["partition"],
            keys=KeyQuality(**values["keys"]),
            columns=tuple(ColumnQuality(**one) for one in values["columns"]),
            compliance=Compliance(**{**known, "violations": violations}) if known else None,
            anomalies=values.get("anomalies"),
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and what it rests on, the worst first."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def joined(self, other: "Judgement") -> "Judgement":
        """Return both as one."""
        reasons = [*self.reasons, *other.reasons]
        reasons.sort(key=lambda reason: not reason.startswith(Verdict.FAIL))
        return Judgement(worst([self.verdict, other.verdict]), tuple(reasons))
