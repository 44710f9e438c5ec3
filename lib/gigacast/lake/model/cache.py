"""The cache of models on this machine, by their digest.

A folder is named after the digest of its content, so no folder becomes stale. It is filled under
another name and renamed, so that other processes find it complete or not at all, and it is hashed
again before every use.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gigacast.core.cache import cache_folder
from gigacast.core.digest import digest_etags
from gigacast.errors import ModelIntegrityError
from gigacast.lake.layout import MODEL_MANIFEST
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.manifest import ModelManifest, check_folder, read_folder_manifest
from gigacast.lake.model.transfer import copy_plain, fetch_version, local_errors
from gigacast.storage.store import ObjectMeta, Store

_SCRATCH = ".fetch-"
_STALE_S = 24 * 3600.0  # no download of a model takes a day


class Cached(NamedTuple):
    """A verified folder, its digest, and whether it was fetched by this call."""

    folder: Path
    digest: str
    fetched: bool


def default_cache() -> Path:
    """Return the folder of the cache: below ``GIGACAST_CACHE``, or ``~/.cache/gigacast``."""
    return cache_folder("models")


class ModelCache:
    """Verified copies of models.

    Parameters
    ----------
    root : Path, optional
        Folder of the cache; `default_cache` by default.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or default_cache()

    def get(self, store: Store, manifest: ModelManifest) -> Cached:
        """Return the files of a version, fetched when they are not cached, every byte verified.

        Raises
        ------
        ModelIntegrityError
            When a file here or in the store is not the published one.
        StorageError
            When there is no room.
        """
        target = self._root / f"sha256-{manifest.digest}"
        fetched = not target.is_dir()
        if fetched:
            with self._staged(target) as staged:
                fetch_version(store, manifest, staged)
                (staged / MODEL_MANIFEST).write_bytes(manifest.to_bytes())
        # Also if the folder was cached before: its files may have changed on this disk.
        check_folder(target, manifest, _hint(target))
        return Cached(target, manifest.digest, fetched)

    def find(self, digest: str) -> tuple[Path, ModelManifest] | None:
        """Return the cached model whose digest starts with ``digest``; ``None`` without one.

        Raises
        ------
        ModelIntegrityError
            When its files are not those of the digest.
        """
        for target in sorted(self._root.glob(f"sha256-{digest}*")):
            manifest = read_folder_manifest(target)
            if manifest is None or target.name != f"sha256-{manifest.digest}":
                raise ModelIntegrityError(
                    f"{target}: files are missing or changed", hint=_hint(target)
                )
            check_folder(target, manifest, _hint(target))
            return target, manifest
        return None

    def get_plain(self, store: Store, files: Mapping[str, ObjectMeta]) -> Cached:
        """Return the files of a version without a manifest, cached by their ETags.

        Raises
        ------
        ModelIntegrityError
            When the cached copy changed since it was fetched.
        StorageError
            When there is no room.
        """
        # A folder's name holds two digests. That of the ETags finds the copy of the listed objects;
        # that of the content shows whether the copy is still as it was fetched.
        label = digest_etags(text for meta in files.values() for text in (meta.key, meta.etag))
        folders = sorted(self._root.glob(f"plain-{label}-*"))
        if not folders:
            folders = [self._fetch_plain(store, files, label)]
        digest = digest_folder(folders[0])
        if folders[0].name != f"plain-{label}-{digest}":
            raise ModelIntegrityError(
                f"{folders[0]}: a file was changed after it was fetched; it is not loaded",
                hint=_hint(folders[0]),
            )
        return Cached(folders[0], digest, fetched=True)

    def _fetch_plain(self, store: Store, files: Mapping[str, ObjectMeta], label: str) -> Path:
        def name(staged: Path) -> Path:
            return self._root / f"plain-{label}-{digest_folder(staged)}"

        with self._staged(name) as staged:
            copy_plain(store, files, staged)
            return name(staged)

    @contextmanager
    def _staged(self, target: Path | Callable[[Path], Path]) -> Iterator[Path]:
        """Yield an empty folder that becomes ``target`` when the block succeeds."""
        with local_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            _remove_stale(self._root)
            # On the disk of the cache, so that the rename at the end is atomic.
            scratch = Path(tempfile.mkdtemp(dir=self._root, prefix=_SCRATCH))
        try:
            staged = scratch / "model"
            with local_errors(scratch):
                staged.mkdir()
            yield staged
            final = target if isinstance(target, Path) else target(staged)
            with local_errors(final):
                _rename(staged, final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _rename(staged: Path, target: Path) -> None:
    try:
        staged.rename(target)
    except OSError:
        # Another process may have been first. Its copy has the same digest and is verified, too.
        if not target.is_dir():
            raise


def _remove_stale(root: Path) -> None:
    """Remove the folders of killed processes; young ones may still be written to."""
    for path in root.glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                shutil.rmtree(path, ignore_errors=True)


def _hint(folder: Path) -> str:
    return f"delete {folder}: it is fetched again"
