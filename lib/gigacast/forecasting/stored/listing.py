"""What `gigacast ls` lists: specs, model versions, partitions and items with finished forecasts."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.partition.name import month_of_folder
from gigacast.core.time.month import MonthFilter
from gigacast.errors import DataNotFoundError
from gigacast.forecasting.read import (
    Generation,
    find_generations,
    list_kept_runs,
    months_of,
)
from gigacast.forecasting.stored.choice import (
    MOST_OTHERS,
    Chosen,
    choose_generation_by_spec,
    name_of,
    read_recipe,
)
from gigacast.forecasting.stored.search import names_of_items
from gigacast.lake.layout import output_id
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.origin import CUTOFF, UNKNOWN, cutoff_text, list_origins
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Items,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store, StoreAddress

Listed = Literal["specs", "versions", "partitions", "items", "origins", "runs"]
KINDS: tuple[str, ...] = get_args(Listed)
_OTHERS_SHOWN = 5
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "specs": (
        Column("spec", Kind.KEY),
        Column("model", Kind.KEY),
        Column("version", Kind.KEY, 2),
        Column("finished", Kind.DATE, 1),
        Column("partitions", Kind.COUNT, 1),
        Column("rows", Kind.COUNT, 2),
        Column("unlike the latest", Kind.TEXT),
    ),
    "versions": (
        Column("model", Kind.KEY),
        Column("version", Kind.KEY),
        Column("specs", Kind.COUNT),
        Column("finished", Kind.DATE),
    ),
    "partitions": (
        Column("partition", Kind.KEY),
        Column("rows", Kind.COUNT),
        Column("size", Kind.SIZE, 1),
        Column("key", Kind.KEY, 2),
    ),
    "items": (Column("item", Kind.KEY), Column("partition", Kind.KEY, 1)),
    "origins": (
        Column("origin", Kind.KEY),
        Column("made", Kind.DATE),
        Column("size", Kind.SIZE, 1),
        Column("partition", Kind.KEY, 2),
        Column("key", Kind.KEY, 3),
    ),
    "runs": (
        Column("run", Kind.KEY),
        Column("finished", Kind.DATE),
        Column("partitions", Kind.COUNT),
        Column("rows", Kind.COUNT, 1),
    ),
}


@dataclass(frozen=True)
class Listing:
    """Entries of one kind.

    Parameters
    ----------
    kind : str
        What is listed, see `KINDS`.
    entries : list of dict
        Values by name, for programs.
    total : int, optional
        Number of all entries, of which these are the first; unknown by default.
    chosen : Generation, optional
        Finished forecasts that partitions and items are those of.
    """

    kind: str
    entries: list[dict[str, Any]]
    total: int | None = None
    chosen: Generation | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entries for ``--json``."""
        chosen = {"forecasts": name_of(self.chosen)} if self.chosen is not None else {}
        return {**chosen, self.kind: self.entries, "total": self.total}


def list_forecasts(  # noqa: PLR0913 - keywords, each the name of a flag
    address: StoreAddress,
    kind: str,
    *,
    spec: str | None = None,
    months: MonthFilter | None = None,
    partition: str | None = None,
    like: str = "",
    count: int = 50,
) -> Listing:
    """Return what has finished forecasts.

    Parameters
    ----------
    address : StoreAddress
        Root of the forecasts.
    kind : {"specs", "versions", "partitions", "items", "origins", "runs"}
    spec : str, optional
        Spec of partitions, items, origins and runs; the latest by default.
    months : MonthFilter, optional
        Months of partitions; all by default.
    partition : str, optional
        Partition of items and origins; the newest by default.
    like : str
        Text that the names contain; any by default.
    count : int
        Maximum number of entries.

    Raises
    ------
    DataNotFoundError
        If there are no finished forecasts, or no such partition.
    ConfigError, StorageError, CorruptedFileError
    """
    outputs = open_store(address)
    outputs.check()
    generations = find_generations(outputs)
    if not generations:
        raise DataNotFoundError(
            f"{outputs.address.url}: no finished forecasts",
            hint="a run writes its manifest when it ends; `gigacast status` counts what is done",
        )
    if kind == "specs":
        return _specs(outputs, [g for g in generations if like in g.spec], generations[0], count)
    if kind == "versions":
        return _versions([g for g in generations if like in f"{g.model}/{g.version}"], count)
    chosen = choose_generation_by_spec(outputs, generations, spec)
    if kind == "runs":
        return _runs(outputs, chosen, like, count)
    rows = _rows(outputs, chosen, months or MonthFilter())
    if kind == "partitions":
        rows = [row for row in rows if like in row["partition"]]
        names = ("partition", "rows", "size_bytes", "key", "etag")
        entries = [{name: row[name] for name in names} for row in rows[:count]]
        return Listing(kind, entries, len(rows), chosen)
    row = _one_of(rows, partition, chosen)
    if kind == "origins":
        return _origins(outputs, row, chosen, like, count)
    items = names_of_items(outputs, row, count, like)
    entries = [{"item": item, "partition": row["partition"]} for item in items]
    return Listing(kind, entries, None if len(items) == count else len(items), chosen)


def _specs(
    outputs: Store, generations: list[Generation], latest: Generation, count: int
) -> Listing:
    own = read_recipe(outputs, latest)
    entries = []
    # Recipes are read of a few only: each is a request for the footer of a forecast.
    for place, generation in enumerate(generations[:count]):
        recipe = read_recipe(outputs, generation) if place < MOST_OTHERS else None
        manifest, _ = read_manifest(outputs, generation.key)
        differs = recipe.differences(own) if recipe is not None and own is not None else None
        entries.append(
            {
                **name_of(generation),
                "finished": _moment(generation),
                "partitions": manifest.num_rows,
                "rows": _sum(manifest),
                "settings": None if recipe is None else recipe.flags,
                "differences": differs,
            }
        )
    return Listing("specs", entries, len(generations))


def _versions(generations: list[Generation], count: int) -> Listing:
    versions: dict[tuple[str, str], list[Generation]] = {}
    for generation in generations:
        versions.setdefault((generation.model, generation.version), []).append(generation)
    entries = [
        {"model": model, "version": version, "specs": len(own), "finished": _moment(own[0])}
        for (model, version), own in versions.items()
    ]
    return Listing("versions", entries[:count], len(entries))


def _runs(outputs: Store, generation: Generation, like: str, count: int) -> Listing:
    """Return the runs whose manifests are kept, the latest first."""
    runs = [(run, entry) for run, entry in list_kept_runs(outputs, generation) if like in run]
    entries: list[dict[str, Any]] = []
    for place, (run, entry) in enumerate(runs[:count]):
        # Counts are read of a few only: a manifest has a row for each partition.
        manifest = read_manifest(outputs, entry.key)[0] if place < MOST_OTHERS else None
        entries.append(
            {
                "run": run,
                "finished": _time_of(entry.modified_ns),
                "partitions": None if manifest is None else manifest.num_rows,
                "rows": None if manifest is None else _sum(manifest),
            }
        )
    return Listing("runs", entries, len(runs), generation)


def _origins(
    outputs: Store, row: dict[str, Any], generation: Generation, like: str, count: int
) -> Listing:
    """Return the forecasts of a partition: the current one, then those that are kept."""
    current = read_table(
        outputs, row["key"], lambda schema: [CUTOFF] if CUTOFF in schema.names else []
    )
    label = cutoff_text(pc.max(current[CUTOFF])) if current.column_names else UNKNOWN
    meta = outputs.head(row["key"])
    forecasts = [(label, meta)]
    # A copy of the current forecast is there for a moment before it is replaced.
    forecasts += [
        (origin.cutoff, origin.meta)
        for origin in list_origins(outputs, row["key"])
        if origin.output_id != output_id(meta.etag)
    ]
    entries = [
        {
            "origin": cutoff,
            "made": _time_of(entry.modified_ns),
            "size_bytes": entry.size_bytes,
            "partition": row["partition"],
            "key": entry.key,
            "is_current": entry.key == row["key"],
        }
        for cutoff, entry in forecasts
        if like in cutoff
    ]
    return Listing("origins", entries[:count], len(entries), generation)


def _sum(manifest: pa.Table) -> int:
    return sum(filter(None, manifest["rows"].to_pylist()))


def _rows(outputs: Store, generation: Generation, months: MonthFilter) -> list[dict[str, Any]]:
    """Return the rows of a manifest in some months, the newest month first."""
    manifest, _ = read_manifest(outputs, generation.key)
    months = months.among(months_of(manifest))
    dated = [(month_of_folder(r["partition"].rpartition("/")[0]), r) for r in manifest.to_pylist()]
    chosen = [(month, row) for month, row in dated if month is not None and month in months]
    newest = sorted(chosen, key=lambda pair: pair[1]["partition"])
    return [row for _, row in sorted(newest, key=lambda pair: pair[0], reverse=True)]


def _one_of(
    rows: list[dict[str, Any]], partition: str | None, chosen: Generation
) -> dict[str, Any]:
    names = [row["partition"] for row in rows]
    if partition is None and rows:
        return rows[0]
    if partition is None or partition.strip("/") not in names:
        raise DataNotFoundError(
            f"{chosen.key}: no partition {partition or 'of these months'}",
            hint="`gigacast ls partitions` lists them",
        )
    return rows[names.index(partition.strip("/"))]


def _moment(generation: Generation) -> str:
    return _time_of(generation.modified_ns)


def _time_of(modified_ns: int) -> str:
    return datetime.fromtimestamp(modified_ns / 1e9, UTC).isoformat(timespec="seconds")


def listing_document(listing: Listing) -> Document:
    """Return the entries as a table, and how many there are besides."""
    columns = _COLUMNS[listing.kind]
    rows = tuple(
        tuple(_cell(entry, column.name) for column in columns) for entry in listing.entries
    )
    shown = len(listing.entries)
    more = ""
    if listing.total is None:
        more = f"the first {shown:,}; --count shows more, --like TEXT others"
    elif listing.total > shown:
        more = f"{shown:,} of {listing.total:,}; --count shows more"
    chosen = listing.chosen
    heading = f"of {chosen.model}/{chosen.version}/{chosen.spec}" if chosen is not None else ""
    before, after = ([Paragraph(text, Tone.QUIET)] if text else [] for text in (heading, more))
    return Document((*before, Table(columns, rows), *after))


def choice_blocks(chosen: Chosen) -> tuple[Block, ...]:
    """Return which forecasts were chosen, and in what others differ."""
    own = chosen.generation
    if own is None:
        return ()
    lines = [
        f"{entry.generation.spec}: {differences_text(entry.differences) or 'the same settings'}"
        for entry in chosen.alternatives
    ]
    text = f"forecasts: {own.model} {own.version}, {own.spec}; others, by --spec:"
    return Paragraph(text, Tone.QUIET), Items.of(lines, depth=1, limit=_OTHERS_SHOWN)


def _cell(entry: dict[str, Any], name: str) -> Cell:
    if name == "unlike the latest":
        return differences_text(entry["differences"])
    value: Cell = entry["size_bytes"] if name == "size" else entry[name]
    return value


def differences_text(differences: dict[str, Any] | None) -> str:
    """Return the settings in which a spec differs as one line."""
    if differences is None:
        return "made by an earlier release, or not compared"
    # A digest belongs to the version. Names of engines hold revisions, which no flag chooses; they
    # are shown where nothing else tells two specs apart.
    hidden = {"digest", "engine", *(("model_engine",) if "model" in differences else ())}
    shown = {n: v for n, v in differences.items() if n not in hidden}
    if not shown and "engine" in differences:
        shown = {"engine": differences["engine"]}
    return ", ".join(f"{name} {_text(value)}" for name, value in shown.items())


def _text(value: Any) -> str:
    if value is None:
        return "by default"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
