"""The registry: model versions under ``models/``, each whole or not there, none ever changed.

Publishing is claim -> files -> manifest -> no claim:

- The *claim* (``PUBLISHING``) is put if absent and names the digest that the version is being
  given: of two who publish different content one is refused before it writes a byte, and what a
  killed publish left is told from files that somebody put there by hand.
- The *manifest* is put if absent, last: a version without one does not exist for readers.

Deleting goes the other way round: claim -> no manifest -> no files -> no claim.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gigacast.errors import (
    ModelConflictError,
    ModelIntegrityError,
    ModelNotFoundError,
    PreconditionFailedError,
)
from gigacast.lake.layout import (
    MODEL_CLAIM,
    MODEL_MANIFEST,
    MODELS,
    model_claim_key,
    model_file_key,
    model_manifest_key,
    model_prefix,
    models_prefix,
)
from gigacast.lake.model.manifest import ModelManifest, check_name, compare_file, parse_manifest
from gigacast.lake.model.transfer import hash_object, list_files
from gigacast.lake.pinned import Pinned, read_pinned
from gigacast.storage.store import ObjectMeta, Store

logger = logging.getLogger(__name__)

PUBLISHED = "published"
PLAIN = "no manifest"
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something to a registry, and by which clock; both come in from outside."""

    who: str
    clock: Callable[[], datetime]

    def now(self) -> str:
        """Return the time as it is recorded."""
        return self.clock().isoformat(timespec="milliseconds")


class Registry:
    """The model versions of one store.

    Parameters
    ----------
    store : Store
        Rooted where ``models/`` lies.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def where(self) -> str:
        """The registry's address, for messages."""
        return f"{self.store.address.url}/{MODELS}"

    def models(self) -> list[str]:
        """Return the names of all models."""
        folders = self.store.list_folder(MODELS).folders
        return [folder.removeprefix(MODELS).rstrip("/") for folder in folders]

    def versions(self, model: str) -> dict[str, str]:
        """Return the versions of a model: ``published``, ``no manifest`` or ``unfinished``."""
        found: dict[str, set[str]] = {}
        for name in list_files(self.store, models_prefix(model)):
            version, slash, file = name.partition("/")
            if slash:
                found.setdefault(version, set()).add(file)
        return {version: _state(files) for version, files in found.items()}

    def files(self, model: str, version: str) -> dict[str, ObjectMeta]:
        """Return all objects of a version by name."""
        return list_files(self.store, model_prefix(model, version))

    def find(self, model: str, version: str) -> ModelManifest | None:
        """Return a version's manifest; ``None`` when there is none.

        Raises
        ------
        ModelIntegrityError
            When the manifest lies.
        """
        key = model_manifest_key(check_name("model", model), check_name("version", version))
        pinned = read_pinned(self.store, key)
        if pinned is None:
            return None
        where = f"{self.store.address.url}/{key}"
        manifest = parse_manifest(pinned.content, where)
        if (manifest.model, manifest.version) != (model, version):
            raise ModelIntegrityError(
                f"{where}: cannot be trusted: it says it is {manifest.model}/{manifest.version}",
                hint="it was copied by hand: use `gigacast models backup` and `restore`",
            )
        return manifest

    def read(self, model: str, version: str) -> ModelManifest:
        """Return a version's manifest.

        Raises
        ------
        ModelNotFoundError
            When it is not published; the message lists what is.
        ModelIntegrityError
        """
        manifest = self.find(model, version)
        if manifest is None:
            raise self.unknown(model, version)
        return manifest

    def unknown(self, model: str, version: str | None = None) -> ModelNotFoundError:
        """Return the error for what is not there: it lists what is."""
        versions = self.versions(model)
        if not versions:
            there = self.models()
            message = f"no model {model!r} under {self.where}; there are: "
            if not there:
                hint = "`gigacast models publish FOLDER` or `gigacast models download NAME` first"
                return ModelNotFoundError(f"{message}none", hint=hint)
            hint = "`gigacast models list` shows them"
            return ModelNotFoundError(message + ", ".join(there), hint=hint)
        shown = [v if state == PUBLISHED else f"{v} ({state})" for v, state in versions.items()]
        message = f"{model} has no published version {version!r}; there are: {', '.join(shown)}"
        if versions.get(version or "") == UNFINISHED:
            hint = "publish the same content again, or delete what was left"
            return ModelNotFoundError(message, hint=hint)
        return ModelNotFoundError(message, hint=f"`gigacast models show {model}` says more")

    # -- writing -----------------------------------------------------------------------------------

    def publish(self, folder: Path, manifest: ModelManifest, author: Author) -> bool:
        """Give a version its content, for good.

        Parameters
        ----------
        folder : Path
            Holds the files the manifest lists.
        manifest : ModelManifest
        author : Author

        Returns
        -------
        bool
            Whether it was new. The same content again changes nothing, but for files that were
            damaged since: they are written anew.

        Raises
        ------
        ModelConflictError
            When the version has, or is being given, other content.
        StorageError
            The version does not exist then; publishing the same content again completes it.
        """
        model, version = manifest.model, manifest.version
        claim = self._claim(manifest, author)
        if self._is_there(manifest):
            self._mend(folder, manifest)
            self._release(claim)
            return False
        for file in manifest.files:
            self.store.put(model_file_key(model, version, file.name), folder / file.name)
        self._check_written(manifest, claim)
        try:
            self.store.put_if_absent(model_manifest_key(model, version), manifest.to_bytes())
        except PreconditionFailedError:
            is_new = False
        else:
            is_new = True
        self._check_kept(manifest)
        self._release(claim)
        return is_new

    def _mend(self, folder: Path, manifest: ModelManifest) -> None:
        """Write again what is not as it was published."""
        files = self.files(manifest.model, manifest.version)
        for file in manifest.files:
            meta = files.get(file.name)
            found = hash_object(self.store, meta, file.name) if meta is not None else None
            if (problem := compare_file(file, found)) is not None:
                key = model_file_key(manifest.model, manifest.version, file.name)
                self.store.put(key, folder / file.name)
                logger.warning("%s/%s: %s: mended", manifest.model, manifest.version, problem)

    def _is_there(self, manifest: ModelManifest) -> bool:
        """Whether the version exists with this content; other content is refused."""
        found = self.find(manifest.model, manifest.version)
        if found is not None and found.digest != manifest.digest:
            raise ModelConflictError(
                f"{found.model}/{found.version} was published on {found.created_at} with other "
                f"content (digest {found.digest[:12]}, yours {manifest.digest[:12]})",
                hint="published versions never change: choose another --model_version",
            )
        return found is not None

    def _claim(self, manifest: ModelManifest, author: Author) -> Pinned:
        """Take the version for this content, or join those who publish the same."""
        model, version = manifest.model, manifest.version
        key = model_claim_key(check_name("model", model), check_name("version", version))
        content = {"digest": manifest.digest, "who": author.who, "when": author.now()}
        before = self.files(model, version)
        if before and _state(set(before)) == PLAIN:
            raise ModelConflictError(
                f"{model}/{version} has files without a manifest: somebody put them there by hand",
                hint="choose another --model_version, or delete that one",
            )
        if MODEL_MANIFEST in before and self._is_there(manifest) and MODEL_CLAIM not in before:
            return Pinned(key, b"", "")
        try:
            encoded = json.dumps(content).encode()
            return Pinned(key, encoded, self.store.put_if_absent(key, encoded))
        except PreconditionFailedError:
            return self._join(key, manifest)

    def _join(self, key: str, manifest: ModelManifest) -> Pinned:
        pinned = read_pinned(self.store, key)
        claim = _claim_of(pinned)
        label = f"{manifest.model}/{manifest.version}"
        if pinned is None:
            raise ModelConflictError(f"{label} is being published by others", hint="try again")
        if claim.get("deleting"):
            raise ModelConflictError(
                f"{label} is being deleted, or half deleted (by {claim.get('who')})",
                hint=f"finish it: `gigacast models delete {label} --yes`",
            )
        if claim.get("digest") != manifest.digest:
            self._is_there(manifest)
            raise ModelConflictError(
                f"{label} is being published with other content, or was left unfinished (by "
                f"{claim.get('who')}, {claim.get('when')})",
                hint="choose another version, publish that content again, or delete what was left",
            )
        return pinned

    def _check_written(self, manifest: ModelManifest, claim: Pinned) -> None:
        """Make sure that all is there, and still ours, before the version starts to exist."""
        files = self.files(manifest.model, manifest.version)
        wrong = [
            file.name
            for file in manifest.files
            if file.name not in files or files[file.name].size_bytes != file.size_bytes
        ]
        mine = MODEL_CLAIM in files and files[MODEL_CLAIM].etag == claim.etag
        if wrong or not (mine or MODEL_MANIFEST in files):
            raise ModelConflictError(
                f"{manifest.model}/{manifest.version} was changed by others while it was "
                f"published{': ' + wrong[0] if wrong else ''}",
                hint="see what is there with `gigacast models list`, and publish again",
            )

    def _check_kept(self, manifest: ModelManifest) -> None:
        """Make sure that nobody deleted the version while its manifest was on its way."""
        model, version = manifest.model, manifest.version
        files = self.files(model, version)
        gone = [file.name for file in manifest.files if file.name not in files]
        if not gone and self._is_there(manifest) and not self.is_being_deleted(model, version):
            return
        if gone:  # a manifest without its files is no version
            self.store.delete([model_manifest_key(model, version)])
        raise ModelConflictError(
            f"{model}/{version} was deleted by others while it was published",
            hint="see what is there with `gigacast models list`, and publish again",
        )

    def _release(self, claim: Pinned) -> None:
        """Take a claim back, unless somebody else has one there by now."""
        now = read_pinned(self.store, claim.key) if claim.etag else None
        if now is not None and now.etag == claim.etag:
            self.store.delete([claim.key])

    def claim_deletion(self, model: str, version: str, author: Author) -> Pinned | None:
        """Say that a version is about to be deleted: nobody can switch to it any more.

        Returns
        -------
        Pinned or None
            The claim that was there: of those who publish, or were killed while they did.
        """
        key = model_claim_key(model, version)
        before = read_pinned(self.store, key)
        content = {"deleting": True, "who": author.who, "when": author.now()}
        self.store.put(key, json.dumps(content).encode())
        return before

    def withdraw_deletion(self, model: str, version: str, before: Pinned | None) -> None:
        """Take that back, and put there what was there before."""
        key = model_claim_key(model, version)
        if before is None:
            self.store.delete([key])
        else:
            self.store.put(key, before.content)

    def is_being_deleted(self, model: str, version: str) -> bool:
        """Whether somebody is deleting a version, or was when they were killed."""
        return bool(
            _claim_of(read_pinned(self.store, model_claim_key(model, version))).get("deleting")
        )

    def erase(self, model: str, version: str) -> int:
        """Delete a claimed version, its manifest first; return the number of objects deleted."""
        files = self.files(model, version)
        last = {model_claim_key(model, version)}
        first = {model_manifest_key(model, version)}
        keys = {meta.key for meta in files.values()}
        for part in (first & keys, keys - first - last, last & keys):
            if part:
                self.store.delete(sorted(part))
        return len(keys - last)


def _state(files: set[str]) -> str:
    if MODEL_MANIFEST in files:
        return PUBLISHED
    return UNFINISHED if MODEL_CLAIM in files else PLAIN


def _claim_of(pinned: Pinned | None) -> dict[str, object]:
    try:
        content = json.loads(pinned.content) if pinned is not None else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}
