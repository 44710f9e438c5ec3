"""Measurements of a server in the text format of Prometheus."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gigacast.feature_store.serve.exchange import Reply
from gigacast.feature_store.serve.library import import_extra

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Counters and gauges of a server, in a registry of its own.

    Names of definitions are labels only if they are served: what a stranger writes into a path
    makes no new series.

    Raises
    ------
    MissingExtraError
        If ``prometheus_client`` is not installed.
    """

    def __init__(self) -> None:
        library = import_extra("prometheus_client")
        self._library = library
        self._registry = library.CollectorRegistry()
        self._parts: dict[tuple[Any, tuple[str, ...]], Any] = {}
        library.ProcessCollector(registry=self._registry)
        self._requests = self._make(
            library.Counter, "requests", "Requests by status of HTTP", "kind", "status"
        )
        self._seconds = self._make(
            library.Histogram, "request_seconds", "Time of requests", "kind", buckets=_SECONDS
        )
        self._answers = self._make(
            library.Counter, "answers", "Answered keys by status", "name", "status"
        )
        self._errors = self._make(
            library.Counter, "part_errors", "Parts without an answer", "name", "part", "code"
        )
        self._batch_age = self._make(
            library.Gauge, "batch_age_seconds", "Age of the oldest batch of the last reply", "name"
        )
        self._freshness = self._make(
            library.Gauge, "freshness_seconds", "Age of the newest event of the last reply", "name"
        )
        self.in_flight = self._make(library.Gauge, "in_flight", "Requests that are being answered")

    def _make(self, kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
        return kind(f"gigacast_features_{name}", text, labels, registry=self._registry, **options)

    def count(self, kind: str, reply: Reply, seconds: float) -> None:
        """Count a reply to a question for features."""
        self._of(self._requests, kind, str(reply.status)).inc()
        self._of(self._seconds, kind).observe(seconds)
        results: Sequence[Any] = reply.content.get("results", ())
        if not results:
            return
        name = reply.content["name"]
        for status, count in Counter(result["status"] for result in results).items():
            self._of(self._answers, name, status).inc(count)
        failures = Counter(pair for result in results for pair in result["codes"].items())
        for (part, code), count in failures.items():
            self._errors.labels(name, part, code).inc(count)
        for field, gauge, choose in (
            ("batch_age_ms", self._batch_age, max),
            ("freshness_ms", self._freshness, min),
        ):
            ages = [result[field] for result in results if result[field] is not None]
            if ages:
                self._of(gauge, name).set(choose(ages) / 1000)

    def _of(self, metric: Any, *labels: str) -> Any:
        """Return the part of a metric with some labels. Kept: the library looks it up by a lock."""
        key = (metric, labels)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = metric.labels(*labels)
        return part

    def text(self) -> tuple[bytes, str]:
        """Return the measurements, and the type of their content."""
        content: bytes = self._library.generate_latest(self._registry)
        return content, str(self._library.CONTENT_TYPE_LATEST)
