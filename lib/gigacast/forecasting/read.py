"""Reading forecasts back: one consistent generation, through the manifest."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.partition.name import month_of_folder
from gigacast.core.time.month import MonthFilter
from gigacast.errors import (
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.lake.layout import FORECASTS, manifest_key
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

READERS = 8


@dataclass(frozen=True, slots=True)
class Generation:
    """One spec that has a manifest: a finished run's consistent set of forecasts."""

    model: str
    version: str
    spec: str
    modified_ns: int

    @property
    def key(self) -> str:
        """Key of the manifest."""
        return manifest_key(self.model, self.version, self.spec)


def find_generations(outputs: Store) -> list[Generation]:
    """Return every spec with a manifest, the latest first: a few small listings."""
    found = []
    for spec_folder in _folders(outputs, FORECASTS, depth=3):
        model, version, spec = spec_folder.removeprefix(FORECASTS).strip("/").split("/")
        try:
            meta = outputs.head(manifest_key(model, version, spec))
        except ObjectNotFoundError:
            continue
        found.append(Generation(model, version, spec, meta.modified_ns))
    return sorted(found, key=lambda g: (-g.modified_ns, g.key))


def _folders(outputs: Store, prefix: str, depth: int) -> Iterator[str]:
    if depth == 0:
        yield prefix
        return
    for folder in outputs.list_folder(prefix).folders:
        yield from _folders(outputs, folder, depth - 1)


def choose_generation(
    outputs: Store, *, model: str | None = None, version: str | None = None, spec: str | None = None
) -> Generation:
    """Return the latest generation that matches.

    Raises
    ------
    DataNotFoundError
        When none does; the message names those there are.
    """
    generations = find_generations(outputs)
    wanted = {"model": model, "version": version, "spec": spec}
    for generation in generations:
        if all(value in (None, getattr(generation, name)) for name, value in wanted.items()):
            return generation
    asked = ", ".join(f"{name}={value}" for name, value in wanted.items() if value)
    there = ", ".join(f"{g.model}/{g.version}/{g.spec}" for g in generations[:5]) or "none"
    raise DataNotFoundError(
        f"{outputs.address.url}: no finished forecasts{f' with {asked}' if asked else ''}"
        f"; there are: {there}",
        hint="a run writes its manifest when it ends",
    )


def read_generation(
    outputs: Store,
    generation: Generation,
    *,
    months: MonthFilter | None = None,
    partitions: Sequence[str] | None = None,
    items: Sequence[object] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read one generation's predictions.

    Parameters
    ----------
    outputs : Store
    generation : Generation
    months : MonthFilter, optional
    partitions : sequence of str, optional
        Names as in the manifest, ``2014/03/EURUSD_1min_h15``.
    items : sequence, optional
        Item ids; others are left out.
    columns : sequence of str, optional

    Raises
    ------
    DataNotFoundError
        When nothing of it is asked for.
    InputChangedError
        When a forecast was replaced since the run that wrote the manifest ended.
    """
    manifest, _ = read_manifest(outputs, generation.key)
    rows = [r for r in manifest.to_pylist() if _asked(r["partition"], months, partitions)]
    if not rows:
        raise DataNotFoundError(f"{generation.key}: holds no partition that was asked for")

    def read(row: dict[str, str]) -> pa.Table:
        table = read_table(
            outputs, row["key"], columns=_with_items(columns, items), if_match=row["etag"]
        )
        return _of_items(table, items, columns)

    try:
        with ThreadPoolExecutor(READERS) as pool:
            tables = list(pool.map(read, rows))
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{generation.key}: a forecast was replaced after this manifest: {error.message}",
            hint="a run is under way or was killed; let one finish, then read again",
        ) from error
    return pa.concat_tables(
        [t.replace_schema_metadata() for t in tables], promote_options="permissive"
    )


def _asked(partition: str, months: MonthFilter | None, partitions: Sequence[str] | None) -> bool:
    if partitions is not None and partition not in partitions:
        return False
    if months is None:
        return True
    month = month_of_folder(partition.rpartition("/")[0])
    return month is not None and month in months


def _with_items(columns: Sequence[str] | None, items: Sequence[object] | None) -> list[str] | None:
    if columns is None:
        return None
    return list(dict.fromkeys([*columns, "item_id"] if items is not None else columns))


def _of_items(
    table: pa.Table, items: Sequence[object] | None, columns: Sequence[str] | None
) -> pa.Table:
    if items is None:
        return table
    values = pa.array(items).cast(table.schema.field("item_id").type)
    kept = table.filter(pc.is_in(table["item_id"], value_set=values))
    return kept if columns is None else kept.select(list(columns))
