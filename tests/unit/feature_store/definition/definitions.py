"""Small definitions for tests, and readers of the short forms in vectors."""

import re
from typing import Any

from gigacast.feature_store import (
    Aggregation,
    Derivation,
    EntitySource,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    JoinSource,
    Operation,
    Query,
    Source,
    TimeUnit,
    Window,
    select,
)


def events(topic: str | None = None, **query: Any) -> Source:
    """Return a source of events."""
    return Source(
        events=EventSource(
            table="data.events", topic=topic, query=Query(**{"time_column": "ts", **query})
        )
    )


def entities(**parts: Any) -> Source:
    """Return a source of entities that selects `user_id` and `email`."""
    query = parts.pop("query", Query(selects=select("user_id", "email"), time_column="ts"))
    return Source(entities=EntitySource(snapshotTable="data.users", query=query, **parts))


def group_by(**parts: Any) -> GroupBy:
    """Return a group-by over events with a sum; parts replace the fields."""
    fields = {
        "sources": [events()],
        "keys": ["user_id"],
        "aggregations": [Aggregation("price", Operation.SUM)],
        "name": "team.purchases.v1",
    }
    return GroupBy(**{**fields, **parts})


def join(*parts: GroupBy, **fields: Any) -> Join:
    """Return a join of group-bys to events that select their key."""
    left = fields.pop("left", events(selects=select("user_id")))
    name = fields.pop("name", "team.training_set.v1")
    right_parts = [JoinPart(group_by=part) for part in parts or (group_by(),)]
    return Join(left=left, right_parts=right_parts, name=name, **fields)


def read_operation(text: str, k: int | None = None) -> Operation:
    """Return the operation of `SUM`, `LAST_K(10)` or `APPROX_PERCENTILE([0.5], k=200)`."""
    name, _, arguments = text.partition("(")
    operation: Operation = getattr(Operation, name)
    if k is not None:
        return operation(k)
    if not arguments:
        return operation
    levels = re.search(r"\[(.*)\]", arguments)
    size = re.search(r"k=(\d+)", arguments)
    if levels:
        values = [float(level) for level in levels[1].split(",")]
        return operation(values, k=int(size[1])) if size else operation(values)
    return operation(int(arguments.rstrip(")")))


def read_aggregation(entry: list[Any]) -> Aggregation:
    """Return the aggregation of `["event", "SUM", ["7d"]]`."""
    windows = entry[2] if len(entry) > 2 else None
    return Aggregation(entry[0], read_operation(entry[1]), windows=windows)


def read_windows(entries: list[list[Any]]) -> list[Window]:
    """Return the windows of `[[7, "DAYS"]]`."""
    return [Window(length, TimeUnit(unit)) for length, unit in entries]


def source_of(text: str) -> Source:
    """Return the source that a validation vector describes in words."""
    streamed = EntitySource(snapshotTable="data.users", mutationTopic="users", query=Query())
    parents = {
        "join source whose left has no topic": events(selects=select("user_id")),
        "join source whose left has a topic": events("views", selects=select("user_id")),
        "join source whose left is entities with mutation topic": Source(entities=streamed),
    }
    if text in parents:
        return Source(joinSource=JoinSource(join=join(left=parents[text]), query=Query()))
    return {
        "events": events(),
        "events with topic": events("events.topic"),
        "entities": entities(),
        "entities with mutations": entities(mutationTable="data.user_changes"),
        "cumulative events without time column": Source(
            events=EventSource(table="data.events", isCumulative=True, query=Query())
        ),
        "cumulative events": Source(
            events=EventSource(
                table="data.events",
                isCumulative=True,
                query=Query(selects=select("user_id"), time_column="ts"),
            )
        ),
    }[text]


UNKNOWN = [Derivation("double", "2 * no_such_column")]
