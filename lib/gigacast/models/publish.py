"""Publish, download and list the models of a registry.

Architecture, parameters, lengths and levels of a version are read from its own files, without
torch, so that a manifest cannot contradict them.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gigacast.errors import ModelError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.catalog import describe_forecaster
from gigacast.forecasters.engine import EngineChoice
from gigacast.forecasters.proof import prove_readable, prove_usable
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
from gigacast.lake.model.registry import PUBLISHED, Registry
from gigacast.lake.model.resolve import is_version_folder, resolve_model
from gigacast.lake.publication import Author
from gigacast.scratch import ScratchFolder

BROKEN = "broken"
"""State of a version whose manifest cannot be trusted."""
_SOFTWARE = ("gigacast", "chronos-forecasting", "torch", "transformers", "safetensors")
"""Packages whose versions are recorded in manifests."""


@dataclass(frozen=True)
class ModelDescription:
    """Name, version and description of a model to publish.

    Parameters
    ----------
    name, version : str, optional
        Name and version; by default those of a folder ``.../NAME/v1.0``, else the folder's own name
        and the first twelve digits of the digest.
    base : str, optional
        Base model of a LoRA adapter: a folder, NAME/VERSION or a hub id; the one that the adapter
        names by default.
    license : str, optional
        License; that of the model card by default.
    metrics : mapping
        Measured figures for the manifest.
    source : mapping, optional
        Origin, see `ModelManifest`; the folder by default.
    """

    name: str | None = None
    version: str | None = None
    base: str | None = None
    license: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Published:
    """Result of publishing a version.

    Parameters
    ----------
    manifest : ModelManifest
    new : bool
        False if the same content was published before.
    activated : bool
        Whether the version became active, as the first of its model.
    """

    manifest: ModelManifest
    new: bool
    activated: bool


def publish_folder(
    registry: Registry,
    folder: Path,
    description: ModelDescription,
    author: Author,
    *,
    activate: bool = True,
    prove: Callable[[Path], None] = prove_usable,
) -> Published:
    """Publish a folder as a version; the first version of a model becomes active.

    Parameters
    ----------
    registry : Registry
    folder : Path
        Folder as written by ``save_pretrained``: JSON and safetensors.
    description : ModelDescription
    author : Author
    activate : bool
        Whether to make the first version of a model active.
    prove : callable
        Check of the complete folder, before anything is published: it raises an error if the model
        cannot be used.

    Raises
    ------
    ModelNotFoundError
        If the folder does not exist, or the base of an adapter cannot be found.
    ModelIntegrityError
        If a file is pickled or damaged, or the model cannot be loaded or forecasts nothing finite.
    ModelConflictError
        If the version exists with other content.
    ModelError
        If it is no model of the Chronos family.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"there is no folder {folder}", hint="give a model's folder")
    # Before anything is read or linked: pickled weights can run code when they are loaded.
    refuse_unsafe(folder)
    prove_readable(folder)
    with _with_base(registry, folder, description.base) as complete:
        manifest = _describe(complete, folder.resolve(), description, author)
        # A published version was proved, and other content of its name is refused: the library of
        # the model, which takes seconds to import, is needed for new versions only.
        if registry.find(manifest.model, manifest.version) is None:
            prove(complete)
        new = registry.publish(complete, manifest, author)
    # Read back, because if the same content was published before, its own manifest stands.
    stored = registry.read(manifest.model, manifest.version)
    first = activate and activate_first(registry, stored.model, stored.version, author)
    return Published(stored, new, first)


def download_model(
    registry: Registry,
    reference: str,
    description: ModelDescription,
    revision: str | None,
    author: Author,
) -> Published:
    """Download a model from the hub, pinned to a commit, and publish it.

    Parameters
    ----------
    registry : Registry
    reference : str
        Name of a published model (``chronos-bolt-small``) or a hub id, optionally with
        ``@revision``.
    description : ModelDescription
        Name and version; the repository's name and the start of the commit by default.
    revision : str, optional
        Branch, tag or commit; that of the reference, else ``main``, by default.
    author : Author

    Raises
    ------
    ModelNotFoundError
        If the model is not on the hub, or the hub cannot be reached.
    """
    hub_id = parse_hub_id(reference)
    if hub_id is None:
        raise ModelNotFoundError(
            f"no model {reference!r} to download; published are: {', '.join(PUBLISHED_MODELS)}",
            hint="or give a hub id, OWNER/NAME",
        )
    repo, own_revision = hub_id
    requested = revision or own_revision
    folder, commit = download_from_hub(repo, requested)
    # Branches and tags move; the commit says which files these are.
    source = {"kind": "hub", "repo": repo, "revision": commit, "requested": requested or "main"}
    complete = replace(
        description,
        name=description.name or repo.rpartition("/")[2],
        version=description.version or commit[:12],
        source=source,
    )
    return publish_folder(registry, folder, complete, author)


@contextmanager
def _with_base(registry: Registry, folder: Path, base: str | None) -> Iterator[Path]:
    """Yield the folder; for an adapter, a folder of links to it and to its base.

    A version of an adapter contains its base, so that it can be used without the base's own
    version, which may be deleted. Links avoid a copy of both.
    """
    names = model_names(folder)
    if ADAPTER_CONFIG not in names or any(name.startswith(BASE) for name in names):
        yield folder
        return
    reference = base or read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    base_folder = _find_base(registry, folder, reference)
    # The base is loaded together with the adapter, so the same rules hold for it.
    refuse_unsafe(base_folder)
    with ScratchFolder("adapter") as complete:
        (complete / BASE).mkdir()
        for name in names:
            # Links, because weights may take gigabytes.
            (complete / name).symlink_to((folder / name).resolve())
        for name in model_names(base_folder):
            (complete / BASE / name).symlink_to((base_folder / name).resolve())
        yield complete


def _find_base(registry: Registry, folder: Path, reference: object) -> Path:
    """Return the folder of an adapter's base.

    Raises
    ------
    ModelNotFoundError
        If the adapter names no base, or the base cannot be found or is an adapter itself.
    """
    hint = "give --base: a folder, NAME/VERSION or a hub id"
    if not isinstance(reference, str) or not reference:
        raise ModelNotFoundError(f"{folder}: a LoRA adapter that names no base model", hint=hint)
    try:
        base = resolve_model(reference, registry.store).folder
    except ModelError as error:
        raise ModelNotFoundError(
            f"{folder}: the base {reference!r} of the LoRA adapter cannot be found: "
            f"{error.message}",
            hint=hint,
        ) from error
    if base is None or (base / ADAPTER_CONFIG).exists():
        raise ModelNotFoundError(f"{folder}: {reference!r} is no base for an adapter", hint=hint)
    return base


def _describe(
    complete: Path, folder: Path, description: ModelDescription, author: Author
) -> ModelManifest:
    """Return the manifest of a folder.

    Parameters
    ----------
    complete : Path
        Folder with all files, those of a base included.
    folder : Path
        Folder that the user named; gives the default name and version.
    description : ModelDescription
    author : Author
    """
    files = hash_folder(complete)
    digest = digest_files(files)
    versioned = is_version_folder(folder)
    name = description.name or (folder.parent.name if versioned else folder.name)
    version = description.version or (folder.name if versioned else digest[:12])
    base = complete / BASE
    model = base if base.is_dir() else complete
    # On the CPU and in float32: a manifest must not depend on the machine that published it.
    info = describe_forecaster(
        model,
        name=name,
        version=version,
        digest=digest,
        choice=EngineChoice("torch", "cpu", "float32"),
    )
    kinds = read_json(model / "config.json").get("architectures")
    # Only for people: a model whose configuration does not say it can be used all the same.
    kind = str(kinds[0]) if isinstance(kinds, list) and kinds else "unknown"
    weights = count_parameters(complete) + (count_parameters(base) if base.is_dir() else 0)
    return ModelManifest(
        model=check_name("model", name),
        version=check_name("version", version),
        digest=digest,
        files=files,
        source=description.source
        or {"kind": "folder", "path": str(folder), "host": platform.node()},
        created_at=author.now(),
        created_by=author.who,
        architecture=f"{kind} + LoRA" if base.is_dir() else kind,
        parameters=weights,
        context_length=info.context_length,
        prediction_length=info.prediction_length,
        quantile_levels=info.levels,
        license=description.license or read_license(folder),
        metrics=dict(description.metrics),
        software=versions_of(_SOFTWARE),
    )


# -- listing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionSummary:
    """A version, its state, and its manifest unless that is missing or damaged.

    Parameters
    ----------
    version : str
    state : str
        State in the registry, or ``broken``.
    active : bool
    manifest : ModelManifest or None
    problem : str or None
        Reason why the manifest cannot be trusted.
    """

    version: str
    state: str
    active: bool
    manifest: ModelManifest | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ModelSummary:
    """A model and its versions, oldest first.

    Parameters
    ----------
    name : str
    active : str or None
        Active version; None without one, or if it cannot be read.
    versions : tuple of VersionSummary
    problem : str or None
        Reason why the active version cannot be read.
    """

    name: str
    active: str | None
    versions: tuple[VersionSummary, ...]
    problem: str | None = None


def summarise_model(registry: Registry, name: str) -> ModelSummary:
    """Return a model of the registry and its versions.

    Raises
    ------
    ModelNotFoundError
        If there is no such model; the message lists the models.
    """
    states = registry.versions(name)
    if not states:
        raise registry.unknown(name)
    active, problem = _active_version(registry, name)
    versions = [_summarise(registry, name, v, s, active) for v, s in states.items()]
    versions.sort(key=lambda entry: entry.manifest.created_at if entry.manifest else "")
    return ModelSummary(name, active, tuple(versions), problem)


def _active_version(registry: Registry, name: str) -> tuple[str | None, str | None]:
    """Return the active version, and the reason if it cannot be read."""
    # The error is returned, not raised: one damaged object must not hide the versions of a model.
    try:
        return read_active(registry, name)[0].version, None
    except ModelIntegrityError as error:
        return None, error.text


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
    """Return all models of the registry."""
    return [
        summarise_model(registry, name) for name in registry.models() if registry.versions(name)
    ]
