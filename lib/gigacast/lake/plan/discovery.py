"""Partitions from listed input objects: names are parsed, twins left out, generations resolved."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gigacast.core.partition.name import WHOLE_MONTH, NamingPattern, Partitioning, PartitionName
from gigacast.core.partition.task import InputObject
from gigacast.core.time.month import Month, MonthFilter
from gigacast.lake.layout import month_output_name, output_name
from gigacast.storage.store import ObjectMeta


@dataclass(frozen=True)
class Selection:
    """The partitions that a job covers.

    Parameters
    ----------
    months : MonthFilter
    symbols, timeframes : frozenset of str
        Names to select; empty selects all.
    context_partitions : int
        Number of earlier months of the same symbol or part that are read as context.
    by_month : bool
        Whether the panel parts of a month are one partition.
    by_bucket : bool
        Whether those of each folder below a month are, with ``by_month``: ``2024/03/bucket=07``.
    """

    months: MonthFilter = field(default_factory=MonthFilter)
    symbols: frozenset[str] = frozenset()
    timeframes: frozenset[str] = frozenset()
    context_partitions: int = 0
    by_month: bool = False
    by_bucket: bool = False

    @property
    def partitioning(self) -> Partitioning:
        """What a partition is, as the setting ``partition_by`` names it."""
        if not self.by_month:
            return "object"
        return "bucket" if self.by_bucket else "month"

    def wants(self, name: PartitionName) -> bool:
        """Check whether a partition is selected."""
        return (
            name.month in self.months
            and (not self.symbols or name.symbol in self.symbols)
            and (not self.timeframes or name.timeframe in self.timeframes)
        )

    def needs(self, month: Month) -> bool:
        """Check whether a month is selected, or is context of a selected month."""
        return any(month.shift(k) in self.months for k in range(self.context_partitions + 1))


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition: its name, its objects and the name of its output.

    Parameters
    ----------
    name : PartitionName
    inputs : tuple of InputObject
        Objects in the order in which they are read; those of earlier months come first.
    context : int
        Number of inputs that are earlier months.
    output_name : str
        Key of the output below the folder of the spec.
    is_selected : bool
        Whether the partition is selected. Others are kept because their outputs are no orphans.
    """

    name: PartitionName
    inputs: tuple[InputObject, ...]
    context: int
    output_name: str
    is_selected: bool


@dataclass(slots=True)
class MonthPartitions:
    """The partitions of a month folder, and its other objects.

    Parameters
    ----------
    partitions : list of Partition
    superseded : list of str
        Keys of older generations.
    unmatched : list of str
        Keys that are no partition.
    twins : int
        Number of JSON files beside a Parquet file of the same name.
    """

    partitions: list[Partition] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    twins: int = 0


Named = tuple[PartitionName, ObjectMeta]


class Discoverer:
    """Turns the objects of month folders into partitions.

    The months of a folder style must come in time order: earlier ones are remembered as context.
    """

    def __init__(self, pattern: NamingPattern, selection: Selection) -> None:
        self._pattern = pattern
        self._selection = selection
        self._recent: dict[str, deque[tuple[Month, tuple[InputObject, ...]]]] = {}

    def discover(self, folder: str, objects: Iterable[ObjectMeta]) -> MonthPartitions:
        """Return the partitions of a month folder."""
        result = MonthPartitions()
        named = self._parse(objects, result)
        current = _newest_generations(_without_twins(named, result), result)
        groups = list(self._grouped(folder, _with_own_names(current)))
        outputs = _with_own_outputs([self._output_name(*group) for group in groups])
        for (name, entries), output in zip(groups, outputs, strict=True):
            own = tuple(InputObject(e.key, e.etag, e.size_bytes, n.extension) for n, e in entries)
            context = self._context(name, own)
            result.partitions.append(
                Partition(
                    name=name,
                    inputs=context + own,
                    context=len(context),
                    output_name=output,
                    is_selected=self._selection.wants(name),
                )
            )
        return result

    def _parse(self, objects: Iterable[ObjectMeta], result: MonthPartitions) -> list[Named]:
        named = []
        for entry in objects:
            name = self._pattern.parse(entry.key)
            if name is None:
                result.unmatched.append(entry.key)
            else:
                named.append((name, entry))
        return named

    def _grouped(
        self, folder: str, current: list[Named]
    ) -> Iterable[tuple[PartitionName, list[Named]]]:
        parts = [entry for entry in current if entry[0].symbol is None]
        if not (self._selection.by_month and parts):
            return [(entry[0], [entry]) for entry in current]
        month = parts[0][0].month
        folders: dict[str, list[Named]] = {}
        for entry in parts:
            own = entry[0].folder if self._selection.by_bucket else folder
            folders.setdefault(own, []).append(entry)
        groups = [
            (PartitionName(own, month, WHOLE_MONTH, "parquet"), entries)
            for own, entries in folders.items()
        ]
        named = [(entry[0], [entry]) for entry in current if entry[0].symbol is not None]
        return [*groups, *named]

    def _output_name(self, name: PartitionName, entries: list[Named]) -> str:
        whole_month = self._selection.by_month and name.symbol is None
        return month_output_name(name.folder) if whole_month else output_name(entries[0][1].key)

    def _context(
        self, name: PartitionName, own: tuple[InputObject, ...]
    ) -> tuple[InputObject, ...]:
        """Return the inputs of up to k earlier months, and remember those of this month."""
        count = self._selection.context_partitions
        if count == 0:
            return ()
        recent = self._recent.setdefault(name.lineage, deque(maxlen=count))
        # If months are missing, the remembered ones may be too old to be context.
        earliest = name.month.shift(-count)
        context = tuple(
            o for month, inputs in recent if earliest <= month < name.month for o in inputs
        )
        recent.append((name.month, own))
        return context


def _with_own_names(named: list[Named]) -> list[Named]:
    """Return partitions with names of their own: of `a.parquet` and `a.csv` the latter is `a.csv`.

    The names of all others stay as they are.
    """
    used_names: set[str] = set()
    # Parquet files keep their names, whatever else is beside them.
    for name, entry in sorted(
        named, key=lambda pair: (pair[0].extension != "parquet", pair[1].key)
    ):
        own = name
        while own.partition in used_names:
            own = replace(own, series_name=f"{own.series_name}.{name.extension}")
        used_names.add(own.partition)
        if own is not name:
            named = [(own, e) if e is entry else (n, e) for n, e in named]
    return named


def _with_own_outputs(names: list[str]) -> list[str]:
    """Return names of outputs of which no two are equal; those without a rival stay.

    `x.csv` and `x.csv.parquet` would both be forecast into `x.csv.parquet`, again and again. The
    second of them gets `x.csv.2.parquet`.
    """
    if len(set(names)) == len(names):
        return names
    used_names, own = set(names), []
    used: set[str] = set()
    for name in names:
        number, free = 2, name
        while free in used or (free != name and free in used_names):
            free = f"{name.removesuffix('.parquet')}.{number}.parquet"
            number += 1
        used.add(free)
        own.append(free)
    return own


def _without_twins(named: list[Named], result: MonthPartitions) -> list[Named]:
    """Leave out JSON files that describe a Parquet file of the same name."""
    stems = {e.key.removesuffix(".parquet") for n, e in named if n.extension == "parquet"}
    data = [
        (n, e)
        for n, e in named
        if not (n.extension == "json" and e.key.removesuffix(".json") in stems)
    ]
    result.twins += len(named) - len(data)
    return data


def _newest_generations(named: list[Named], result: MonthPartitions) -> list[Named]:
    """Keep the newest of the objects that differ only in their hash, in key order."""
    # By the store's time of the last write: the hash in the name says nothing about age.
    newest: dict[str, Named] = {}
    for name, entry in named:
        # Panel parts carry no hash: two endings of one stem are two partitions.
        identity = name.partition if name.generation is not None else entry.key
        rival = newest.get(identity)
        if rival is None:
            newest[identity] = (name, entry)
            continue
        older, newer = sorted(((name, entry), rival), key=_age)
        newest[identity] = newer
        result.superseded.append(older[1].key)
    return sorted(newest.values(), key=lambda pair: pair[1].key)


def _age(pair: Named) -> tuple[int, str]:
    return pair[1].modified_ns, pair[1].key
