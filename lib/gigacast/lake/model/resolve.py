"""The resolution of a model's name or path to files in a folder, pinned by their digest.

Places are searched in this order. The first match wins, and `ResolvedModel.source` names it:

1. a name that ships with the package (``gigacast-bolt-nano``) or needs no files
   (``seasonal-naive``, ``auto-ets``, ``auto-theta``, ``auto-arima``, ``croston-sba``,
   ``timegpt``, ``timegpt-long-horizon``); ``gigacast-bolt-nano/d958e16694eb`` is the version that
   an earlier release shipped
2. a local folder; if it has a manifest of a published version, it is verified by it
3. the cache on this machine: a digest, as receipts give it (``sha256:3fa9c2...``), and the files
   of every version found in 4
4. the registry under the output root: ``chronos-bolt-tiny/v1.0`` (``models/chronos-bolt-tiny/v1.0``
   is the same), or ``chronos-bolt-tiny`` for the version that is active now; a digest, too
5. a URL of a folder (``s3://bucket/models/demand/v1.0``, ``gs://...``): a published version is
   verified as in 4, other folders are pinned by the ETags of their files
6. the hub: ``amazon/chronos-bolt-tiny``, optionally with ``@<revision>``; for the published models
   (``chronos-bolt-tiny``) the owner may be left out

A version with a manifest is verified by it, byte for byte, before it is used. A version without one
is pinned by the ETags of its files, and `ResolvedModel.source` says so.
"""

import logging
import re
from dataclasses import replace
from pathlib import Path

from gigacast.core.problem import did_you_mean
from gigacast.errors import ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.portfolio.recipe import Member, is_portfolio, read_portfolio
from gigacast.lake.layout import MODELS, model_prefix
from gigacast.lake.model.active import read_active
from gigacast.lake.model.cache import ModelCache, default_cache
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.hub import download_from_hub, parse_hub_id
from gigacast.lake.model.known import (
    FILELESS_MODELS,
    NAIVE_MODEL,
    UNSAFE,
    is_folder,
    is_shipped,
    is_version_folder,
    packaged,
)
from gigacast.lake.model.manifest import (
    ModelManifest,
    check_folder,
    is_name,
    read_folder_manifest,
)
from gigacast.lake.model.registry import PLAIN, PUBLISHED, Registry
from gigacast.lake.model.resolved import ResolvedModel, pin_folder
from gigacast.lake.model.shipped import from_package, of_package
from gigacast.lake.model.transfer import list_files
from gigacast.storage.opening import open_store, unescape_file_url
from gigacast.storage.store import Store, StoreAddress

logger = logging.getLogger(__name__)

__all__ = [
    "DEFAULT_MODEL",
    "FILELESS_MODELS",
    "NAIVE_MODEL",
    "ResolvedModel",
    "default_cache",
    "digest_folder",
    "find_version",
    "is_shipped",
    "is_version_folder",
    "resolve_model",
    "with_members",
]

DEFAULT_MODEL = "gigacast-bolt-nano"
NO_REGISTRY = "memory://no-bucket"
"""Address of the empty store that stands for models of no bucket."""
_DIGEST = re.compile(r"sha256:(?P<digest>[0-9a-f]{8,64})")
_VERSION_URL = re.compile(r"(?P<root>[^:]+://.+?)/models/(?P<name>[^/]+)/(?P<version>[^/]+)")


def resolve_model(
    reference: str,
    outputs: Store,
    *,
    version: str | None = None,
    otherwise: str | None = None,
    detect: bool = True,
    cache: Path | None = None,
) -> ResolvedModel:
    """Return a model pinned by its digest, fetched when it is not on this machine.

    Parameters
    ----------
    reference : str
        See the module's docstring.
    outputs : Store
        Store rooted at the folder that holds ``models/``.
    version : str, optional
        Version to look for; for folders and models of the hub, the version to use in keys.
    otherwise : str, optional
        Second reference, used if the first is neither a folder nor under ``models/``; none by
        default.
    detect : bool
        Whether to search beyond the package's models and local folders.
    cache : Path, optional
        Folder for fetched models; below ``GIGACAST_CACHE`` or ``~/.cache/gigacast`` by default.

    Raises
    ------
    ModelNotFoundError
        When it is nowhere; the message lists the places searched, or the models that exist.
    ModelIntegrityError
        When a file is not the published one, or the folder holds no weights that may be loaded.
    """
    resolved = _resolve_alone(
        reference, outputs, version=version, otherwise=otherwise, detect=detect, cache=cache
    )
    return with_members(resolved, outputs, cache)


def with_members(
    resolved: ResolvedModel, outputs: Store, cache: Path | None = None
) -> ResolvedModel:
    """Return a portfolio with its models resolved; another model as it is.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        When one of them is no longer there, or not as it was when the portfolio was made.
    """
    if resolved.folder is None or not is_portfolio(resolved.folder):
        return resolved
    portfolio = read_portfolio(resolved.folder)
    members = [_find_member(resolved.name, m, outputs, cache) for m in portfolio.members]
    return replace(resolved, members=tuple(members))


def _find_member(name: str, member: Member, outputs: Store, cache: Path | None) -> ResolvedModel:
    hint = "select again: `gigacast models select`"
    # A version that this release no longer ships is told by its digest, with the hint.
    is_gone = is_shipped(member.reference) and packaged(member.reference, member.version) is None
    version = None if is_gone else member.version
    model = _resolve_alone(member.reference, outputs, version=version, cache=cache)
    if is_portfolio(model.folder):
        raise ModelIntegrityError(f"{name}: {member.label} is a portfolio itself", hint=hint)
    if model.digest != member.digest:
        raise ModelIntegrityError(
            f"{name}: {member.label} has the digest {model.digest[:12]}; it was chosen with "
            f"{member.digest[:12]}",
            hint=hint,
        )
    return replace(model, name=member.name, version=member.version)


def _resolve_alone(
    reference: str,
    outputs: Store,
    *,
    version: str | None = None,
    otherwise: str | None = None,
    detect: bool = True,
    cache: Path | None = None,
) -> ResolvedModel:
    """Return a model as `resolve_model` does, without the models of a portfolio."""
    if reference in FILELESS_MODELS:
        if version not in {None, "1"}:
            problem = f"{reference} is built in and has no version {version}"
            raise ModelNotFoundError(problem, hint="leave the version out")
        return ResolvedModel(reference, "1", f"{reference}-1", None, "built in")
    # Before everything else, so that the name of a shipped model means the same on every machine,
    # whatever folders it has.
    shipped = from_package(reference, version)
    if shipped is not None:
        return shipped
    placed = _at_place(reference, outputs.address, version, ModelCache(cache))
    if placed is not None:
        return placed
    if not detect:
        raise ModelNotFoundError(
            f"no model in {Path(reference).expanduser()}, and looking elsewhere is switched off",
            hint="set model.auto_detect_mode, or correct model.model_path",
        )
    registered = _from_registry(reference, Registry(outputs), version, ModelCache(cache))
    if registered is not None:
        return registered
    if otherwise is not None and otherwise != reference:
        logger.warning(
            "there is no model %s: %s is used in its place, as model.model_type says",
            reference,
            otherwise,
        )
        return _resolve_alone(otherwise, outputs, version=version, cache=cache)
    return _from_hub(reference, version, outputs)


def _from_folder(folder: Path, version: str | None) -> ResolvedModel:
    folder = folder.resolve()
    manifest = read_folder_manifest(folder)
    source = str(folder)
    if manifest is not None:
        hint = (
            f"copy the published version again, or remove {folder / 'manifest.json'} "
            "if the change is intended"
        )
        check_folder(folder, manifest, hint)
        source = f"{folder}, verified by its manifest"
    # In `demand/v1.0` the parent folder names the model.
    if is_version_folder(folder):
        return pin_folder(folder, folder.parent.name, version or folder.name, source)
    return pin_folder(folder, folder.name, version, source)


def _at_place(
    reference: str, outputs: StoreAddress, version: str | None, cache: ModelCache
) -> ResolvedModel | None:
    """Return the model at a URL or in a local folder; ``None`` if the reference is neither."""
    url = unescape_file_url(reference).rstrip("/")
    if "://" in url and not url.startswith("file://"):
        return _from_url(url, outputs, version, cache)
    folder = Path(url.removeprefix("file://")).expanduser()
    return _from_folder(folder, version) if is_folder(folder) else None


def _from_url(
    url: str, outputs: StoreAddress, version: str | None, cache: ModelCache
) -> ResolvedModel:
    # The endpoint of a job is one of the cloud that its bucket is in.
    scheme = url.partition("://")[0]
    near = outputs if outputs.url.startswith(f"{scheme}://") else StoreAddress("")
    parts = _VERSION_URL.fullmatch(url)
    if parts is not None and is_name(parts["name"]) and version in {None, parts["version"]}:
        registry = Registry(open_store(replace(near, url=parts["root"])))
        published = find_version(registry, parts["name"], parts["version"], cache)
        if published is not None:
            return published
    store = open_store(replace(near, url=url))
    files = {name: meta for name, meta in list_files(store, "").items() if "/" not in name}
    if not files:
        raise ModelNotFoundError(
            f"no model at {url}", hint="give the folder that holds config.json and the weights"
        )
    fetched = cache.get_plain(store, files)
    folder = Path(url)
    name, own = folder.name, None
    if is_version_folder(folder):
        name, own = folder.parent.name, folder.name
    safe_name = UNSAFE.sub("-", name).strip("-.") or "model"
    chosen = version or own or fetched.digest[:12]
    source = f"{url} (pinned by ETags)"
    return ResolvedModel(safe_name, chosen, fetched.digest, fetched.folder, source)


def _from_hub(reference: str, version: str | None, outputs: Store) -> ResolvedModel:
    named = parse_hub_id(reference)
    if named is None:
        registry = f"nothing under {outputs.address.url}/{MODELS}"
        if outputs.address.url == NO_REGISTRY:
            registry = "no bucket named whose models are searched"
        raise ModelNotFoundError(
            f"no model {reference!r}: not shipped, no such folder, {registry}, and not a hub id",
            hint=did_you_mean(reference, (DEFAULT_MODEL, NAIVE_MODEL))
            or f"use {DEFAULT_MODEL}, {NAIVE_MODEL}, a folder, NAME or NAME/VERSION under "
            "models/, or a hub id such as amazon/chronos-bolt-tiny",
        )
    repo, requested = named
    folder, revision = download_from_hub(repo, requested)
    name = repo.rpartition("/")[2]
    return pin_folder(folder, name, version or revision[:12], f"hub {repo}@{revision}")


def _from_registry(
    reference: str, registry: Registry, version: str | None, cache: ModelCache
) -> ResolvedModel | None:
    digest = _DIGEST.fullmatch(reference)
    if digest is not None:
        return _by_digest(digest["digest"], registry, cache)
    name, _, named_version = reference.removeprefix(MODELS).strip("/").partition("/")
    chosen = named_version or version
    if not is_name(name) or (chosen is not None and not is_name(chosen)):
        return None
    if chosen is not None:
        return find_version(registry, name, chosen, cache)
    active, _ = read_active(registry, name)
    if active.version is None:
        if registry.versions(name):
            raise registry.unknown(name, "the active one")
        return None
    resolved = find_version(registry, name, active.version, cache, "active, ")
    if resolved is None:
        raise registry.unknown(name, active.version)
    return resolved


def find_version(
    registry: Registry, name: str, version: str, cache: ModelCache, remark: str = ""
) -> ResolvedModel | None:
    """Return a version of a registry with its files verified in the cache; ``None`` if unknown.

    Parameters
    ----------
    registry : Registry
    name, version : str
    cache : ModelCache
    remark : str
        Remark on the choice, for `ResolvedModel.source`; none by default.

    Raises
    ------
    ModelNotFoundError
        When the model has no such version; the message lists those it has.
    ModelIntegrityError
    """
    manifest = registry.find(name, version)
    if manifest is not None:
        return _published(registry, manifest, cache, remark)
    versions = registry.versions(name)
    if not versions:
        return None  # another model's name, or a hub id
    if versions.get(version) != PLAIN:
        raise registry.unknown(name, version)
    files = registry.files(name, version)
    url = f"{registry.store.address.url}/{model_prefix(name, version)}"
    plain = {file: meta for file, meta in files.items() if "/" not in file}
    fetched = cache.get_plain(registry.store, plain)
    source = f"{url} ({remark}no manifest: pinned by ETags)"
    return ResolvedModel(name, version, fetched.digest, fetched.folder, source)


def _published(
    registry: Registry, manifest: ModelManifest, cache: ModelCache, remark: str
) -> ResolvedModel:
    name, version = manifest.model, manifest.version
    cached = cache.get(registry.store, manifest)
    place = "fetched" if cached.fetched else "in the cache"
    source = (
        f"{registry.store.address.url}/{model_prefix(name, version)} ({remark}verified, {place})"
    )
    return ResolvedModel(name, version, manifest.digest, cached.folder, source)


def _by_digest(digest: str, registry: Registry, cache: ModelCache) -> ResolvedModel:
    """Return the model of a digest: of the package, the cache or the versions of a registry."""
    shipped = of_package(digest)
    if shipped is not None:
        return shipped
    cached = cache.find(digest)
    if cached is not None:
        folder, cached_manifest = cached
        return ResolvedModel(
            cached_manifest.model,
            cached_manifest.version,
            cached_manifest.digest,
            folder,
            f"cache {folder}",
        )
    # No object lists versions by digest, so the manifests are read until one matches.
    for name in registry.models():
        for version, state in registry.versions(name).items():
            if state != PUBLISHED:
                continue
            manifest = registry.read(name, version)
            if manifest.digest.startswith(digest):
                return _published(registry, manifest, cache, "")
    raise ModelNotFoundError(
        f"no model with digest sha256:{digest} in the cache or under {registry.where}",
        hint="restore it from a backup: `gigacast models restore`",
    )
