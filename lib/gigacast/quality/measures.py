"""Quality of a partition: measures, thresholds, and the judgement that follows from both.

Measures do not depend on thresholds. So measures of an earlier run can be judged by other
thresholds, and nothing is read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from gigacast.core.mark import Count, Fits, Keys, is_time, moment_of
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ConfigError, CorruptedFileError

_HINT = "delete it and run `gigacast data quality` again"
# Plain step numbers have no date, hence no "T".
_TimeOrStep = Annotated[
    str, Fits(lambda text: "T" not in text or is_time(text), "a time in ISO 8601 or a step")
]


class Verdict(StrEnum):
    """Result of comparing measures with thresholds."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_WORSE = {Verdict.OK: 0, Verdict.WARN: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; ``ok`` without verdicts."""
    return max(verdicts, key=_WORSE.__getitem__, default=Verdict.OK)


@dataclass(frozen=True, slots=True)
class Limit:
    """Values above which a measure is a warning or a failure; ``None`` for never."""

    warn: float | None = None
    fail: float | None = None

    def judge(self, measure: float) -> "Verdict":
        """Compare a measure with the limits."""
        if self.fail is not None and measure > self.fail:
            return Verdict.FAIL
        return Verdict.WARN if self.warn is not None and measure > self.warn else Verdict.OK


@dataclass(frozen=True)
class Thresholds:
    """Limits of all measures: shares from 0 to 1, and hours.

    Parameters
    ----------
    missing : Limit
        Share of missing values in the worst column.
    duplicates, unordered, null_keys, off_grid : Limit
        Share of rows that repeat a series and time; that are earlier than the row before them in
        their series; that lack a series or a readable time; that are off the grid of the frequency.
    gaps : Limit
        Share of the expected steps that have no row.
    outliers : Limit
        Share of outliers in the worst column, by the method that finds more.
    noncompliant : Limit
        1 minus the score of compliance with the contract.
    incomplete : Limit
        1 minus the completeness.
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

    def with_limits(self, side: str, limits: Iterable[str]) -> "Thresholds":
        """Return thresholds with other limits, as in ``missing=0.05`` or ``gaps=never``.

        Parameters
        ----------
        side : {"warn", "fail"}
        limits : iterable of str

        Raises
        ------
        ConfigError
        """
        changed = self
        for text in limits:
            name, _, value = text.partition("=")
            limit = _limit_of(name.strip(), value.strip(), side)
            former = getattr(changed, name.strip())
            changed = replace(changed, **{name.strip(): replace(former, **{side: limit})})
        return changed


def _limit_of(name: str, value: str, side: str) -> float | None:
    names = [field.name for field in fields(Thresholds)]
    if name not in names:
        raise ConfigError(f"--{side}: there is no measure {name!r}", hint=f"one of {_list(names)}")
    if value == "never":
        return None
    try:
        limit = float(value)
    # Refused below, with numbers that are out of range.
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ConfigError(f"--{side} {name}: {value!r} is no limit", hint="as missing=0.05")
    return limit


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


@dataclass(frozen=True)
class ColumnQuality:
    """A column: number of values, of missing values, and of outliers by method."""

    name: str
    type: str
    values: Count
    missing: Count
    outliers: Mapping[str, Count] = field(default_factory=dict)

    @property
    def missing_share(self) -> float:
        """Share of the values that are missing."""
        return self.missing / self.values if self.values else 0.0

    @property
    def outlier_share(self) -> float:
        """Share of outliers among the present values, by the method that finds most."""
        present = self.values - self.missing
        return max(self.outliers.values(), default=0) / present if present else 0.0


@dataclass(frozen=True)
class BinCounts:
    """The calendar bins that the rows of a partition are aggregated into.

    Parameters
    ----------
    bins : int
        Number of bins.
    partial_bins, partial_rows : int
        Number of bins that are left out because rows do not cover them, and of their rows.
    carried : int
        Number of rows in bins of another file.
    """

    bins: Count
    partial_bins: Count
    partial_rows: Count
    carried: Count


@dataclass(frozen=True)
class KeyQuality:
    """Series and times of the rows of a partition.

    Parameters
    ----------
    rows, series : int
        Number of rows and of series.
    null_keys : int
        Number of rows without a series or a readable time. No other number includes them.
    duplicates, unordered, off_grid : int
        Number of these rows, as defined in `Thresholds`.
    missing_steps, expected_steps : int
        Number of steps without a row, and of all steps, between the first and last row of each
        series.
    gaps : int
        Number of runs of missing steps.
    longest_gap : mapping, optional
        ``series``, ``after`` and ``steps`` of the longest gap; ``None`` without gaps.
    frequencies : mapping of str to int
        Number of series by frequency.
    first, last : str, optional
        Earliest and latest time (ISO 8601, UTC); ``None`` without rows.
    bins : BinCounts, optional
        Calendar bins, whose steps, gaps and frequencies are measured in place of those of the rows;
        none by default.
    """

    rows: Count = 0
    series: Count = 0
    null_keys: Count = 0
    duplicates: Count = 0
    unordered: Count = 0
    off_grid: Count = 0
    missing_steps: Count = 0
    expected_steps: Count = 0
    gaps: Count = 0
    longest_gap: Annotated[Mapping[str, Any], Keys({"steps": Count, "after": str})] | None = None
    frequencies: Mapping[str, int] = field(default_factory=dict)
    first: _TimeOrStep | None = None
    last: _TimeOrStep | None = None
    bins: BinCounts | None = None

    @property
    def steps(self) -> int:
        """Number of rows or, with an aggregation, of bins: what a forecast sees."""
        return self.rows if self.bins is None else self.bins.bins

    @property
    def newest_timestamp(self) -> str | None:
        """Latest time; ``None`` if times are step numbers."""
        return self.last if self.last is not None and "T" in self.last else None


_VIOLATION = {"column": str | None, "rule": str, "count": Count}


@dataclass(frozen=True)
class Compliance:
    """Compliance with a contract: its name, and the rows and columns that break it."""

    contract: str
    bad_rows: Count
    columns: Count
    bad_columns: Count
    violations: tuple[Annotated[Mapping[str, Any], Keys(_VIOLATION)], ...] = ()

    def score(self, rows: int) -> float:
        """Return the share of compliant columns times the share of compliant rows."""
        good_columns = 1 - self.bad_columns / self.columns if self.columns else 1.0
        return good_columns * (1 - self.bad_rows / rows if rows else 1.0)


@dataclass(frozen=True)
class PartitionQuality:
    """All measures of a partition."""

    partition: str
    keys: KeyQuality
    columns: tuple[ColumnQuality, ...] = ()
    compliance: Compliance | None = None
    anomalies: Count | None = None
    """Number of anomalous rows, by an isolation forest; ``None`` if none was trained."""

    @property
    def completeness(self) -> float:
        """Share of the values that the calendar expects and that are not missing."""
        rows = self.keys.rows
        cells = sum(column.values for column in self.columns)
        known_share = 1 - sum(c.missing for c in self.columns) / cells if cells else 1.0
        expected = max(self.keys.expected_steps, 1)
        steps = 1 - self.keys.missing_steps / expected if rows else 1.0
        return known_share * steps

    @property
    def score(self) -> float | None:
        """Score of compliance with the contract; ``None`` without a contract."""
        return None if self.compliance is None else self.compliance.score(self.keys.rows)

    def shares(self, now: datetime | None = None) -> dict[str, float]:
        """Return the measures by the names of their thresholds, without those not measured."""
        keys, rows = self.keys, max(self.keys.rows, 1)
        shares = {
            "missing": max((c.missing_share for c in self.columns), default=0.0),
            "duplicates": keys.duplicates / rows,
            "unordered": keys.unordered / rows,
            "null_keys": keys.null_keys / rows,
            "off_grid": keys.off_grid / rows,
            "gaps": keys.missing_steps / max(keys.expected_steps, 1),
            "outliers": max(
                [c.outlier_share for c in self.columns]
                + [(self.anomalies or 0) / max(keys.steps, 1)]
            ),
            "incomplete": 1 - self.completeness,
        }
        if self.score is not None:
            shares["noncompliant"] = 1 - self.score
        if now is not None and keys.last is not None and "T" in keys.last:  # no step number
            age = now - moment_of(keys.last)
            shares["stale_hours"] = age.total_seconds() / 3600
        return shares

    def judge(self, allowed: Thresholds, now: datetime | None = None) -> "Judgement":
        """Compare the measures with thresholds."""
        # Without rows no share is defined. A warning only: the month may have just begun.
        if not self.keys.rows:
            return Judgement(Verdict.WARN, ("no rows",))
        bins = self.keys.bins
        if bins is not None and not bins.bins and bins.partial_bins:
            return Judgement(Verdict.WARN, ("the rows cover none of their calendar bins",))
        judged = [
            ((limit := getattr(allowed, name)).judge(share), name, share, limit)
            for name, share in self.shares(now).items()
        ]
        exceeded = [entry for entry in judged if entry[0] is not Verdict.OK]
        exceeded.sort(key=lambda entry: -_WORSE[entry[0]])  # stable: failures before warnings
        reasons = tuple(
            self._reason(name, share, limit, verdict) for verdict, name, share, limit in exceeded
        )
        return Judgement(worst(verdict for verdict, *_ in judged), reasons)

    def _reason(self, name: str, share: float, limit: Limit, verdict: Verdict) -> str:
        allowed = limit.fail if verdict is Verdict.FAIL else limit.warn
        assert allowed is not None  # noqa: S101 - it was exceeded
        column = self._worst_column(name)
        if name == "stale_hours":
            return f"{verdict}: {share:,.1f} hours since the latest row (over {allowed:g})"
        return f"{verdict}: {name}{column} {100 * share:.3g}% (over {100 * allowed:.3g}%)"

    def _worst_column(self, name: str) -> str:
        if name == "missing" and self.columns:
            return f" in {max(self.columns, key=lambda c: c.missing_share).name}"
        by_column = max(self.columns, key=lambda c: c.outlier_share, default=None)
        if name == "outliers" and by_column is not None and by_column.outlier_share:
            return f" in {by_column.name}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values."""
        values = asdict(self)
        # Left out without an aggregation, so that measures of before are the same bytes.
        if self.keys.bins is None:
            del values["keys"]["bins"]
        return values

    @classmethod
    def from_dict(cls, values: Any, key: str = "") -> "PartitionQuality":
        """Return the measures of plain values, as returned by `to_dict`.

        Parameters
        ----------
        values : object
        key : str
            Key of the file, for messages; none by default.

        Raises
        ------
        CorruptedFileError
        """
        source = Source(key, CorruptedFileError, "not the measures of a partition", _HINT)
        return read_record(cls, values, source, required=("columns",), ignore_unknown=True)

    @classmethod
    def from_json(cls, content: bytes, key: str) -> "PartitionQuality":
        """Read stored measures.

        Raises
        ------
        CorruptedFileError
        """
        source = Source(key, CorruptedFileError, "not the measures of a partition", _HINT)
        return cls.from_dict(decode_json(content, source), key)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reasons, the worst first."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def joined(self, judgement: "Judgement") -> "Judgement":
        """Return the worse verdict, with the reasons of both."""
        reasons = [*self.reasons, *judgement.reasons]
        reasons.sort(key=lambda reason: not reason.startswith(Verdict.FAIL))
        return Judgement(worst([self.verdict, judgement.verdict]), tuple(reasons))
