"""Datasets as people and programs read them: tables and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import click

from gigacast.cli.suggestion import proposed
from gigacast.core.contract.report import ContractReport
from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import DatasetIntegrityError
from gigacast.feature_sets.build import EXTRA as MADE_BY
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Deprecation, Lake
from gigacast.lake.dataset.lineage import Lineage, Link
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.metadata import describe_manifest
from gigacast.lake.dataset.retire import RetirePlan
from gigacast.report import quantity
from gigacast.report.table import print_table

_MOST_FILES = 20


def version_rows(lake: Lake, ref: DatasetRef) -> list[dict[str, Any]]:
    """Return what is to be said of each version of a dataset, oldest first."""
    rows = []
    for version, state in lake.versions(ref).items():
        one = replace(ref, version=version)
        row: dict[str, Any] = {"dataset": f"{ref.layer}/{ref.name}", "version": version}
        row["state"] = state
        try:
            known = lake.find(one) if state in {PUBLISHED, DEPRECATED} else None
        except DatasetIntegrityError as error:
            rows.append({**row, "state": "broken", "problem": error.message})
            continue
        if known is not None:
            row |= {
                "rows": known.rows,
                "size_bytes": known.size_bytes,
                "files": len(known.files),
                "created_at": known.created_at,
                "changelog": known.changelog[0].what if known.changelog else "",
            }
        rows.append(row)
    return rows


def print_versions(rows: Sequence[dict[str, Any]], where: str) -> None:
    """Print a line for every version."""
    if not rows:
        click.echo(f"no datasets under {where}")
        bring = proposed("gigacast data import bars.csv raw/NAME")
        click.echo(f"  `{bring}` brings one in")
        return
    columns = ("dataset", "version", "state", "rows", "files", "size", "created", "what")
    cells = [
        (
            row["dataset"],
            row["version"],
            "" if row["state"] == PUBLISHED else row["state"],
            row.get("rows"),
            row.get("files"),
            quantity.size(row["size_bytes"]) if "size_bytes" in row else "",
            str(row.get("created_at", ""))[:19],
            row.get("changelog", ""),
        )
        for row in rows
    ]
    print_table(where, columns, cells)
    for row in rows:
        if "problem" in row:
            click.echo(f"problem: {row['problem']}")


def describe_json(manifest: DatasetManifest) -> dict[str, Any]:
    """Return a version as metadata.json has it."""
    return describe_manifest(manifest)


def print_description(manifest: DatasetManifest, note: Deprecation | None) -> None:
    """Print all that is known of a version."""
    known = describe_manifest(manifest)
    times = known["time_range"]
    facts = (
        ("dataset", str(manifest.ref)),
        ("deprecated", "" if note is None else f"{note.when[:10]} {note.why}".rstrip()),
        ("instead", "" if note is None else note.instead or ""),
        ("rows", f"{manifest.rows:,} in {len(manifest.files)} files"),
        ("size", f"{quantity.size(manifest.size_bytes)}, {manifest.codec}"),
        ("time", "" if times is None else f"{times['start']} to {times['end']}"),
        ("complete", f"{manifest.completeness_percentage:g}%"),
        ("flags", ", ".join(manifest.quality_flags)),
        ("contract", _contract_name(manifest)),
        ("recipe", _recipe_name(manifest)),
        ("parts by", ", ".join(manifest.partition_by)),
        ("shares with", manifest.parent or ""),
        ("created", f"{manifest.created_at} by {manifest.created_by}"),
        ("software", ", ".join(f"{n} {v}" for n, v in manifest.software.items())),
        ("digest", manifest.digest),
    )
    for name, value in facts:
        if value:
            click.echo(f"{name:<12} {value}")
    columns = known["schema"]["columns"]
    rows = [(c["name"], c["type"], c["null_count"], *_limits(c)) for c in columns]
    click.echo()
    print_table("Columns", ("name", "type", "missing", "least", "greatest"), rows)
    changes = [(c.version, c.when[:19], c.who, c.what) for c in manifest.changelog]
    click.echo()
    print_table("Changelog", ("version", "when", "who", "what"), changes)
    if manifest.dependencies:
        made = [(one.dataset or "", one.key, one.etag) for one in manifest.dependencies]
        click.echo()
        print_table("Made from", ("dataset", "key", "etag"), made[:_MOST_FILES])
    files = [(f.path, f.rows, quantity.size(f.size_bytes), f.key) for f in manifest.files]
    click.echo()
    print_table("Files", ("path", "rows", "size", "key"), files[:_MOST_FILES])
    if len(files) > _MOST_FILES:
        click.echo(f"and {len(files) - _MOST_FILES} more; --json lists all")


def _contract_name(manifest: DatasetManifest) -> str:
    contract = manifest.contract or {}
    return f"{contract.get('name')} {contract.get('version')}" if contract else ""


def _recipe_name(manifest: DatasetManifest) -> str:
    made_by = manifest.extra.get(MADE_BY) or {}
    scaler = made_by.get("scaler")
    scaled = f", scaled ({scaler['method']}, up to {scaler['until']})" if scaler else ""
    return f"{made_by['recipe']['name']}{scaled}" if made_by else ""


def _limits(column: dict[str, Any]) -> tuple[str, str]:
    return tuple(
        "" if (value := column.get(side)) is None else str(value) for side in ("minimum", "maximum")
    )  # type: ignore[return-value]


def print_file(known: dict[str, Any]) -> None:
    """Print what a file's footer says."""
    size = quantity.size(known["file_size_bytes"])
    click.echo(f"{known['key']}: {known['num_rows']:,} rows, {size}, {known['compression']}")
    click.echo(f"{known['num_row_groups']} row groups, written by {known['created_by']}\n")
    rows = [
        (c["name"], c["type"], "" if c["null_count"] is None else c["null_count"], *_limits(c))
        for c in known["columns"]
    ]
    print_table("Columns", ("name", "type", "missing", "least", "greatest"), rows)
    embedded = known["metadata"] or {}
    for name in ("layer", "asset", "feature_set", "version", "created_at", "created_by"):
        if embedded.get(name):
            click.echo(f"{name:<12} {embedded[name]}")
    for name, value in known["custom"].items():
        click.echo(f"{name}: {value[:200]}")


def report_json(report: ContractReport) -> dict[str, Any]:
    """Return a report as plain values."""
    return {**asdict(report), "ok": report.ok}


def print_report(report: ContractReport, where: str) -> None:
    """Print every violation, with its first rows."""
    for warning in report.warnings:
        click.echo(f"warning: {warning}")
    if report.ok:
        click.echo(f"{where} keeps the contract {report.contract}: {report.rows:,} rows")
        return
    rows = [
        (one.column, one.rule, one.count or "all", one.detail, _sample(one.sample))
        for one in report.violations
    ]
    title = f"{where} breaks the contract {report.contract}"
    print_table(title, ("column", "rule", "rows", "", "first"), rows)
    click.echo(f"\n{report.bad_rows:,} of {report.rows:,} rows break a rule")


def _sample(sample: Sequence[Any]) -> str:
    if not sample:
        return ""
    return ", ".join(f"{name} {value}" for name, value in sample[0].items())


def lineage_json(found: Lineage) -> dict[str, Any]:
    """Return a lineage as plain values."""
    return asdict(found)


def print_lineage(found: Lineage) -> None:
    """Print both directions, a step an indentation."""
    click.echo(found.start)
    both = (("made from", found.sources, _source_text), ("used by", found.products, _product_text))
    for title, links, text in both:
        if not links:
            click.echo(f"  {title}: nothing that is known")
            continue
        click.echo(f"  {title}:")
        for link in links:
            click.echo(f"  {'  ' * link.depth}{text(link)}")


def _source_text(link: Link) -> str:
    return _link_text(link, f"{link.via} was {link.relation} it")


def _product_text(link: Link) -> str:
    return _link_text(link, f"{link.relation} {link.via}")


def _link_text(link: Link, how: str) -> str:
    key = "" if link.key == link.name else f"  {link.key}"
    etag = f"  etag {link.etag}" if link.etag else ""
    state = "" if link.state == "as it was" else f"  [{link.state}]"
    return f"{link.name}{key}{etag}  ({how}){state}"


def print_plan(plan: RetirePlan, deleted: int, *, sure: bool, as_json: bool) -> None:
    """Print what retiring deletes, or would."""
    if as_json:
        content = {
            "versions": [str(ref) for ref in plan.versions],
            "objects": [entry.key for entry in plan.objects],
            "size_bytes": plan.size_bytes,
            "kept": list(plan.kept),
            "refused": plan.refused,
            "deleted": deleted,
        }
        click.echo(json.dumps(content, indent=1))
        return
    for ref in plan.versions:
        click.echo(f"{'deleted' if sure else 'would delete'} {ref}")
    for version, why in plan.refused.items():
        click.echo(f"stays: {version}: {why}")
    for key in plan.kept:
        click.echo(f"stays, shared: {key}")
    amount = f"{len(plan.objects)} objects, {quantity.size(plan.size_bytes)}"
    if not plan.versions:
        click.echo("nothing to delete")
    else:
        click.echo(f"{amount} deleted" if sure else f"{amount}; --yes deletes them")
