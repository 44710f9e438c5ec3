"""From what the user calls a model to pinned files in a folder.

Imports ``errors``, ``core``, ``storage`` and ``lake``; the hub is asked through ``lake.hub``.

Looked for in this order, first hit wins, and the choice is part of the result:

1. a name that ships with the package (``gigacast-bolt-nano``) or needs no files
   (``seasonal-naive``)
2. a local folder
3. a version under the output root: ``chronos-bolt-tiny/v1.0`` or ``models/chronos-bolt-tiny/v1.0``
4. the hub: ``amazon/chronos-bolt-tiny``, with ``@<revision>`` if wanted; the published names
   (``chronos-bolt-tiny``) may stand without their owner
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gigacast.core.digest import digest_etags
from gigacast.errors import ModelIntegrityError, ModelNotFoundError
from gigacast.lake.hub import download_from_hub
from gigacast.lake.layout import MODELS
from gigacast.storage.store import ObjectMeta, Store

DEFAULT_MODEL = "gigacast-bolt-nano"
NAIVE_MODEL = "seasonal-naive"
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
_PUBLISHED = re.compile(r"chronos-(?:bolt-(?:tiny|mini|small|base)|2|2-small|t5-\w+)(?:@.*)?")
_VERSION_FOLDER = re.compile(r"v?[0-9]+(?:\.[0-9]+)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model pinned to its bytes.

    Parameters
    ----------
    name, version : str
        Segments of the output keys.
    digest : str
        SHA-256 over the names and contents of the files a model is loaded from; a constant for a
        model without files.
    folder : Path, optional
        Where the files are; ``None`` for a model without files.
    source : str
        Where it was found, for people.
    """

    name: str
    version: str
    digest: str
    folder: Path | None
    source: str


def resolve_model(
    reference: str,
    outputs: Store,
    *,
    version: str | None = None,
    otherwise: str | None = None,
    detect: bool = True,
    cache: Path | None = None,
) -> ResolvedModel:
    """Find a model, fetch it if need be, and pin it by digest.

    Parameters
    ----------
    reference : str
        See the module's docstring.
    outputs : Store
        Rooted where ``models/`` lies.
    version : str, optional
        The version to look for, or to call it.
    otherwise : str, optional
        Another reference, for when there is no such folder and nothing under ``models/``.
    detect : bool
        Whether to look beyond what ships and the local folder.
    cache : Path, optional
        Folder for fetched models; ``GIGACAST_CACHE`` or ``~/.cache/gigacast`` when absent.

    Raises
    ------
    ModelNotFoundError
        When it is nowhere; the message lists where it was looked for.
    ModelIntegrityError
        When the folder holds no weights that may be loaded.
    """
    if reference == NAIVE_MODEL:
        return ResolvedModel(NAIVE_MODEL, "1", f"{NAIVE_MODEL}-1", None, "built in")
    packaged = Path(str(resources.files("gigacast"))) / "forecast" / "weights" / reference
    if "/" not in reference and (packaged / "config.json").is_file():
        return _pin(packaged, reference, version, "ships with the package")
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return _from_folder(folder, version)
    if not detect:
        raise ModelNotFoundError(
            f"no model in {folder}, and looking elsewhere is switched off",
            hint="set model.auto_detect_mode, or correct model.model_path",
        )
    found = _from_prefix(reference, outputs, version, cache or default_cache())
    if found is not None:
        return found
    if otherwise is not None and otherwise != reference:
        return resolve_model(otherwise, outputs, version=version, cache=cache)
    return _from_hub(reference, version, outputs)


def default_cache() -> Path:
    """Return the folder for fetched models."""
    configured = os.environ.get("GIGACAST_CACHE")
    return (Path(configured) if configured else Path.home() / ".cache" / "gigacast") / "models"


def _from_folder(folder: Path, version: str | None) -> ResolvedModel:
    folder = folder.resolve()
    if _VERSION_FOLDER.fullmatch(folder.name):
        return _pin(folder, folder.parent.name, version or folder.name, str(folder))
    return _pin(folder, folder.name, version, str(folder))


def _from_hub(reference: str, version: str | None, outputs: Store) -> ResolvedModel:
    published = _PUBLISHED.fullmatch(reference) is not None
    match = _HUB_ID.fullmatch(f"amazon/{reference}" if published else reference)
    if match is None:
        raise ModelNotFoundError(
            f"no model {reference!r}: not shipped, no such folder, "
            f"nothing under {outputs.address.url}/{MODELS}, and not a hub id",
            hint=f"use {DEFAULT_MODEL}, {NAIVE_MODEL}, a folder, NAME/VERSION under models/, "
            "or a hub id such as amazon/chronos-bolt-tiny",
        )
    folder, revision = download_from_hub(match["repo"], match["revision"])
    name = match["repo"].rpartition("/")[2]
    return _pin(folder, name, version or revision[:12], f"hub {match['repo']}@{revision}")


def _from_prefix(
    reference: str, outputs: Store, version: str | None, cache: Path
) -> ResolvedModel | None:
    path = reference.removeprefix(MODELS).strip("/")
    name, _, named_version = path.partition("/")
    chosen = named_version or version
    if not name or not chosen or "/" in chosen:
        return None
    prefix = f"{MODELS}{name}/{chosen}/"
    objects = [entry for page in outputs.list(prefix) for entry in page]
    if not objects:
        return None
    folder = _fetch(outputs, prefix, objects, cache)
    return _pin(folder, name, chosen, f"{outputs.address.url}/{prefix}")


def _fetch(outputs: Store, prefix: str, objects: list[ObjectMeta], cache: Path) -> Path:
    """Copy a version's files into the cache: whole or not at all, safe for many processes."""
    label = digest_etags(text for e in objects for text in (e.key, e.etag))
    target = cache / f"{_UNSAFE.sub('-', prefix.strip('/'))}-{label}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        staged = Path(scratch) / "model"
        staged.mkdir()
        for entry in objects:
            name = entry.key.removeprefix(prefix)
            if "/" in name:
                continue
            (staged / name).write_bytes(outputs.get(entry.key, if_match=entry.etag))
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first: its copy is as good
                raise
    return target


def _pin(folder: Path, name: str, version: str | None, source: str) -> ResolvedModel:
    digest = digest_folder(folder)
    safe_name = _UNSAFE.sub("-", name).strip("-.") or "model"
    return ResolvedModel(safe_name, version or digest[:12], digest, folder, source)


def digest_folder(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of the files a model is loaded from.

    Raises
    ------
    ModelIntegrityError
        When there is no ``config.json`` or no safetensors file.
    """
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in {".json", ".safetensors"}
        and path.is_file()
        and path.name != "manifest.json"  # describes a published version; not part of the model
    )
    names = {path.name for path in files}
    if not names & {"config.json", "adapter_config.json"}:
        raise ModelIntegrityError(f"{folder}: no config.json", hint="is this a model folder?")
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelIntegrityError(
            f"{folder}: no safetensors weights; pickled weights are not loaded",
            hint="convert them: AutoModel.from_pretrained(folder).save_pretrained(new_folder)",
        )
    return _digest_files(files)


def _digest_files(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{path.name}\0{content}\n".encode())
    return whole.hexdigest()
