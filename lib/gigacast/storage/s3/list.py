"""The listing of an S3 bucket, by two clients.

obstore needs 4 ms of processor time per page of 1,000 keys, botocore 20 ms at its best
(docs/decisions/0002-object-store-client.md). But obstore takes keys for paths: a key with an empty
part (``a//b``) fails the whole listing, a folder marker (``2014/``, zero bytes) loses its slash,
and a prefix must be a folder. So obstore lists first, and botocore lists the rest from the first
page that obstore may get wrong.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import InvalidPathError
from obstore.store import S3Store as Client

from gigacast.storage.bucket.error import translated
from gigacast.storage.bucket.meta import read_meta, strip_etag, to_ns
from gigacast.storage.key import is_usable, unusable_among
from gigacast.storage.retry import Retrier
from gigacast.storage.s3.client import S3Location
from gigacast.storage.store import PAGE_KEYS, Folder, ObjectMeta

if TYPE_CHECKING:
    from gigacast.storage.listed import Listed

T = TypeVar("T")
P = TypeVar("P")
_path_of = itemgetter("path")
_key_of = attrgetter("key")
_log = logging.getLogger(__name__)


class S3Lister:
    """Lists the keys of a bucket below a root.

    Parameters
    ----------
    location : S3Location
        Bucket and root.
    client : obstore.store.S3Store
        Fast client.
    open_exact : callable
        Function that returns the botocore client; called at its first use.
    retrier : Retrier
        Retries of transient faults.
    """

    def __init__(
        self,
        location: S3Location,
        client: Client,
        open_exact: Callable[[], Any],
        retrier: Retrier,
    ) -> None:
        self._location = location
        self._client = client
        self._open_exact = open_exact
        self._retrier = retrier

    def probe(self) -> None:
        """Request the first page."""
        pages = _FastPages(self._client, "", "", self._url(""))
        pages.next_page()

    def pages(self, prefix: str, start_after: str) -> Iterator[list[ObjectMeta]]:
        """Yield pages of objects in key order."""
        return self._pages(prefix, start_after, lambda page: [*map(read_meta, page)], _as_it_is)

    def columns(self, prefix: str) -> "Iterator[Listed]":
        """Yield pages of objects in key order, in columns."""
        # Imported here: those who list nothing start without Arrow.
        from gigacast.storage.listed import Listed  # noqa: PLC0415

        def read(page: list[Any]) -> Listed:
            return Listed.of_columns(
                [item["path"] for item in page],
                [strip_etag(item["e_tag"]) for item in page],
                [item["size"] for item in page],
                [to_ns(item["last_modified"]) for item in page],
            )

        return self._pages(prefix, "", read, Listed.of)

    def _pages(
        self,
        prefix: str,
        start_after: str,
        read: Callable[[list[Any]], P],
        read_exact: Callable[[list[ObjectMeta]], P],
    ) -> Iterator[P]:
        after = start_after
        if _is_folder(prefix) and (not after or is_usable(after)):
            fast = _FastPages(self._client, prefix, after, self._url(prefix))
            skipped: list[str] = []
            while (page := self._retrier.call(fast.next_page)) is not None:
                if page := _without_unusable(page, _path_of, skipped):
                    yield read(page)
            _report_skipped(skipped)
            if not fast.is_odd:
                return
            after = fast.after
        yield from map(read_exact, self._list_exactly(prefix, after))

    def list_folder(self, prefix: str) -> Folder:
        """Return one level below a folder prefix."""
        if prefix and not is_usable(prefix[:-1]):
            return Folder((), ())
        try:
            return self._retrier.call(lambda: self._fast_level(prefix))
        except InvalidPathError:
            return self._exact_level(prefix)

    def _url(self, prefix: str) -> str:
        return f"s3://{self._location.bucket}/{self._location.root}{prefix}"

    def _fast_level(self, prefix: str) -> Folder:
        with translated(self._url(prefix), passing=InvalidPathError):
            level = obstore.list_with_delimiter(self._client, prefix or None)
        folders = sorted(f"{path}/" for path in level["common_prefixes"] if is_usable(path))
        # An object that has the prefix's own name (a folder marker without its slash) is no child.
        metas = (read_meta(listed) for listed in level["objects"])
        inside = [meta for meta in metas if meta.key.startswith(prefix)]
        return Folder(tuple(folders), tuple(_without_unusable(inside, _key_of, [])))

    def _list_exactly(self, prefix: str, after: str) -> Iterator[list[ObjectMeta]]:
        skipped: list[str] = []
        for answer in self._answers(prefix, after):
            keys = [(item["Key"], item) for item in answer.get("Contents", [])]
            if page := self._usable(keys, skipped):
                yield page
        _report_skipped(skipped)

    def _usable(self, keys: list[tuple[str, Any]], skipped: list[str]) -> list[ObjectMeta]:
        """Return the objects with usable keys, and add the others to ``skipped``.

        Folder markers are neither: the console of S3 makes them as empty objects.
        """
        root = len(self._location.root)
        page = []
        for full, item in keys:
            if is_usable(full[root:]):
                page.append(_read_item(full[root:], item))
            elif not (full.endswith("/") and item["Size"] == 0):
                skipped.append(full)
        return page

    def _exact_level(self, prefix: str) -> Folder:
        folders: list[str] = []
        objects: list[ObjectMeta] = []
        root = len(self._location.root)
        for answer in self._answers(prefix, "", Delimiter="/"):
            names = (item["Prefix"][root:] for item in answer.get("CommonPrefixes", []))
            folders.extend(name for name in names if is_usable(name[:-1]))
            keys = [(item["Key"], item) for item in answer.get("Contents", [])]
            objects.extend(self._usable(keys, []))
        return Folder(tuple(folders), tuple(objects))

    def _answers(self, prefix: str, after: str, **more: str) -> Iterator[dict[str, Any]]:
        """Yield the answers of botocore, one per request."""
        exact = self._open_exact()
        query: dict[str, Any] = {
            "Bucket": self._location.bucket,
            "Prefix": self._location.root + prefix,
            "MaxKeys": PAGE_KEYS,
            **more,
        }
        if after:
            query["StartAfter"] = self._location.root + after
        while True:
            answer = self._retrier.call(lambda: self._request(exact, prefix, query))
            yield answer
            if not answer["IsTruncated"]:
                return
            query["ContinuationToken"] = answer["NextContinuationToken"]

    def _request(self, exact: Any, prefix: str, query: dict[str, Any]) -> dict[str, Any]:
        with translated(self._url(prefix)):
            answer: dict[str, Any] = exact.list_objects_v2(**query)
        return answer


class _FastPages:
    """Pages from obstore. After a failure a new listing continues after the last page.

    ``after`` is the last key returned. ``is_odd`` is set when the pages ended early, before keys
    that obstore may get wrong.
    """

    def __init__(self, client: Client, prefix: str, after: str, url: str) -> None:
        self.after = after
        self.is_odd = False
        self._client = client
        self._prefix = prefix
        self._url = url
        self._stream: Any = None

    def next_page(self) -> list[Any] | None:
        """Return the next page as obstore describes it, or ``None`` at the end."""
        try:
            with translated(self._url, passing=InvalidPathError):
                listed = self._next_listed()
        except InvalidPathError:
            listed, self.is_odd = None, True
        except Exception:
            self._stream = None
            raise
        if listed is None:
            return None
        # An empty object may be a folder marker without its slash; obstore cannot tell.
        if any(item["size"] == 0 for item in listed):
            self.is_odd = True
            return None
        after, self.after = self.after, listed[-1]["path"]
        return [item for item in listed if item["path"] > after]

    def _next_listed(self) -> Any:
        if self._stream is None:
            self._stream = obstore.list(
                self._client,
                self._prefix.rstrip("/") or None,
                offset=self.after or None,
                chunk_size=PAGE_KEYS,
            )
        return next(self._stream, None)


def _without_unusable(page: list[T], key_of: Callable[[T], str], skipped: list[str]) -> list[T]:
    """Return the objects with usable keys, and add the keys of the others to ``skipped``."""
    if not (unusable := unusable_among(map(key_of, page))):
        return page
    skipped += unusable
    left_out = frozenset(unusable)
    return [entry for entry in page if key_of(entry) not in left_out]


def _as_it_is(page: list[ObjectMeta]) -> list[ObjectMeta]:
    return page


def _report_skipped(skipped: list[str]) -> None:
    if skipped:
        _log.warning(
            "skipped %d objects whose keys cannot be used, such as %r", len(skipped), skipped[0]
        )


def _is_folder(prefix: str) -> bool:
    return not prefix or (prefix.endswith("/") and is_usable(prefix[:-1]))


def _read_item(key: str, item: dict[str, Any]) -> ObjectMeta:
    modified = datetime.fromisoformat(item["LastModified"])
    return ObjectMeta(key, strip_etag(item["ETag"]), item["Size"], to_ns(modified))
