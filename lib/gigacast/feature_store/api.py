"""What users write definitions with."""

from gigacast.feature_store.definition.aggregation import Aggregation, Operation, TimeUnit, Window
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
    "select",
]
