"""Results as a bucket holds them, read back for a page that is made again.

What is stored is somebody else's: every value is checked before it is shown.
"""

import math
from typing import Any

from gigacast.anomalies.kernel import Limits
from gigacast.anomalies.result import AnomalyReport, SeriesAnomalies
from gigacast.backtesting.evaluation.result import (
    BY,
    ORIGIN,
    SEGMENT,
    Evaluation,
    FigureKey,
    Uncompared,
    WorstSeries,
)
from gigacast.backtesting.leaderboard.result import Leaderboard, Standing
from gigacast.core.mark import Amount, Count
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record, read_value
from gigacast.errors import CorruptedFileError
from gigacast.forecasters.metric import Figures
from gigacast.quality.measures import Judgement, PartitionQuality, Verdict
from gigacast.quality.result import Judged, QualityReport

_COUNTS = ("forecasts", "steps", "missed", "undefined")
_NUMBERS = ("mase", "wql", "sql", "rmse", "smape", "bias")
_LISTS = ("coverage", "intervals")
_HINT = "run the command again, which writes it again"


class _Values:
    """The values of a stored result, checked one by one."""

    def __init__(self, values: Any, source: Source, place: str = "") -> None:
        self._source, self._place = source, place
        self._values: dict[str, Any] = read_value(dict[str, Any], values, source, place=place)

    @classmethod
    def of(cls, content: bytes, key: str, kind: str) -> "_Values":
        """Return the values of a stored JSON object."""
        source = Source(key, CorruptedFileError, f"not {kind}", _HINT)
        return cls(decode_json(content, source), source)

    def get(self, kind: Any, name: str, default: Any = None) -> Any:
        """Return a value; the default if it is left out."""
        if name not in self._values and default is not None:
            return default
        value = self._values.get(name)
        return read_value(kind, value, self._source, place=self._within(name))

    def each(self, name: str) -> "list[_Values]":
        """Return the mappings in a list; none if it is left out."""
        entries = self.get(list[dict[str, Any]], name, [])
        return [_Values(entry, self._source, self._within(name)) for entry in entries]

    def within(self, name: str) -> "_Values":
        """Return the values of a mapping among them."""
        return _Values(self._values.get(name), self._source, self._within(name))

    def items(self) -> "list[tuple[str, _Values]]":
        """Return the mappings among the values by name."""
        return [(name, self.within(name)) for name in self._values]

    def number(self, name: str) -> float:
        """Return a number; NaN for null."""
        value: float | None = self.get(float | None, name)
        return math.nan if value is None else value

    def figures(self) -> Figures:
        """Return the figures among the values."""
        numbers: dict[str, Any] = {name: self.get(Count, name) for name in _COUNTS}
        numbers |= {name: self.number(name) for name in _NUMBERS}
        for name in _LISTS:
            shares = self.get(list[float | None], name)
            numbers[name] = tuple(math.nan if share is None else share for share in shares)
        return Figures(**numbers)

    def record(self, kind: type[Any]) -> Any:
        """Return the values as a record."""
        return read_record(kind, self._values, self._source, place=self._place, ignore_unknown=True)

    def _within(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name


def read_evaluation_result(content: bytes, key: str) -> Evaluation:
    """Return a stored evaluation.

    Raises
    ------
    CorruptedFileError
    """
    values = _Values.of(content, key, "an evaluation")
    result = Evaluation(
        steps=values.get(Count, "steps"),
        matched=values.get(Count, "matched"),
        location=values.get(str, "location"),
        conflicts=values.get(Count, "conflicts", 0),
        passed_over=values.get(list[str], "passed_over", []),
    )
    levels = values.get(dict[str, list[Amount]], "levels")
    result.levels = {model: tuple(own) for model, own in levels.items()}
    for by in (*BY, ORIGIN, SEGMENT):
        entries = values.each(by)
        if entries or by in BY:
            result.figures[by] = {
                FigureKey(e.get(str, "model"), e.get(str, by)): e.figures() for e in entries
            }
    result.failures = [
        Uncompared(e.get(str, "key"), e.get(str, "message")) for e in values.each("failures")
    ]
    result.worst = [
        WorstSeries(
            model=entry.get(str, "model"),
            partition=entry.get(str, "partition"),
            item=entry.get(str, "item"),
            target=entry.get(str, "target"),
            figures=entry.figures(),
        )
        for entry in values.each("worst")
    ]
    return result


def read_leaderboard(content: bytes, key: str) -> Leaderboard:
    """Return a stored leaderboard.

    Raises
    ------
    CorruptedFileError
    """
    values = _Values.of(content, key, "a leaderboard")
    skills = ("skill_wql", "skill_mase", "wins")
    standings = tuple(
        Standing(
            entry.get(str, "model"),
            entry.within("figures").figures(),
            *(entry.number(name) for name in skills),
        )
        for entry in values.each("standings")
    )
    if not standings:
        raise CorruptedFileError(f"{key}: a leaderboard without models", hint=_HINT)
    return Leaderboard(
        levels=tuple(values.get(list[float], "levels")),
        segment=values.get(str, "segment"),
        standings=standings,
        segments={
            segment: {model: own.figures() for model, own in models.items()}
            for segment, models in values.within("segments").items()
        },
        partitions=values.get(Count, "partitions"),
        left_out=values.get(list[str], "left_out"),
    )


def read_quality(content: bytes, key: str) -> QualityReport:
    """Return a stored report of quality.

    Raises
    ------
    CorruptedFileError
    """
    values = _Values.of(content, key, "a report of quality")
    partitions = []
    for entry in values.each("partitions"):
        measures = entry.get(dict[str, Any] | None, "measures")
        partitions.append(
            Judged(
                entry.get(str, "partition"),
                Judgement(entry.get(Verdict, "verdict"), tuple(entry.get(list[str], "reasons"))),
                None if measures is None else PartitionQuality.from_dict(measures, key),
                entry.get(dict[str, float], "shares"),
            )
        )
    return QualityReport(
        values.get(str, "source"),
        values.get(str, "at"),
        values.get(dict[str, Any], "thresholds"),
        partitions,
        values.get(str, "location"),
    )


def read_anomaly_report(content: bytes, key: str) -> AnomalyReport:
    """Return a stored search for anomalies, without its pictures.

    Raises
    ------
    CorruptedFileError
    """
    values = _Values.of(content, key, "a search for anomalies")
    report = AnomalyReport(
        basis=values.get(str, "basis"),
        limits=values.within("limits").record(Limits),
        origin=values.get(str, "origin", "latest"),
        location=values.get(str, "location"),
        dataset=values.get(str, "dataset"),
        run_id=values.get(str, "run_id"),
        failures=[(e.get(str, "key"), e.get(str, "message")) for e in values.each("failures")],
        worst=[entry.record(SeriesAnomalies) for entry in values.each("worst")],
    )
    for name in ("values", "compared", "series"):
        setattr(report, name, values.get(Count, name))
    report.anomalous = values.get(Count, "anomalous_series")
    report.kinds.update({k: n for k, n in values.get(dict[str, Count], "kinds").items() if n})
    return report
