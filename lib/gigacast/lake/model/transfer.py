"""Copy the files of a model version from a store to a local folder, hashed on the way.

Files are read in pieces, so that memory holds one piece whatever the size of the model. Each piece
is read with the ETag that was listed, so that no copy mixes two objects.
"""

import errno
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gigacast.errors import (
    ModelIntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.lake.layout import model_prefix
from gigacast.lake.model.file import ModelFile
from gigacast.lake.model.manifest import ModelManifest, compare_file
from gigacast.storage.store import ObjectMeta, Store

PIECE_BYTES = 16 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fetch_version(store: Store, manifest: ModelManifest, folder: Path) -> None:
    """Copy the files of a version into a folder, each verified by its manifest.

    Raises
    ------
    ModelIntegrityError
        When a file is missing, cut short, changed, or replaced while it was read.
    StorageError
        When there is no room for it.
    """
    prefix = model_prefix(manifest.model, manifest.version)
    listed = list_files(store, prefix)
    for file in manifest.files:
        meta = listed.get(file.name)
        target = folder / file.name
        with local_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            copied = _copy(store, meta, file, target) if meta is not None else None
        problem = compare_file(file, copied)
        if problem is not None:
            raise ModelIntegrityError(
                f"{store.address.url}/{prefix}: {problem}; it is not loaded",
                hint=f"`gigacast models verify {manifest.model}/{manifest.version}`, then restore "
                "it from a backup or publish a good copy as a new version",
            )


def list_files(store: Store, prefix: str) -> dict[str, ObjectMeta]:
    """Return the objects below a prefix by the rest of their key."""
    return {m.key.removeprefix(prefix): m for page in store.list(prefix) for m in page}


def _copy(store: Store, meta: ObjectMeta, listed: ModelFile, target: Path) -> ModelFile:
    # A file of another size can't match: gigabytes are not copied to find that out.
    if meta.size_bytes != listed.size_bytes:
        return ModelFile(listed.name, meta.size_bytes, "")
    hashed = hashlib.sha256()
    with target.open("wb") as file:
        for piece in read_pieces(store, meta):
            file.write(piece)
            hashed.update(piece)
    return ModelFile(listed.name, target.stat().st_size, hashed.hexdigest())


def hash_object(store: Store, meta: ObjectMeta, name: str) -> ModelFile:
    """Return the size and hash of an object as a manifest lists them."""
    hashed = hashlib.sha256()
    for piece in read_pieces(store, meta):
        hashed.update(piece)
    return ModelFile(name, meta.size_bytes, hashed.hexdigest())


def read_pieces(store: Store, meta: ObjectMeta) -> Iterator[bytes]:
    """Iterate over the pieces of an object, as it was listed.

    Raises
    ------
    ModelIntegrityError
        When it was replaced since.
    """
    try:
        for start in range(0, meta.size_bytes, PIECE_BYTES):
            stop = min(start + PIECE_BYTES, meta.size_bytes)
            yield store.get(meta.key, if_match=meta.etag, start=start, stop=stop)
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise ModelIntegrityError(
            f"{store.address.url}/{meta.key}: was replaced while it was read", hint="try again"
        ) from error


def copy_plain(store: Store, files: Mapping[str, ObjectMeta], folder: Path) -> None:
    """Copy files of a version without a manifest, each as it was listed."""
    for name, meta in files.items():
        target = folder / name
        with local_errors(target), target.open("wb") as file:
            for piece in read_pieces(store, meta):
                file.write(piece)


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Raise errors of the local disk as the package's errors.

    Raises
    ------
    StorageError
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageError(
                f"no room to write {path}: {reason}",
                hint="free space, or set GIGACAST_CACHE or TMPDIR to a larger disk",
            ) from error
        raise StorageError(f"{path}: {reason}", hint="check the path and permissions") from error
