"""The feature store: definitions of features, their point-in-time values, and their serving.

>>> from gigacast.feature_store import Operation
>>> Operation.LAST_K(10).k
10

The names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from gigacast.core.lazy import lazy_names

if TYPE_CHECKING:
    from gigacast.feature_store.api import (
        backfill,
        label,
        open_features,
        read_features,
        read_table,
    )
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
    from gigacast.feature_store.online.fetcher import Fetcher
    from gigacast.feature_store.online.question import Request, Response
    from gigacast.feature_store.served import (
        fetch_group_by,
        fetch_group_by_async,
        fetch_join,
        fetch_join_async,
        open_fetcher,
        open_request_log,
        upload,
        upload_metadata,
    )
    from gigacast.feature_store.trust.request_log import RequestLog

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
    "Fetcher",
    "GroupBy",
    "Join",
    "JoinPart",
    "JoinSource",
    "LabelPart",
    "Operation",
    "Query",
    "Request",
    "RequestLog",
    "Response",
    "Source",
    "StagingQuery",
    "TimeUnit",
    "Window",
    "backfill",
    "fetch_group_by",
    "fetch_group_by_async",
    "fetch_join",
    "fetch_join_async",
    "label",
    "open_features",
    "open_fetcher",
    "open_request_log",
    "read_features",
    "read_table",
    "select",
    "upload",
    "upload_metadata",
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
    "Fetcher": "gigacast.feature_store.online.fetcher",
    "GroupBy": "gigacast.feature_store.definition.group_by",
    "Join": "gigacast.feature_store.definition.join",
    "JoinPart": "gigacast.feature_store.definition.join",
    "JoinSource": "gigacast.feature_store.definition.source",
    "LabelPart": "gigacast.feature_store.definition.join",
    "Operation": "gigacast.feature_store.definition.aggregation",
    "Query": "gigacast.feature_store.definition.source",
    "Request": "gigacast.feature_store.online.question",
    "RequestLog": "gigacast.feature_store.trust.request_log",
    "Response": "gigacast.feature_store.online.question",
    "Source": "gigacast.feature_store.definition.source",
    "StagingQuery": "gigacast.feature_store.definition.staging_query",
    "TimeUnit": "gigacast.feature_store.definition.aggregation",
    "Window": "gigacast.feature_store.definition.aggregation",
    "backfill": "gigacast.feature_store.api",
    "fetch_group_by": "gigacast.feature_store.served",
    "fetch_group_by_async": "gigacast.feature_store.served",
    "fetch_join": "gigacast.feature_store.served",
    "fetch_join_async": "gigacast.feature_store.served",
    "label": "gigacast.feature_store.api",
    "open_fetcher": "gigacast.feature_store.served",
    "open_features": "gigacast.feature_store.api",
    "read_features": "gigacast.feature_store.api",
    "open_request_log": "gigacast.feature_store.served",
    "read_table": "gigacast.feature_store.api",
    "select": "gigacast.feature_store.definition.source",
    "upload": "gigacast.feature_store.served",
    "upload_metadata": "gigacast.feature_store.served",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
