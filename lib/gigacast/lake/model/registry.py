"""The registry of model versions under ``models/``; a published version never changes.

A version is published in the order of `lake.publication` and deleted in the reverse one. Its state
follows from the objects in its folder: with a manifest it is published; with only a claim it is
unfinished; with neither of them, somebody put the files there by hand.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gigacast.errors import (
    GigacastError,
    ModelConflictError,
    ModelIntegrityError,
    ModelNotFoundError,
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
from gigacast.lake.publication import (
    Author,
    Pinned,
    Publication,
    claim_content,
    parse_claim,
    publish,
    read_pinned,
)
from gigacast.storage.store import ObjectMeta, Store

logger = logging.getLogger(__name__)

PUBLISHED = "published"
PLAIN = "no manifest"
UNFINISHED = "unfinished"
_SEE = "see what is there with `gigacast models list`, and publish again"


class Registry:
    """The model versions of one store.

    Parameters
    ----------
    store : Store
        Rooted at the folder that holds ``models/``.
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
        files: dict[str, set[str]] = {}
        # One listing of the model finds the files of all its versions.
        for name in list_files(self.store, models_prefix(model)):
            version, slash, file = name.partition("/")
            if slash:
                files.setdefault(version, set()).add(file)
        return {version: _state(names) for version, names in files.items()}

    def files(self, model: str, version: str) -> dict[str, ObjectMeta]:
        """Return the objects of a version by their name in its folder."""
        return list_files(self.store, model_prefix(model, version))

    def find(self, model: str, version: str) -> ModelManifest | None:
        """Return a version's manifest; ``None`` when there is none.

        Raises
        ------
        ModelIntegrityError
            When the manifest does not agree with itself, or with its key.
        """
        key = model_manifest_key(check_name("model", model), check_name("version", version))
        pinned = read_pinned(self.store, key)
        if pinned is None:
            return None
        url = f"{self.store.address.url}/{key}"
        manifest = parse_manifest(pinned.content, url)
        # A manifest that was copied to another version agrees with itself, but every forecast would
        # be recorded under the wrong version.
        if (manifest.model, manifest.version) != (model, version):
            raise ModelIntegrityError(
                f"{url}: cannot be trusted: it says it is {manifest.model}/{manifest.version}",
                hint="it was copied by hand: use `gigacast models backup` and `restore`",
            )
        return manifest

    def read(self, model: str, version: str) -> ModelManifest:
        """Return a version's manifest.

        Raises
        ------
        ModelNotFoundError
            When it is not published; the message lists the versions that are.
        ModelIntegrityError
        """
        manifest = self.find(model, version)
        if manifest is None:
            raise self.unknown(model, version)
        return manifest

    def unknown(self, model: str, version: str | None = None) -> ModelNotFoundError:
        """Return the error for a missing model or version; it lists those that exist."""
        versions = self.versions(model)
        if not versions:
            models = self.models()
            message = f"no model {model!r} under {self.where}; there are: "
            if not models:
                hint = "`gigacast models publish FOLDER` or `gigacast models download NAME` first"
                return ModelNotFoundError(f"{message}none", hint=hint)
            hint = "`gigacast models list` shows them"
            return ModelNotFoundError(message + ", ".join(models), hint=hint)
        shown = [v if state == PUBLISHED else f"{v} ({state})" for v, state in versions.items()]
        message = f"{model} has no published version {version!r}; there are: {', '.join(shown)}"
        if versions.get(version or "") == UNFINISHED:
            hint = "publish the same content again, or delete what was left"
            return ModelNotFoundError(message, hint=hint)
        return ModelNotFoundError(message, hint=f"`gigacast models show {model}` says more")

    # -- writing -----------------------------------------------------------------------------------

    def publish(self, folder: Path, manifest: ModelManifest, author: Author) -> bool:
        """Publish the files of a folder as a version.

        Parameters
        ----------
        folder : Path
            Folder with the files that the manifest lists.
        manifest : ModelManifest
        author : Author

        Returns
        -------
        bool
            Whether the version is new. The same content again changes nothing, but writes files
            anew that were damaged since.

        Raises
        ------
        ModelConflictError
            When the version has, or is being given, other content.
        StorageError
            The version does not exist then; publishing the same content again completes it.
        """
        model = check_name("model", manifest.model)
        version = check_name("version", manifest.version)
        publication = ModelPublication(
            store=self.store,
            label=f"{model}/{version}",
            digest=manifest.digest,
            claim_key=model_claim_key(model, version),
            manifest_key=model_manifest_key(model, version),
            cleanup=f"`gigacast models delete {model}/{version} --yes`",
            registry=self,
            folder=folder,
            manifest=manifest,
        )
        return publish(publication, author)[1]

    def claim_deletion(self, model: str, version: str, author: Author) -> Pinned | None:
        """Claim a version for deletion: from now on nobody can switch to it.

        Returns
        -------
        Pinned or None
            The claim that this one replaces: of a publisher, alive or killed.
        """
        key = model_claim_key(model, version)
        before = read_pinned(self.store, key)
        # Without a condition: a deletion replaces the claim of any publisher.
        self.store.put(key, claim_content(author, deleting=True))
        return before

    def withdraw_deletion(self, model: str, version: str, before: Pinned | None) -> None:
        """Take the claim for deletion back and restore the claim that it replaced."""
        key = model_claim_key(model, version)
        if before is None:
            self.store.delete([key])
        else:
            self.store.put(key, before.content)

    def is_being_deleted(self, model: str, version: str) -> bool:
        """Check whether a deletion of the version is under way or was killed."""
        return parse_claim(read_pinned(self.store, model_claim_key(model, version))).deleting

    def erase(self, model: str, version: str) -> int:
        """Delete a version claimed for deletion; return the number of objects without the claim."""
        files = self.files(model, version)
        last = {model_claim_key(model, version)}
        first = {model_manifest_key(model, version)}
        keys = {meta.key for meta in files.values()}
        # Without its manifest the version is gone for readers. The claim goes last: until then it
        # marks what a killed deletion leaves.
        for part in (first & keys, keys - first - last, last & keys):
            if part:
                self.store.delete(sorted(part))
        return len(keys - last)


def _state(files: set[str]) -> str:
    if MODEL_MANIFEST in files:
        return PUBLISHED
    return UNFINISHED if MODEL_CLAIM in files else PLAIN


@dataclass(frozen=True)
class ModelPublication(Publication[ModelManifest]):
    """A model version to publish: the files of a folder, in place of leftovers of a killed publish.

    Files are put without a condition: publishers of the same digest write the same bytes, and
    damaged leftovers are replaced.
    """

    conflict: ClassVar[type[GigacastError]] = ModelConflictError
    registry: Registry
    folder: Path
    manifest: ModelManifest

    def find(self) -> ModelManifest | None:
        """Return the published manifest; other content is refused."""
        published = self.registry.find(self.manifest.model, self.manifest.version)
        if published is not None and published.digest != self.digest:
            raise self.refuse(
                f"was published on {published.created_at} with other content (digest "
                f"{published.digest[:12]}, yours {self.digest[:12]})",
                "published versions never change: choose another --model_version",
            )
        return published

    def check_free(self) -> None:
        """Refuse a folder whose files have neither a manifest nor a claim."""
        names = set(self._files())
        if names and _state(names) == PLAIN:
            raise self.refuse(
                "has files without a manifest: somebody put them there by hand",
                "choose another --model_version, or delete that one",
            )

    def write_files(self) -> ModelManifest:
        """Write every file of the folder."""
        for file in self.manifest.files:
            self._put(file.name)
        return self.manifest

    def check_written(self, manifest: ModelManifest) -> None:
        """Check that every file is stored in its full size."""
        files = self._files()
        # Sizes only: they come with the listing, while a hash would read every file back.
        for file in manifest.files:
            if file.name not in files or files[file.name].size_bytes != file.size_bytes:
                reason = f"was changed by others while it was published: {file.name}"
                raise self.refuse(reason, _SEE)

    def encode(self, manifest: ModelManifest) -> bytes:
        """Return the manifest as it is stored."""
        return manifest.to_bytes()

    def complete(self, manifest: ModelManifest) -> None:
        """Write again the files that are no longer as they were published."""
        if self.registry.is_being_deleted(manifest.model, manifest.version):
            raise self.refuse("is being deleted, or half deleted", f"finish it: {self.cleanup}")
        # The version exists and may be in use: only files that differ are written.
        files = self._files()
        for file in self.manifest.files:
            meta = files.get(file.name)
            stored = hash_object(self.store, meta, file.name) if meta is not None else None
            if (problem := compare_file(file, stored)) is not None:
                self._put(file.name)
                logger.warning("%s: %s: mended", self.label, problem)

    def confirm(self, manifest: ModelManifest, *, is_new: bool) -> None:
        """Check that no deletion began while the manifest was on its way."""
        files = self._files()
        is_whole = all(file.name in files for file in manifest.files)
        is_deleted = self.registry.is_being_deleted(manifest.model, manifest.version)
        if is_whole and not is_deleted and self.find() is not None:
            return
        if not is_whole:
            # Readers would find a version whose files are gone. While all of them are there, the
            # deletion that has just begun removes the manifest itself.
            self.store.delete([self.manifest_key])
        raise self.refuse("was deleted by others while it was published", _SEE)

    def _files(self) -> dict[str, ObjectMeta]:
        return self.registry.files(self.manifest.model, self.manifest.version)

    def _put(self, name: str) -> None:
        key = model_file_key(self.manifest.model, self.manifest.version, name)
        self.store.put(key, self.folder / name)
