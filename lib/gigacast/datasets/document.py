"""Documents of datasets: versions, descriptions, changes, contract reports, lineage, retirement."""

from collections.abc import Callable, Sequence
from typing import Any

from gigacast.core.contract.report import ContractReport
from gigacast.core.plural import counted
from gigacast.datasets.publish import PublishedDataset
from gigacast.datasets.versions import Retirement, VersionChanges, VersionDescription
from gigacast.lake.dataset.catalog import PUBLISHED, Deprecation
from gigacast.lake.dataset.lineage import UNCHANGED, Lineage, Link
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.metadata import describe_manifest
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Fact,
    Item,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
    titled,
)

_MAX_FILES = 20
_VERSION_COLUMNS = (
    Column("dataset", Kind.KEY),
    Column("version", Kind.KEY),
    Column("state"),
    Column("rows", Kind.COUNT),
    Column("files", Kind.COUNT, 2),
    Column("size", Kind.SIZE, 1),
    Column("created", Kind.DATE, 3),
    Column("what", priority=4, label="changelog"),
)
_COLUMN_COLUMNS = (
    Column("name", Kind.KEY),
    Column("type"),
    Column("missing", Kind.COUNT),
    Column("least", Kind.KEY, 1),
    Column("greatest", Kind.KEY, 1),
)
_CHANGE_COLUMNS = (
    Column("version", Kind.KEY),
    Column("when", Kind.DATE),
    Column("who", priority=1),
    Column("what"),
)
_SOURCE_COLUMNS = (
    Column("dataset", Kind.KEY),
    Column("key", Kind.KEY),
    Column("etag", Kind.KEY, 1),
)
_FILE_COLUMNS = (
    Column("path", Kind.KEY),
    Column("rows", Kind.COUNT),
    Column("size", Kind.SIZE),
    Column("key", Kind.KEY, 1),
)
_VIOLATION_COLUMNS = (
    Column("column", Kind.KEY),
    Column("rule"),
    Column("rows", Kind.COUNT),
    Column("detail"),
    Column("first", priority=1, label="first row"),
)


def versions_document(
    rows: Sequence[dict[str, Any]], url: str, complete: Callable[[str], str] = str
) -> Document:
    """Return a row per version, and the problems of damaged ones.

    Parameters
    ----------
    rows : sequence of dict
        Versions, as `list_versions` returns them.
    url : str
        Address of the lake.
    complete : callable
        Adds the flags for the lake to a suggested command; none by default.
    """
    if not rows:
        command = complete("gigacast data import bars.csv raw/NAME")
        hint = Items.of([f"`{command}` brings one in"], depth=1)
        return Document((Paragraph(f"no datasets under {url}"), hint))
    cells = [
        (
            row["dataset"],
            row["version"],
            "" if row["state"] == PUBLISHED else row["state"],
            row.get("rows"),
            row.get("files"),
            row.get("size_bytes"),
            str(row.get("created_at", "")),
            row.get("changelog", ""),
        )
        for row in rows
    ]
    problems = Items.of(f"problem: {row['problem']}" for row in rows if "problem" in row)
    return Document((*titled(url, Table(_VERSION_COLUMNS, tuple(cells))), problems))


def extent_text(manifest: DatasetManifest) -> str:
    """Return the size of a version: ``107 rows in 2 files``."""
    return f"{counted(manifest.rows, 'row')} in {counted(len(manifest.files), 'file')}"


def published_json(published: PublishedDataset) -> dict[str, Any]:
    """Return the metadata of a version, and whether it is new, for ``--json``."""
    return {"new": published.new, **describe_manifest(published.manifest)}


def description_document(description: VersionDescription, recipe: str = "") -> Document:
    """Return the facts, columns, changelog, sources and files of a version.

    Parameters
    ----------
    description : VersionDescription
    recipe : str
        Name of the recipe of a feature set.
    """
    manifest = description.manifest
    metadata = describe_manifest(manifest)
    columns = metadata["schema"]["columns"]
    changes = [
        (change.version, change.when, change.who, change.what) for change in manifest.changelog
    ]
    sources = [(source.dataset or "", source.key, source.etag) for source in manifest.dependencies]
    files = [(file.path, file.rows, file.size_bytes, file.key) for file in manifest.files]
    blocks: list[Block] = [
        _description_facts(description, recipe, metadata["time_range"]),
        *titled("Columns", _columns_table(columns)),
        *titled("Changelog", Table(_CHANGE_COLUMNS, tuple(changes))),
    ]
    if sources:
        blocks += titled("Made from", Table(_SOURCE_COLUMNS, tuple(sources), limit=_MAX_FILES))
    omission = "; --json lists all"
    blocks += titled("Files", Table(_FILE_COLUMNS, tuple(files), limit=_MAX_FILES, rest=omission))
    return Document(tuple(blocks))


def _description_facts(
    description: VersionDescription, recipe: str, times: dict[str, Any] | None
) -> KeyValues:
    manifest, note = description.manifest, description.deprecation
    return KeyValues.of(
        [
            ("dataset", str(manifest.ref)),
            ("deprecated", _deprecation_text(note)),
            ("instead", "" if note is None else note.instead or ""),
            ("rows", f"{manifest.rows:,} in {counted(len(manifest.files), 'file')}"),
            ("size", f"{quantity.size(manifest.size_bytes)}, {manifest.codec}"),
            ("time", "" if times is None else f"{times['start']} to {times['end']}"),
            ("complete", f"{manifest.completeness_percentage:g}%"),
            ("flags", ", ".join(manifest.quality_flags)),
            ("contract", _contract_name(manifest)),
            ("recipe", recipe),
            ("parts by", ", ".join(manifest.partition_by)),
            ("shares with", manifest.parent or ""),
            ("created", f"{manifest.created_at} by {manifest.created_by}"),
            ("software", ", ".join(f"{n} {v}" for n, v in manifest.software.items())),
            ("digest", manifest.digest),
        ]
    )


def _deprecation_text(note: Deprecation | None) -> str:
    return "" if note is None else f"{note.when[:10]} {note.why}".rstrip()


def _contract_name(manifest: DatasetManifest) -> str:
    contract = manifest.contract or {}
    return f"{contract.get('name')} {contract.get('version')}" if contract else ""


def _columns_table(columns: Sequence[dict[str, Any]]) -> Table:
    rows = [
        (c["name"], c["type"], c["null_count"], *(_limit(c, s) for s in ("minimum", "maximum")))
        for c in columns
    ]
    return Table(_COLUMN_COLUMNS, tuple(rows))


def _limit(column: dict[str, Any], side: str) -> Cell:
    value = column.get(side)
    # Footers have -0.0 for a least value of zero, as the Parquet format asks of writers.
    return None if value is None else str(0.0 if value in {"-0.0", 0.0} else value)


def file_document(footer: dict[str, Any]) -> Document:
    """Return the content of a Parquet file's footer."""
    size = quantity.size(footer["file_size_bytes"])
    embedded = footer["metadata"] or {}
    names = ("layer", "asset", "feature_set", "version", "created_at", "created_by")
    rows, groups = footer["num_rows"], footer["num_row_groups"]
    content = f"{counted(rows, 'row')}, {size}, {footer['compression']}"
    writer = f"{counted(groups, 'row group')}, written by {footer['created_by']}"
    return Document(
        (
            Paragraph(f"{footer['key']}: {content}"),
            Paragraph(writer),
            *titled("Columns", _columns_table(footer["columns"])),
            KeyValues.of((name, embedded.get(name)) for name in names),
            Items.of(f"{name}: {value[:200]}" for name, value in footer["custom"].items()),
        )
    )


def changes_document(changes: VersionChanges) -> Document:
    """Return the sizes of two versions, and the changes between them."""
    sides = Items.of(
        f"{manifest.ref}: {extent_text(manifest)}" for manifest in (changes.old, changes.new)
    )
    if not changes.drifts:
        same = "no column, share of missing values or promise changed"
        return Document((sides, Paragraph(same)))
    facts = (Fact(drift.change.name.lower(), str(drift)) for drift in changes.drifts)
    return Document((sides, KeyValues(tuple(facts))))


def report_document(report: ContractReport, source: str) -> Document:
    """Return every violation of a contract by a source, with its first row."""
    warnings = Items(tuple(Item(f"warning: {w}", tone=Tone.WARNING) for w in report.warnings))
    if report.ok:
        text = f"{source} keeps the contract {report.contract}: {counted(report.rows, 'row')}"
        return Document((warnings, Paragraph(text, Tone.GOOD)))
    rows = [
        (v.column, v.rule, v.count or "all", v.detail, _sample(v.sample)) for v in report.violations
    ]
    title = f"{source} breaks the contract {report.contract}"
    total = Paragraph(f"{report.bad_rows:,} of {counted(report.rows, 'row')} break a rule")
    table = Table(_VIOLATION_COLUMNS, tuple(rows))
    return Document((warnings, *titled(title, table), total))


def _sample(sample: Sequence[Any]) -> str:
    if not sample:
        return ""
    return ", ".join(f"{name} {value}" for name, value in sample[0].items())


def lineage_document(lineage: Lineage) -> Document:
    """Return sources and products as two lists, indented by their distance."""
    sources = _links("made from", lineage.sources, _source_text)
    products = _links("used by", lineage.products, _product_text)
    return Document((Items((Item(lineage.start), *sources, *products)),))


def _links(title: str, links: Sequence[Link], text: Callable[[Link], str]) -> list[Item]:
    if not links:
        return [Item(f"{title}: nothing that is known", 1)]
    return [Item(f"{title}:", 1), *(Item(text(link), 1 + link.depth) for link in _as_tree(links))]


def _as_tree(links: Sequence[Link]) -> list[Link]:
    """Return links in the order of a tree: each below the one that it leads on from."""
    below: dict[str, list[Link]] = {}
    for link in links:
        below.setdefault(link.via, []).append(link)
    ordered: list[Link] = []
    names = {link.name for link in links}
    pending = [link for link in reversed(links) if link.via not in names]
    while pending:
        link = pending.pop()
        ordered.append(link)
        is_last_of_its_name = not (pending and pending[-1].name == link.name)
        # Several objects of a dataset stand together, above what the dataset was made from.
        pending += reversed(below.pop(link.name, []) if is_last_of_its_name else [])
    return ordered


def _source_text(link: Link) -> str:
    return _link_text(link, f"{link.via} was {link.relation} it")


def _product_text(link: Link) -> str:
    return _link_text(link, f"{link.relation} {link.via}")


def _link_text(link: Link, relation: str) -> str:
    key = "" if link.key == link.name else f"  {link.key}"
    etag = f"  etag {link.etag}" if link.etag else ""
    state = "" if link.state == UNCHANGED else f"  [{link.state}]"
    return f"{link.name}{key}{etag}  ({relation}){state}"


def retirement_document(retirement: Retirement) -> Document:
    """Return the versions that go, or would go in a dry run, and those that stay."""
    plan, is_dry_run = retirement.plan, retirement.is_dry_run
    verb = "would delete" if is_dry_run else "deleted"
    texts = [f"{verb} {ref}" for ref in plan.versions]
    texts += [f"stays: {version}: {why}" for version, why in plan.refused.items()]
    texts += [f"stays, shared: {key}" for key in plan.shared_keys]
    if plan.versions:
        amount = f"{counted(len(plan.objects), 'object')}, {quantity.size(plan.size_bytes)}"
        texts.append(f"{amount}; --yes deletes them" if is_dry_run else f"{amount} deleted")
    else:
        texts.append("nothing to delete")
    return Document((Items.of(texts),))
