"""Sums over the partitions of a run."""

from dataclasses import asdict, dataclass, field
from typing import Any

from gigacast.lake.plan.receipt import Receipt, merge_counts


@dataclass(slots=True)
class Totals:
    """Sums over the partitions that a run finished.

    ``kept`` are the series that kept their rows; ``None`` for runs that are not incremental.
    ``usage`` is that of a model behind an API, by name; empty for other models.
    """

    partitions: int = 0
    series: int = 0
    rows: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    peak_rss_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    kept: int | None = None
    usage: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, receipt: Receipt) -> "Totals":
        """Return the totals of a single partition."""
        return cls(
            partitions=1,
            series=receipt.series,
            rows=receipt.rows,
            rows_written=int(str(receipt.output["rows"])),
            bytes_read=receipt.size_bytes,
            bytes_written=int(str(receipt.output["size_bytes"])),
            peak_rss_bytes=receipt.peak_rss_bytes,
            seconds=receipt.seconds,
            reasons=receipt.reasons,
            repairs=receipt.repairs,
            kept=receipt.kept,
            usage=receipt.usage,
        )

    def add(self, receipt: Receipt) -> None:
        """Add one partition."""
        self.merge(Totals.of(receipt))

    def merge(self, totals: "Totals") -> None:
        """Add the totals of other partitions, which another process may have done."""
        for name in ("partitions", "series", "rows", "rows_written", "bytes_read", "bytes_written"):
            setattr(self, name, getattr(self, name) + getattr(totals, name))
        if totals.kept is not None:
            self.kept = (self.kept or 0) + totals.kept
        # Partitions run one after the other in a process: their peaks do not add up.
        self.peak_rss_bytes = max(self.peak_rss_bytes, totals.peak_rss_bytes)
        for stage, seconds in totals.seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)
        for name, amount in totals.usage.items():
            self.usage[name] = round(self.usage.get(name, 0.0) + amount, 6)
        merge_counts(self.reasons, totals.reasons)
        merge_counts(self.repairs, totals.repairs)

    def describe(self) -> dict[str, Any]:
        """Return the sums for an audit, where those of runs that keep nothing stay as they were."""
        sums = {name: value for name, value in asdict(self).items() if value is not None}
        if not self.usage:
            del sums["usage"]
        return sums
