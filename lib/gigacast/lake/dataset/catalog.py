"""The lake: the datasets of a store, and the state of each version.

A version exists when its manifest does. A folder without a manifest is *unfinished* if it has a
claim, *retired* if all but the files that later versions share were deleted, and *plain* otherwise:
somebody put the files there by hand.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from gigacast.core.dataset.ref import LAYERS, DatasetRef
from gigacast.core.dataset.version import Version
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import CorruptedFileError, DataNotFoundError, DatasetIntegrityError
from gigacast.lake.dataset.manifest import DatasetManifest, parse_dataset_manifest
from gigacast.lake.layout import (
    DATASET_CLAIM,
    DATASET_DEPRECATED,
    DATASET_MANIFEST,
    DATASET_RETIRED,
    dataset_prefix,
)
from gigacast.lake.publication import read_pinned
from gigacast.storage.store import Store, Verify

PUBLISHED = "published"
DEPRECATED = "deprecated"
UNFINISHED = "unfinished"
RETIRED = "retired"
PLAIN = "no manifest"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """The note of a deprecated version: when, who and why, and the version to use instead."""

    when: str
    who: str
    why: str
    instead: str | None = None


def ref_prefix(ref: DatasetRef) -> str:
    """Return the folder of a dataset whose version is known."""
    assert ref.version is not None  # noqa: S101 - resolved by the caller
    return dataset_prefix(ref.layer, ref.name, ref.version)


def _state_of(names: Collection[str], *, has_more: bool) -> str | None:
    """Return the state of a version by the names of its objects; none without any."""
    if DATASET_MANIFEST in names:
        return DEPRECATED if DATASET_DEPRECATED in names else PUBLISHED
    if DATASET_CLAIM in names:
        return UNFINISHED
    if DATASET_RETIRED in names:
        return RETIRED
    return PLAIN if names or has_more else None


def _states_of(keys: Iterable[str], ref: DatasetRef, root: str) -> dict[str, str | None]:
    """Return the states of a dataset's versions by the keys below their common folder."""
    names: dict[str, set[str]] = {}
    for key in keys:
        folder, slash, _ = key.removeprefix(root).partition("/")
        if not slash or (ref.layer != "raw" and not Version.find(folder)):
            continue
        prefix = ref_prefix(replace(ref, version=folder))
        if key.startswith(prefix):
            names.setdefault(folder, set()).add(key.removeprefix(prefix))
    # Names with a folder before them are of no mark.
    return {version: _state_of(found, has_more=False) for version, found in names.items()}


class Lake:
    """The datasets of one store.

    Parameters
    ----------
    store : Store
        Rooted at the folder that holds ``raw/``, ``cleaned/`` and ``features/``.
    verify : str
        Files of its versions whose recorded digest is checked; see `gigacast.storage.store.Verify`.
    """

    def __init__(self, store: Store, verify: Verify = "sample") -> None:
        self.store = store
        self.verify = verify

    def where(self, ref: DatasetRef) -> str:
        """Return a dataset's address, for messages."""
        return f"{self.store.address.url}/{ref}"

    def names(self, layer: str) -> list[str]:
        """Return the names of all datasets of a layer."""
        names: set[str] = set()
        for folder in self._folders(f"{layer}/"):
            if layer == "raw":
                names.add(folder)
            else:
                names.update(self._folders(f"{layer}/{folder}/"))
        return sorted(names)

    def datasets(self, layer: str | None = None) -> list[DatasetRef]:
        """Return every dataset, without versions."""
        layers = LAYERS if layer is None else (layer,)
        return [
            DatasetRef(each_layer, name) for each_layer in layers for name in self.names(each_layer)
        ]

    def versions(self, ref: DatasetRef) -> dict[str, str]:
        """Return the versions of a dataset, oldest first, each with its state."""
        root = f"raw/{ref.name}/" if ref.layer == "raw" else f"{ref.layer}/"
        pages = list(islice(self.store.list(root), 2))
        if len(pages) < 2:
            # Few objects: their names say all, in one request.
            states = _states_of([entry.key for page in pages for entry in page], ref, root)
        else:
            # A layer with many files would be hundreds of pages.
            states = {
                folder: self.state(replace(ref, version=folder))
                for folder in self._folders(root)
                if ref.layer == "raw" or Version.find(folder)
            }
        existing = {version: state for version, state in states.items() if state is not None}
        # Days sort as text; versions do not, as v10 comes after v9.
        order = sorted(existing) if ref.layer == "raw" else sorted(existing, key=Version.parse)
        return {version: existing[version] for version in order}

    def state(self, ref: DatasetRef) -> str | None:
        """Return the state of one version; ``None`` when its folder is empty."""
        # One listing of one level: the names of the objects decide, and none of them is read.
        level = self.store.list_folder(ref_prefix(ref))
        names = {entry.key.rpartition("/")[2] for entry in level.objects}
        return _state_of(names, has_more=bool(level.folders))

    def _folders(self, prefix: str) -> list[str]:
        level = self.store.list_folder(prefix)
        return [folder.removeprefix(prefix).rstrip("/") for folder in level.folders]

    # -- one version -------------------------------------------------------------------------------

    def find(self, ref: DatasetRef) -> DatasetManifest | None:
        """Return the manifest of a version; ``None`` when it has none.

        Raises
        ------
        DatasetIntegrityError
            When the manifest does not agree with itself, or with its key.
        """
        key = ref_prefix(ref) + DATASET_MANIFEST
        pinned = read_pinned(self.store, key)
        if pinned is None:
            return None
        url = f"{self.store.address.url}/{key}"
        manifest = parse_dataset_manifest(pinned.content, url)
        # A folder that was copied by hand has the manifest of another version.
        if manifest.ref != ref:
            raise DatasetIntegrityError(
                f"{url}: can't be trusted: it says it is {manifest.ref}",
                hint="versions are not copied by hand: publish the content there",
            )
        return manifest

    def resolve(self, ref: DatasetRef) -> DatasetRef:
        """Return a dataset with its version: the highest published one by default.

        Deprecated versions are passed over, unless there are no others.

        Raises
        ------
        DataNotFoundError
        """
        if ref.version is not None:
            return ref
        states = self.versions(ref)
        for state in (PUBLISHED, DEPRECATED):
            if versions := [version for version in states if states[version] == state]:
                return replace(ref, version=versions[-1])
        raise self._unknown(ref, states)

    def read(self, ref: DatasetRef) -> DatasetManifest:
        """Return the manifest of a version; of the latest one by default.

        Raises
        ------
        DataNotFoundError
            When it is not published; the message lists the versions that are.
        DatasetIntegrityError
        """
        resolved = self.resolve(ref)
        manifest = self.find(resolved)
        if manifest is None:
            raise self._unknown(resolved, self.versions(resolved))
        return manifest

    def deprecation(self, ref: DatasetRef) -> Deprecation | None:
        """Return the note of a deprecated version; ``None`` when it is not deprecated."""
        pinned = read_pinned(self.store, ref_prefix(ref) + DATASET_DEPRECATED)
        if pinned is None:
            return None
        source = Source(pinned.key, CorruptedFileError)
        try:
            return read_record(Deprecation, decode_json(pinned.content, source), source)
        except CorruptedFileError:
            # The object's presence deprecates the version; its text is only for people.
            return Deprecation("", "", "its note can't be read")

    def _unknown(self, ref: DatasetRef, states: dict[str, str]) -> DataNotFoundError:
        if not states:
            names = ", ".join(self.names(ref.layer)) or "none"
            return DataNotFoundError(
                f"{self.store.address.url}: no dataset {ref.name!r} in {ref.layer}/; "
                f"there are: {names}",
                hint="`gigacast data versions` lists all",
            )
        shown = [v if state == PUBLISHED else f"{v} ({state})" for v, state in states.items()]
        message = f"{self.where(ref)} is not published; there are: {', '.join(shown)}"
        if states.get(ref.version or "") == UNFINISHED:
            hint = "its publication is under way or was killed: publish the same content again"
            return DataNotFoundError(message, hint=hint)
        return DataNotFoundError(message, hint="a version exists when it has its manifest")
