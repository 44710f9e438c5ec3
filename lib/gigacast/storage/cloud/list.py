"""The listings of buckets whose only client is obstore, which takes keys for paths.

A folder marker (``2014/``, an empty object) loses its slash there, a prefix must be a folder, and a
key with an empty part fails the listing that it is in. Google lists in the order of bytes; Azure in
that of an account, which with a hierarchical namespace follows folders.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import obstore
from obstore.exceptions import InvalidPathError

from gigacast.errors import StorageError
from gigacast.storage.bucket.error import translated
from gigacast.storage.bucket.meta import read_meta
from gigacast.storage.key import is_usable
from gigacast.storage.retry import Retrier
from gigacast.storage.store import PAGE_KEYS, Folder, ObjectMeta, cut_pages

_log = logging.getLogger(__name__)


class CloudLister:
    """Lists the keys of a bucket below its root.

    Parameters
    ----------
    client : obstore.store.ObjectStore
        Rooted at the prefix.
    url : str
        URL of the root.
    retrier : Retrier
    exists : callable
        Tells whether there is an object under a key.
    is_ordered : bool
        Whether the service lists in the order of bytes, and can begin after a key.
    """

    def __init__(
        self,
        client: Any,
        url: str,
        retrier: Retrier,
        exists: Callable[[str], bool],
        *,
        is_ordered: bool,
    ) -> None:
        self._client = client
        self._root = url
        self._retrier = retrier
        self._exists = exists
        self._is_ordered = is_ordered

    def probe(self) -> None:
        """Request the first page."""
        with _translated(self._url("")):
            next(obstore.list(self._client, chunk_size=1), None)

    def pages(self, prefix: str, start_after: str) -> Iterator[list[ObjectMeta]]:
        """Yield pages of objects in the order of bytes."""
        folder = prefix[: prefix.rfind("/") + 1]
        if folder and not is_usable(folder[:-1]):
            return iter(())
        objects = (
            self._stream(folder, prefix, start_after)
            if self._is_ordered
            else iter(self._sorted(folder, prefix, start_after))
        )
        return cut_pages(self._readable(objects))

    def list_folder(self, prefix: str) -> Folder:
        """Return one level below a folder prefix."""
        if prefix and not is_usable(prefix[:-1]):
            return Folder((), ())

        def request() -> Any:
            with _translated(self._url(prefix)):
                return obstore.list_with_delimiter(self._client, prefix or None)

        level = self._retrier.call(request)
        folders = sorted(f"{path}/" for path in level["common_prefixes"] if is_usable(path))
        # An object that has the prefix's own name (a folder marker without its slash) is no child.
        inside = sorted(
            meta for meta in map(read_meta, level["objects"]) if meta.key.startswith(prefix)
        )
        return Folder(tuple(folders), tuple(self._readable(inside)))

    def _stream(self, folder: str, prefix: str, start_after: str) -> Iterator[ObjectMeta]:
        """Yield the objects with a prefix as they are listed, after a key."""
        after = start_after if is_usable(start_after) else ""
        # The folder has keys before those with the prefix: the listing begins just before them.
        if len(prefix) > len(folder) + 1 and is_usable(prefix[:-1]):
            after = max(after, prefix[:-1])
        pages = _Pages(self._client, folder, after)
        while (page := self._retrier.call(lambda: self._next(pages, folder))) is not None:
            for meta in page:
                if meta.key.startswith(prefix):
                    if meta.key > start_after:
                        yield meta
                elif meta.key > prefix:
                    return

    def _next(self, pages: "_Pages", folder: str) -> list[ObjectMeta] | None:
        with _translated(self._url(folder)):
            return pages.next_page()

    def _sorted(self, folder: str, prefix: str, start_after: str) -> list[ObjectMeta]:
        """Return the objects with a prefix after a key, sorted, from the whole of a folder."""

        def request() -> list[ObjectMeta]:
            with _translated(self._url(folder)):
                return [
                    read_meta(item)
                    for page in obstore.list(
                        self._client, folder.rstrip("/") or None, chunk_size=PAGE_KEYS
                    )
                    for item in page
                    if item["path"].startswith(prefix) and item["path"] > start_after
                ]

        return sorted(self._retrier.call(request))

    def _readable(self, objects: Iterator[ObjectMeta] | list[ObjectMeta]) -> Iterator[ObjectMeta]:
        """Yield the objects that can be read under their keys, and warn of the others."""
        skipped: list[str] = []
        last = ""
        for meta in objects:
            if not is_usable(meta.key):
                # The marker of the root has no name of its own left.
                skipped += [meta.key] if meta.key else []
            # An empty object may be a marker whose slash is lost: then there is none of this name.
            elif meta.size_bytes or (meta.key != last and self._exists(meta.key)):
                last = meta.key
                yield meta
        if skipped:
            _log.warning(
                "skipped %d objects whose keys cannot be used, such as %r", len(skipped), skipped[0]
            )

    def _url(self, folder: str) -> str:
        return f"{self._root}/{folder}"


class _Pages:
    """Pages from obstore. After a failure a new listing continues after the last page.

    ``after`` is the last key returned. What is not above it is a marker of a folder that was listed
    where its slash belongs.
    """

    def __init__(self, client: Any, folder: str, after: str) -> None:
        self._client = client
        self._folder = folder.rstrip("/") or None
        self._after = after
        self._stream: Any = None

    def next_page(self) -> list[ObjectMeta] | None:
        """Return the next page, or ``None`` at the end."""
        try:
            if self._stream is None:
                self._stream = obstore.list(
                    self._client, self._folder, offset=self._after or None, chunk_size=PAGE_KEYS
                )
            listed = next(self._stream, None)
        except Exception:
            self._stream = None
            raise
        if listed is None:
            return None
        page = []
        for item in listed:
            if item["path"] > self._after:
                self._after = item["path"]
                page.append(read_meta(item))
        return page


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Raise errors of a listing as the package's; of a key that obstore cannot spell, too."""
    try:
        with translated(url, passing=InvalidPathError):
            yield
    except InvalidPathError as error:
        raise StorageError(
            f"{url}: a key below it cannot be listed: {str(error).partition(chr(10))[0]}",
            hint="keys with empty or dotted parts, as a//b, or with control characters cannot be "
            "used: rename these objects, or choose a prefix without them",
        ) from error
