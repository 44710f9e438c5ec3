"""The state of what is served: batches and their age, streams and their lag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import Definition, name_of
from gigacast.feature_store.online.freshness import Freshness
from gigacast.feature_store.online.key import freshness_key, group_by_key
from gigacast.feature_store.online.serving import ServedGroupBy, decode_group_by
from gigacast.feature_store.online.store import OnlineStore
from gigacast.job.telemetry import Metrics, embed_metrics
from gigacast.report.document import Column, Document, Items, Kind, Table, Tone

SERVED, TOO_OLD, ABSENT = "served", "too old", "not uploaded"


@dataclass(frozen=True)
class GroupByStatus:
    """The state of a group-by.

    Parameters
    ----------
    name : str
    now : int
        Time of the look, epoch milliseconds.
    served : ServedGroupBy, optional
        What is served; none if nothing was uploaded.
    stream : Freshness, optional
        State of its stream; none if no record was applied.
    """

    name: str
    now: int
    served: ServedGroupBy | None = None
    stream: Freshness | None = None

    @property
    def state(self) -> str:
        """Whether the batch answers requests of now."""
        if self.served is None:
            return ABSENT
        return SERVED if self.now <= self.served.batch.last else TOO_OLD

    @property
    def batch_age_ms(self) -> int | None:
        """Time from the end of the batch to now."""
        return None if self.served is None else self.now - self.served.batch.end

    @property
    def freshness_ms(self) -> int | None:
        """Time from the newest applied event to now."""
        return self.now - self.stream.newest if self.stream and self.stream.newest else None

    @property
    def lag_ms(self) -> int | None:
        """Time from an event to its application, of the last records."""
        return self.stream.lag_ms if self.stream else None


def find_status(
    store: OnlineStore, definitions: Sequence[Definition], now: int
) -> list[GroupByStatus]:
    """Return the state of the group-bys among some definitions, and of those of their joins.

    Parameters
    ----------
    store : OnlineStore
    definitions : sequence of GroupBy, Join or StagingQuery
    now : int
        Epoch milliseconds.

    Raises
    ------
    DataError, StorageError
    """
    names = sorted({name_of(g) for definition in definitions for g in _group_bys_of(definition)})
    stored = store.get_many([group_by_key(name) for name in names])
    served = {
        name: decode_group_by(value, name)
        for name, value in zip(names, stored, strict=True)
        if value is not None
    }
    keys = {name: freshness_key(name, entry.batch.digest) for name, entry in served.items()}
    values = store.get_many([*keys.values()])
    streams = {
        name: Freshness.decode(value.value, key)
        for (name, key), value in zip(keys.items(), values, strict=True)
        if value is not None
    }
    return [GroupByStatus(name, now, served.get(name), streams.get(name)) for name in names]


def _group_bys_of(definition: Any) -> Sequence[GroupBy]:
    if isinstance(definition, GroupBy):
        return (definition,) if definition.online else ()
    return tuple(getattr(definition, "group_bys", ()))


def status_document(states: Sequence[GroupByStatus]) -> Document:
    """Return the state of group-bys as a table, and samples of records that cannot be read."""
    columns = (
        Column("group-by"),
        Column("state"),
        Column("batch", Kind.DATE),
        Column("age", Kind.DURATION),
        Column("keys", Kind.COUNT, 2),
        Column("uploaded", Kind.DATE, 1),
        Column("newest event", Kind.DURATION, 1),
        Column("lag", Kind.DURATION, 1),
        Column("garbage", Kind.COUNT, 2),
    )
    rows = tuple(
        (
            *(state.name, state.state),
            state.served.batch.day if state.served else None,
            _seconds(state.batch_age_ms),
            state.served.keys if state.served else None,
            _time_text(state.served.uploaded_ms) if state.served else None,
            _seconds(state.freshness_ms),
            _seconds(state.lag_ms),
            state.stream.garbage if state.stream else None,
        )
        for state in states
    )
    streams = [(state.name, state.stream) for state in states if state.stream]
    samples = [f"{name}: {sample}" for name, stream in streams for sample in stream.samples]
    samples += [f"{name}: waits: {s.waits_for}" for name, s in streams if s.waits_for]
    blocks = (Table(columns, rows), *((Items.of(samples),) if samples else ()))
    old = sum(state.state == TOO_OLD for state in states)
    summary = f"{old} of {len(states)} batches are too old" if old else ""
    return Document(blocks, summary, Tone.BAD if old else Tone.PLAIN)


def status_json(states: Sequence[GroupByStatus]) -> list[dict[str, Any]]:
    """Return the state of group-bys as plain values."""
    return [
        {
            "group_by": state.name,
            "state": state.state,
            "batch": _batch_json(state),
            "batch_age_s": _seconds(state.batch_age_ms),
            "freshness_s": _seconds(state.freshness_ms),
            "lag_s": _seconds(state.lag_ms),
            "stream": None
            if state.stream is None
            else {
                "name": state.stream.stream,
                "newest": state.stream.newest or None,
                "written_ms": state.stream.written_ms,
                "garbage": state.stream.garbage,
                "samples": list(state.stream.samples),
                "waits_for": state.stream.waits_for or None,
            },
        }
        for state in states
    ]


def _batch_json(state: GroupByStatus) -> dict[str, Any] | None:
    if state.served is None:
        return None
    batch = state.served.batch
    return {
        "day": batch.day,
        "end": batch.end,
        "served_until": batch.last,
        "uploaded_ms": state.served.uploaded_ms,
        "keys": state.served.keys,
    }


def status_records(states: Sequence[GroupByStatus]) -> list[Mapping[str, object]]:
    """Return the state of group-bys as log records that are CloudWatch metrics as well."""
    records: list[Mapping[str, object]] = []
    for state in states:
        metrics: dict[str, tuple[float, Any]] = {
            "BatchesTooOld": (int(state.state == TOO_OLD), "Count")
        }
        for name, value in (
            ("BatchAge", state.batch_age_ms),
            ("Freshness", state.freshness_ms),
            ("StreamLag", state.lag_ms),
        ):
            if value is not None:
                metrics[name] = (value / 1000, "Seconds")
        if state.stream is not None:
            metrics["GarbageRecords"] = (state.stream.garbage, "Count")
            metrics["StreamsWaiting"] = (int(bool(state.stream.waits_for)), "Count")
        typed: Metrics = metrics
        fields = {"event": "feature_store_status", "group_by": state.name, "state": state.state}
        at = datetime.fromtimestamp(state.now / 1000, UTC)
        records.append(embed_metrics(fields, typed, at=at, dimensions=("group_by",)))
    return records


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _time_text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M")
