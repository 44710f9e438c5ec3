"""What a server serves, for people and programs: definitions, columns, batches and ages."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gigacast.errors import GigacastError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import name_of, part_name
from gigacast.feature_store.lineage import trace
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.serving import Batch, ServedGroupBy

KEPT_S = 10.0
"""Seconds for which a description is given again: the list of definitions may be in a bucket."""
Names = Callable[[], Iterable[tuple[str, str]]]
"""Function of no arguments that returns folders (``joins``, ...) and names of definitions."""


class Catalog:
    """The joins and group-bys that are served. Threads may share it.

    Parameters
    ----------
    fetcher : Fetcher
    names : function
        Returns folders (``joins``, ``group_bys``, ...) and names of compiled definitions.
    clock : function
        Returns the time, epoch seconds.
    """

    def __init__(
        self, fetcher: Fetcher, names: Names, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetcher = fetcher
        self._names = names
        self._clock = clock
        self._lock = threading.Lock()
        self._described: tuple[float, dict[str, Any]] | None = None
        self._freshness: dict[str, int] = {}

    def note(self, name: str, freshness_ms: int) -> None:
        """Note the freshness of an answer of a definition."""
        self._freshness[name] = freshness_ms

    def describe(self) -> dict[str, Any]:
        """Return the served joins and group-bys as plain values.

        Raises
        ------
        StorageError
            If the definitions cannot be listed.
        """
        with self._lock:
            now = time.monotonic()
            if self._described is None or now - self._described[0] > KEPT_S:
                self._described = (now, self._describe())
            content = self._described[1]
        return {
            kind: [
                {**entry, "freshness_ms": self._freshness.get(entry["name"])} for entry in entries
            ]
            for kind, entries in content.items()
        }

    def _describe(self) -> dict[str, Any]:
        joins, group_bys = [], []
        for folder, name in self._names():
            try:
                if folder == "joins":
                    joins.append(_describe_join(self._fetcher.served_join(name)))
                elif folder == "group_bys":
                    served = self._fetcher.served_group_by(name)
                    group_bys.append(_describe_group_by(served, self._clock()))
            except GigacastError:
                # Compiled and not served, or damaged: fetches say which.
                continue
        return {"joins": joins, "group_bys": group_bys}


def _describe_join(join: Join) -> dict[str, Any]:
    parts = [{"name": part_name(p), "group_by": name_of(p.group_by)} for p in join.right_parts]
    keys = dict.fromkeys(
        names.get(key, key)
        for part in join.right_parts
        for names in [{right: name for name, right in (part.key_mapping or {}).items()}]
        for key in part.group_by.keys
    )
    fields = [name for part in join.online_external_parts or () for name, _ in
              part.source.key_fields]  # fmt: skip
    return {
        "name": name_of(join),
        "description": join.description,
        "keys": [*dict.fromkeys([*keys, *fields])],
        "parts": parts,
        "columns": _columns(join, join.left.query.selects or {}),
    }


def _describe_group_by(served: ServedGroupBy, now: float) -> dict[str, Any]:
    group_by = served.group_by
    return {
        "name": served.name,
        "description": group_by.description,
        "keys": [*group_by.keys],
        "key_types": {key: str(served.schema.field(key).type) for key in group_by.keys},
        "accuracy": str(group_by.used_accuracy),
        "topic": group_by.topic,
        "columns": _columns(group_by, group_by.keys),
        "batch": {
            **_batch(served.batch),
            "uploaded_ms": served.uploaded_ms,
            "keys": served.keys,
            "age_ms": int(now * 1000) - served.batch.end,
            "is_too_old": int(now * 1000) > served.batch.last,
        },
        "previous_batch": None if served.previous is None else _batch(served.previous),
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "day": batch.day,
        "end_ms": batch.end,
        "served_until_ms": batch.last,
    }


def _columns(definition: GroupBy | Join, others: Iterable[str]) -> list[dict[str, Any]]:
    """Return the features with the columns of tables behind them."""
    try:
        lineage: Mapping[str, Any] = trace(definition)
    except GigacastError:
        return []
    hidden = set(others)
    return [
        {"name": name, "origins": [origin._asdict() for origin in origins]}
        for name, origins in lineage.items()
        if name not in hidden
    ]
