"""Reading of forecasts: a consistent generation, through its manifest."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from gigacast.core.partition.name import month_of_folder
from gigacast.core.time.month import Month, MonthFilter
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
)
from gigacast.forecasting.rows import LATEST, OriginReader, concatenated
from gigacast.lake.layout import (
    FORECASTS,
    kept_manifest_key,
    manifest_key,
    outdated_key,
)
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.opening import open_store
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
READERS = 8
"""Files read in parallel."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A spec with a manifest: the consistent set of forecasts of the last finished run."""

    model: str
    version: str
    spec: str
    modified_ns: int

    @property
    def key(self) -> str:
        """Key of the manifest."""
        return manifest_key(self.model, self.version, self.spec)


def open_forecasts(address: StoreAddress) -> Store:
    """Open the place of forecasts.

    Raises
    ------
    StorageError
        If it cannot be reached: a misspelt bucket must not be reported as one without forecasts.
    """
    outputs = open_store(address)
    outputs.check()
    return outputs


def find_generations(outputs: Store) -> list[Generation]:
    """Return all specs with a manifest, the latest first, from a few small listings."""
    generations = []
    for spec_folder in _folders(outputs, FORECASTS, depth=3):
        model, version, spec = spec_folder.removeprefix(FORECASTS).strip("/").split("/")
        try:
            meta = outputs.head(manifest_key(model, version, spec))
        # No run with this spec has ended yet.
        except ObjectNotFoundError:
            continue
        generations.append(Generation(model, version, spec, meta.modified_ns))
    return sorted(generations, key=lambda g: (-g.modified_ns, g.key))


def _folders(outputs: Store, prefix: str, depth: int) -> Iterator[str]:
    if depth == 0:
        yield prefix
        return
    for folder in outputs.list_folder(prefix).folders:
        yield from _folders(outputs, folder, depth - 1)


def choose_generation(
    outputs: Store,
    *,
    model: str | None = None,
    version: str | None = None,
    spec: str | None = None,
    run: str | None = None,
) -> Generation:
    """Return the latest generation of a model, version and spec; each is optional.

    A model may be named with its version, as NAME/VERSION. Without any of them, that of a run.

    Raises
    ------
    DataNotFoundError
        When no generation matches; the message names those that exist.
    """
    if run is not None and not (model or version or spec):
        of_run = choose_run(outputs, run)
        if of_run is not None:
            return of_run
    generations = find_generations(outputs)
    names = {"model": model, "version": version, "spec": spec}
    for is_named in (_has_values, _begins_with_spec):
        for generation in generations:
            if is_named(generation, names):
                return generation
    request = ", ".join(f"{name}={value}" for name, value in names.items() if value)
    existing = ", ".join(f"{g.model}/{g.version}/{g.spec}" for g in generations[:5]) or "none"
    raise DataNotFoundError(
        f"{outputs.address.url}: no finished forecasts{f' with {request}' if request else ''}"
        f"; there are: {existing}",
        hint="a run writes its manifest when it ends",
    )


def _has_values(generation: Generation, names: Mapping[str, str | None]) -> bool:
    if names["model"] == f"{generation.model}/{generation.version}":
        names = {**names, "model": None}
    return all(value in (None, getattr(generation, name)) for name, value in names.items())


def _begins_with_spec(generation: Generation, names: Mapping[str, str | None]) -> bool:
    spec = names["spec"]
    return bool(spec) and (
        is_spec(generation, str(spec)) and _has_values(generation, {**names, "spec": None})
    )


def is_spec(generation: Generation, start: str) -> bool:
    """Return whether the spec's id, or the digest at its end, begins with a text."""
    return generation.spec.startswith(start) or generation.spec.rpartition("-")[2].startswith(start)


def read_generation(  # noqa: PLR0913 - keywords, each a part of what is read
    outputs: Store,
    generation: Generation,
    *,
    months: MonthFilter | None = None,
    partitions: Sequence[str] | None = None,
    items: Sequence[object] | None = None,
    columns: Sequence[str] | None = None,
    origin: str = LATEST,
    run: str | None = None,
) -> pa.Table:
    """Return the predictions of a generation.

    Parameters
    ----------
    outputs : Store
    generation : Generation
    months : MonthFilter, optional
        Months to read; all by default.
    partitions : sequence of str, optional
        Names as in the manifest, ``2014/03/EURUSD_1min_h15``; all by default.
    items : sequence, optional
        Item ids; all by default. With several columns of items, a tuple of values for each.
    columns : sequence of str, optional
        Names of columns; all by default.
    origin : str
        Forecasts of a partition to read; see `OriginReader`.
    run : str, optional
        Id of an earlier run, whose forecasts are read as it left them; the last one by default.

    Raises
    ------
    ConfigError
        When the origin is none.
    DataNotFoundError
        When no partition matches, or none has this origin.
    SchemaError
        When the partitions are of types that do not fit one table.
    InputChangedError
        When a forecast was replaced after the run that wrote the manifest.
    """
    if run is None:
        manifest, _ = read_manifest(outputs, generation.key)
        check_current(outputs, generation)
    else:
        manifest = _manifest_of(outputs, generation, run, origin)
    if months is not None and months.latest:
        months = months.among(months_of(manifest))
    rows = [r for r in manifest.to_pylist() if _is_selected(r["partition"], months, partitions)]
    if not rows:
        raise DataNotFoundError(f"{generation.key}: holds none of the requested partitions")
    reader = OriginReader(outputs, origin, items=items, columns=columns, as_run=run is not None)
    try:
        with ThreadPoolExecutor(READERS) as pool:
            tables = [table for table in pool.map(reader.read, rows) if table is not None]
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{generation.key}: a forecast was replaced after this manifest: {error.message}",
            hint="a run is under way or was killed; let one finish, then read again",
        ) from error
    if not tables:
        raise DataNotFoundError(
            f"{generation.key}: none of the requested partitions has a forecast of {origin}",
            hint='origin="all" reads all that are kept; the column cutoff has their times',
        )
    # The metadata of a file names its own partition only.
    return _joined([table.replace_schema_metadata() for table in tables], generation)


def _manifest_of(outputs: Store, generation: Generation, run: str, origin: str) -> pa.Table:
    """Return the manifest that a run left."""
    if origin != LATEST:
        raise ConfigError(
            f"run and origin {origin!r}: a run has one forecast of a partition",
            hint="name one of the two",
        )
    key = kept_manifest_key(generation.key, _checked(run))
    try:
        outputs.head(key)
        manifest, _ = read_manifest(outputs, key)
    except ObjectNotFoundError as error:
        kept = ", ".join(name for name, _ in list_kept_runs(outputs, generation)[:3]) or "none"
        raise DataNotFoundError(
            f"{generation.key}: no run {run} is kept; the latest are: {kept}",
            hint="`gigacast ls runs` lists them; another spec is named by --spec",
        ) from error
    return manifest


def list_kept_runs(outputs: Store, generation: Generation) -> list[tuple[str, ObjectMeta]]:
    """Return the runs whose manifests are kept, the latest first."""
    folder = kept_manifest_key(generation.key, "")
    entries = [entry for page in outputs.list(folder) for entry in page]
    entries.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    return [(e.key.removeprefix(folder).removesuffix(".parquet"), e) for e in entries]


def choose_run(outputs: Store, run: str) -> Generation | None:
    """Return the spec of which a run's manifest is kept; ``None`` if no spec has it."""
    for generation in find_generations(outputs):
        try:
            outputs.head(kept_manifest_key(generation.key, _checked(run)))
        except ObjectNotFoundError:
            continue
        return generation
    return None


def _checked(run: str) -> str:
    if not _RUN.fullmatch(run):
        raise ConfigError(
            f"run: {run!r} is no id of a run", hint="ids are as forecast_20261130_030945_f03f"
        )
    return run


def months_of(manifest: pa.Table) -> list[Month]:
    """Return the months of the partitions of a manifest."""
    folders = {name.rpartition("/")[0] for name in manifest["partition"].to_pylist()}
    return [month for folder in folders if (month := month_of_folder(folder)) is not None]


def check_current(outputs: Store, generation: Generation) -> None:
    """Check that no run failed to add its forecasts to the manifest of a generation.

    Raises
    ------
    InputChangedError
    """
    note = outdated_key(generation.model, generation.version, generation.spec)
    folder = outputs.list_folder(f"{generation.key.rpartition('/')[0]}/")
    if any(entry.key == note for entry in folder.objects):
        raise InputChangedError(
            f"{generation.key}: a later run has made forecasts, and could not write this manifest",
            hint="run again: a rerun writes it, or says why it can't",
        )


def _joined(tables: list[pa.Table], generation: Generation) -> pa.Table:
    """Return the rows of all tables."""
    try:
        return concatenated(tables)
    except pa.ArrowException as error:
        raise SchemaError(
            f"{generation.key}: its partitions cannot be read as one table: {error}",
            hint="read them one by one, by partitions=[...] or months=...",
        ) from error


def _is_selected(
    partition: str, months: MonthFilter | None, partitions: Sequence[str] | None
) -> bool:
    if partitions is not None and partition not in partitions:
        return False
    if months is None:
        return True
    month = month_of_folder(partition.rpartition("/")[0])
    return month is not None and month in months
