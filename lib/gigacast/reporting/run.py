"""The report of a run, of any job: gathered from its audit and from what it wrote."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from gigacast.core.mark import moment_of
from gigacast.errors import ConfigError, CorruptedFileError, DataNotFoundError, StorageError
from gigacast.forecasting.read import Generation
from gigacast.job.file_job import in_threads
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.lake.layout import audit_key
from gigacast.lake.plan.audit import Audit, list_runs, read_audit
from gigacast.lake.plan.receipt import Receipt
from gigacast.report.document import Document
from gigacast.reporting.accuracy import find_evaluation
from gigacast.reporting.anomaly import find_search
from gigacast.reporting.drift import Drift
from gigacast.reporting.outcome import read_outcome
from gigacast.reporting.sample import RankedSeries, sample_series
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

EARLIER = 14
"""Earlier runs of the same job that a report compares with."""
_FORECAST = "forecast_"
"""Start of the ids of forecasting runs."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Freshness:
    """How old the data of a run was: the newest value of a sample of its partitions.

    Parameters
    ----------
    newest, oldest : str
        Newest values of the freshest and the stalest partition of the sample, ISO 8601, UTC.
    age_s : float
        Seconds from the newest value to the end of its task; below 0 for future dates.
    partitions : int
        Partitions of the sample.
    """

    newest: str
    oldest: str
    age_s: float
    partitions: int


@dataclass(frozen=True)
class RunReport:
    """A run, its sample of series, and the runs before it.

    Parameters
    ----------
    audit : Audit
    url : str
        Output root.
    earlier : tuple of Audit
        Runs of the same job before this one, the oldest first.
    series : tuple of RankedSeries
        The worst series of a sample; empty for jobs that forecast nothing.
    ranked : int
        Number of series in the sample.
    freshness : Freshness, optional
        ``None`` where no receipt names a time.
    evaluation : mapping, optional
        Stored evaluation of the model's version, see `accuracy.find_evaluation`.
    anomalies : mapping, optional
        Stored search of the forecasts of this spec, see `anomaly.find_search`.
    drift : Drift, optional
        How recent inputs differ from earlier ones; ``None`` for jobs that forecast nothing.
    outcome : Document, optional
        Result of a run of another job, see `outcome.read_outcome`.
    newer : tuple of str
        Runs of other jobs that ended later, the latest first, where no run was named.
    """

    audit: Audit
    url: str
    earlier: tuple[Audit, ...] = ()
    series: tuple[RankedSeries, ...] = ()
    ranked: int = 0
    freshness: Freshness | None = None
    evaluation: Mapping[str, Any] | None = None
    anomalies: Mapping[str, Any] | None = None
    drift: Drift | None = None
    outcome: Document | None = None
    newer: tuple[str, ...] = ()

    @property
    def fallbacks(self) -> int:
        """Series that the model did not forecast."""
        return sum(counts_of(self.audit, "reasons").values())

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``: all numbers that the page shows."""
        return {
            "audit": asdict(self.audit),
            "elapsed_s": self.audit.elapsed_s,
            "earlier": [audit.session_id for audit in self.earlier],
            "not_by_the_model": self.fallbacks,
            "freshness": asdict(self.freshness) if self.freshness else None,
            "ranked": self.ranked,
            "worst": [
                {
                    "partition": entry.partition,
                    "item_id": entry.look.item_id,
                    "target_name": entry.look.target_name,
                    "wql": _number(entry.wql),
                    "width": _number(entry.width),
                }
                for entry in self.series
            ],
            "evaluation": self.evaluation,
            "anomalies": self.anomalies,
            "drift": self.drift.to_json() if self.drift else None,
            **({"newer": [*self.newer]} if self.newer else {}),
        }


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN, which JSON cannot hold


def counts_of(audit: Audit, name: str) -> dict[str, int]:
    """Return the counts of an audit's totals by reason: ``reasons`` or ``repairs``."""
    counts = audit.totals.get(name)
    return {k: int(v) for k, v in counts.items() if v} if isinstance(counts, dict) else {}


def total_of(audit: Audit, name: str) -> int:
    """Return a number of an audit's totals; 0 where the job counts none."""
    value = audit.totals.get(name)
    return int(value) if isinstance(value, int | float) else 0


def report_run(job: ForecastJob, run_id: str | None = None) -> RunReport:
    """Gather the report of a run.

    Parameters
    ----------
    job : ForecastJob
        Addresses, and how its inputs are read.
    run_id : str, optional
        Id of the run, as in the audit; by default the latest forecast, or the latest run of any
        job where nothing was forecast.

    Raises
    ------
    ConfigError
        When the id cannot be that of a run.
    DataNotFoundError
        When there is no such run.
    StorageError, CorruptedFileError
    """
    outputs = open_store(job.outputs)
    outputs.check()
    runs = list_runs(outputs)
    name = _checked(run_id, runs, job.outputs.url)
    audit = read_audit(outputs, name)
    names = [run for run, _ in runs]
    newer = tuple(names[: names.index(name)]) if run_id is None else ()
    earlier = [name for name, when in runs if _is_before(name, when, audit, runs)]
    before = _audits(outputs, earlier[:EARLIER][::-1])
    report = RunReport(audit, job.outputs.url, before, newer=newer)
    generation = _generation_of(audit)
    if generation is None and audit.job == "forecast":
        # Nothing was pending: the page is that of the forecasts as an earlier run left them.
        generation = next(filter(None, map(_generation_of, reversed(before))), None)
    if generation is None:
        return replace(report, outcome=read_outcome(audit, job, outputs))
    sample = sample_series(job, open_inputs(job.inputs), outputs, generation)
    return replace(
        report,
        series=sample.series,
        ranked=sample.ranked,
        freshness=freshness_of(sample.receipts),
        evaluation=find_evaluation(outputs, generation),
        anomalies=find_search(outputs, generation),
        drift=sample.drift,
    )


def _checked(run_id: str | None, runs: Sequence[tuple[str, int]], url: str) -> str:
    names = [name for name, _ in runs]
    if run_id is None:
        if not names:
            raise DataNotFoundError(f"{url}: no run yet", hint="run `gigacast forecast` first")
        # The page of the morning: quality, evaluation and others run after the forecast.
        return next((name for name in names if name.startswith(_FORECAST)), names[0])
    if not _NAME.fullmatch(run_id):
        raise ConfigError(
            f"RUN: {run_id!r} is no id of a run",
            hint="ids are as forecast_20261130_030945_f03f; `gigacast status` lists them",
        )
    if run_id not in names:
        raise DataNotFoundError(
            f"{url}/{audit_key(run_id)}: no such run; the latest are: {', '.join(names[:3])}",
            hint="the audit of a run is kept in the output root",
        )
    return run_id


def _is_before(name: str, modified_ns: int, audit: Audit, runs: Sequence[tuple[str, int]]) -> bool:
    own = dict(runs)[audit.session_id]
    return name.startswith(f"{audit.job}_") and (modified_ns, name) < (own, audit.session_id)


def _audits(outputs: Store, names: Sequence[str]) -> tuple[Audit, ...]:
    def read(name: str) -> Audit | None:
        with suppress(CorruptedFileError, StorageError):
            return read_audit(outputs, name)
        return None

    return tuple(audit for audit in in_threads(read, names) if audit is not None)


def _generation_of(audit: Audit) -> Generation | None:
    """Return the spec that a run forecast; ``None`` for other jobs, and if nothing was pending."""
    specs = audit.plan.get("specs")
    if audit.job != "forecast" or not isinstance(specs, dict) or not specs:
        return None
    # With several horizons, that of most partitions is not known: the first has a report.
    spec, description = min(specs.items())
    model, version = description.get("model"), description.get("version")
    if not isinstance(model, str) or not isinstance(version, str):
        return None
    return Generation(model, version, spec, 0)


def freshness_of(receipts: Sequence[Receipt]) -> Freshness | None:
    """Return how old the data of some partitions was; ``None`` where no receipt names a time."""
    ages = [
        (moment_of(receipt.newest_timestamp), receipt.data_age_s)
        for receipt in receipts
        if receipt.newest_timestamp is not None
    ]
    dated = [(moment, age) for moment, age in ages if age is not None]
    if not dated:
        return None
    newest, age = max(dated)
    return Freshness(_text(newest), _text(min(dated)[0]), age, len(dated))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
