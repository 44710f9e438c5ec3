"""The feature store: definitions of features, their point-in-time values, and their serving.

>>> from gigacast.feature_store import Operation
>>> Operation.LAST_K(10).k
10

The names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from gigacast.core.lazy import lazy_names

if TYPE_CHECKING:
    from gigacast.feature_store.api import backfill, label, read_table
    from gigacast.feature_store.definition.aggregation import (
        Aggregation,
        Operation,
        TimeUnit,
        Window,
    )
    from gigacast.feature_store.definition.group_by import Accuracy, Derivation, GroupBy
    from gigacast.feature_store.definition.join import (
        BootstrapPart,
        ContextualSource,
        ExternalPart,
        ExternalSource,
        Join,
        JoinPart,
        LabelPart,
    )
    from gigacast.feature_store.definition.source import (
        EntitySource,
        EventSource,
        JoinSource,
        Query,
        Source,
        select,
    )
    from gigacast.feature_store.definition.staging_query import StagingQuery

__all__ = [
    "Accuracy",
    "Aggregation",
    "BootstrapPart",
    "ContextualSource",
    "Derivation",
    "EntitySource",
    "EventSource",
    "ExternalPart",
    "ExternalSource",
    "GroupBy",
    "Join",
    "JoinPart",
    "JoinSource",
    "LabelPart",
    "Operation",
    "Query",
    "Source",
    "StagingQuery",
    "TimeUnit",
    "Window",
    "backfill",
    "label",
    "read_table",
    "select",
]

_HOMES = {
    "Accuracy": "gigacast.feature_store.definition.group_by",
    "Aggregation": "gigacast.feature_store.definition.aggregation",
    "BootstrapPart": "gigacast.feature_store.definition.join",
    "ContextualSource": "gigacast.feature_store.definition.join",
    "Derivation": "gigacast.feature_store.definition.group_by",
    "EntitySource": "gigacast.feature_store.definition.source",
    "EventSource": "gigacast.feature_store.definition.source",
    "ExternalPart": "gigacast.feature_store.definition.join",
    "ExternalSource": "gigacast.feature_store.definition.join",
    "GroupBy": "gigacast.feature_store.definition.group_by",
    "Join": "gigacast.feature_store.definition.join",
    "JoinPart": "gigacast.feature_store.definition.join",
    "JoinSource": "gigacast.feature_store.definition.source",
    "LabelPart": "gigacast.feature_store.definition.join",
    "Operation": "gigacast.feature_store.definition.aggregation",
    "Query": "gigacast.feature_store.definition.source",
    "Source": "gigacast.feature_store.definition.source",
    "StagingQuery": "gigacast.feature_store.definition.staging_query",
    "TimeUnit": "gigacast.feature_store.definition.aggregation",
    "Window": "gigacast.feature_store.definition.aggregation",
    "backfill": "gigacast.feature_store.api",
    "label": "gigacast.feature_store.api",
    "read_table": "gigacast.feature_store.api",
    "select": "gigacast.feature_store.definition.source",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
