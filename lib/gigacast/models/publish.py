"""Models into the registry and out of it: publish, download, list.

What a version is told to be (architecture, parameters, lengths, levels) is read from its own files,
without torch.
"""

import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigacast.errors import ModelError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.catalog import describe_forecaster
from gigacast.job.audit import versions_of
from gigacast.lake.model.active import activate_first, read_active
from gigacast.lake.model.file import (
    ADAPTER_CONFIG,
    BASE,
    count_parameters,
    digest_files,
    hash_folder,
    model_names,
    read_json,
    refuse_unsafe,
)
from gigacast.lake.model.hub import PUBLISHED_MODELS, download_from_hub, parse_hub_id, read_license
from gigacast.lake.model.manifest import ModelManifest, check_name
from gigacast.lake.model.registry import PUBLISHED, Author, Registry
from gigacast.lake.model.resolve import is_version_folder, resolve_model

BROKEN = "broken"
_SOFTWARE = ("gigacast", "chronos-forecasting", "torch", "transformers", "safetensors")


@dataclass(frozen=True)
class Publication:
    """What to publish, besides the files.

    Parameters
    ----------
    name, version : str, optional
        Told by the folder when absent: ``.../NAME/v1.0``, else its own name and its digest.
    base : str, optional
        The base model of a LoRA adapter: a folder, NAME/VERSION or a hub id; what the adapter names
        when absent.
    license : str, optional
        The model card's when absent.
    metrics : mapping
    source : mapping, optional
        See `ModelManifest`; the folder when absent.
    """

    name: str | None = None
    version: str | None = None
    base: str | None = None
    license: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Published:
    """What a publish came to: ``new`` unless the same content was there, ``activated`` if first."""

    manifest: ModelManifest
    new: bool
    activated: bool


def publish_folder(
    registry: Registry,
    folder: Path,
    wanted: Publication,
    author: Author,
    *,
    activate: bool = True,
) -> Published:
    """Publish a folder as a version; the first version of a model becomes the active one.

    Parameters
    ----------
    registry : Registry
    folder : Path
        As ``save_pretrained`` writes it: JSON and safetensors.
    wanted : Publication
    author : Author
    activate : bool
        Whether the first version of a model is made active.

    Raises
    ------
    ModelNotFoundError
        When there is no such folder, or an adapter's base is nowhere.
    ModelIntegrityError
        When a file is a pickle or damaged.
    ModelConflictError
        When the version exists with other content.
    ModelError
        When it is no model of the Chronos family.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"there is no folder {folder}", hint="give a model's folder")
    refuse_unsafe(folder)
    with _with_base(registry, folder, wanted.base) as whole:
        manifest = _describe(whole, folder.resolve(), wanted, author)
        new = registry.publish(whole, manifest, author)
    found = registry.read(manifest.model, manifest.version)
    first = activate and activate_first(registry, found.model, found.version, author)
    return Published(found, new, first)


def download_model(
    registry: Registry, reference: str, wanted: Publication, revision: str | None, author: Author
) -> Published:
    """Fetch a model from the hub, pinned to a commit, and publish it.

    Parameters
    ----------
    registry : Registry
    reference : str
        A published name (``chronos-bolt-small``) or a hub id, with ``@revision`` if wanted.
    wanted : Publication
        Its version is the commit's first twelve digits when absent.
    revision : str, optional
        Branch, tag or commit.

    Raises
    ------
    ModelNotFoundError
        When it is not on the hub, or the hub cannot be reached.
    """
    named = parse_hub_id(reference)
    if named is None:
        raise ModelNotFoundError(
            f"no model {reference!r} to download; published are: {', '.join(PUBLISHED_MODELS)}",
            hint="or give a hub id, OWNER/NAME",
        )
    repo, own_revision = named
    folder, commit = download_from_hub(repo, revision or own_revision)
    asked = revision or own_revision
    source = {"kind": "hub", "repo": repo, "revision": commit, "requested": asked or "main"}
    filled = Publication(
        name=wanted.name or repo.rpartition("/")[2],
        version=wanted.version or commit[:12],
        base=wanted.base,
        license=wanted.license,
        metrics=wanted.metrics,
        source=source,
    )
    return publish_folder(registry, folder, filled, author)


@contextmanager
def _with_base(registry: Registry, folder: Path, base: str | None) -> Iterator[Path]:
    """Yield the folder; that of an adapter together with its base, without copying either."""
    names = model_names(folder)
    if ADAPTER_CONFIG not in names or any(name.startswith(BASE) for name in names):
        yield folder
        return
    named = base or read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    origin = _find_base(registry, folder, named)
    refuse_unsafe(origin)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch)
        (whole / BASE).mkdir()
        for name in names:
            (whole / name).symlink_to((folder / name).resolve())
        for name in model_names(origin):
            (whole / BASE / name).symlink_to((origin / name).resolve())
        yield whole


def _find_base(registry: Registry, folder: Path, named: object) -> Path:
    hint = "give --base: a folder, NAME/VERSION or a hub id"
    if not isinstance(named, str) or not named:
        raise ModelNotFoundError(f"{folder}: a LoRA adapter that names no base model", hint=hint)
    try:
        found = resolve_model(named, registry.store).folder
    except ModelError as error:
        raise ModelNotFoundError(
            f"{folder}: a LoRA adapter, and its base {named!r} is not to be had: {error.message}",
            hint=hint,
        ) from error
    if found is None or (found / ADAPTER_CONFIG).exists():
        raise ModelNotFoundError(f"{folder}: {named!r} is no base for an adapter", hint=hint)
    return found


def _describe(whole: Path, folder: Path, wanted: Publication, author: Author) -> ModelManifest:
    files = hash_folder(whole)
    digest = digest_files(files)
    versioned = is_version_folder(folder)
    name = wanted.name or (folder.parent.name if versioned else folder.name)
    version = wanted.version or (folder.name if versioned else digest[:12])
    base = whole / BASE
    model = base if base.is_dir() else whole
    info = describe_forecaster(
        model, name=name, version=version, digest=digest, device="cpu", precision="float32"
    )
    kinds = read_json(model / "config.json").get("architectures") or ["unknown"]
    weights = count_parameters(whole) + (count_parameters(base) if base.is_dir() else 0)
    return ModelManifest(
        model=check_name("model", name),
        version=check_name("version", version),
        digest=digest,
        files=files,
        source=wanted.source or {"kind": "folder", "path": str(folder), "host": platform.node()},
        created_at=author.now(),
        created_by=author.who,
        architecture=f"{kinds[0]} + LoRA" if base.is_dir() else str(kinds[0]),
        parameters=weights,
        context_length=info.context_length,
        prediction_length=info.prediction_length,
        quantile_levels=info.levels,
        license=wanted.license or read_license(folder),
        metrics=dict(wanted.metrics),
        software=versions_of(_SOFTWARE),
    )


# -- looking ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionSummary:
    """One version: its state, and its manifest where it has one that can be trusted."""

    version: str
    state: str
    active: bool
    manifest: ModelManifest | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ModelSummary:
    """A model: its versions, oldest first, and which of them is active, if that can be told."""

    name: str
    active: str | None
    versions: tuple[VersionSummary, ...]
    problem: str | None = None


def summarise_model(registry: Registry, name: str) -> ModelSummary:
    """Return what the registry knows of a model.

    Raises
    ------
    ModelNotFoundError
        When there is none; the message lists what there is.
    """
    states = registry.versions(name)
    if not states:
        raise registry.unknown(name)
    active, problem = _active_version(registry, name)
    versions = [_summarise(registry, name, v, s, active) for v, s in states.items()]
    versions.sort(key=lambda one: one.manifest.created_at if one.manifest else "")
    return ModelSummary(name, active, tuple(versions), problem)


def _active_version(registry: Registry, name: str) -> tuple[str | None, str | None]:
    """Return what is active, and why that cannot be told: one bad object hides no other."""
    try:
        return read_active(registry, name)[0].version, None
    except ModelIntegrityError as error:
        return None, str(error)


def _summarise(
    registry: Registry, name: str, version: str, state: str, active: str | None
) -> VersionSummary:
    if state != PUBLISHED:
        return VersionSummary(version, state, version == active)
    try:
        manifest = registry.read(name, version)
    except ModelIntegrityError as error:
        return VersionSummary(version, BROKEN, version == active, problem=error.message)
    return VersionSummary(version, state, version == active, manifest)


def list_models(registry: Registry) -> list[ModelSummary]:
    """Return every model of the registry."""
    return [
        summarise_model(registry, name) for name in registry.models() if registry.versions(name)
    ]
