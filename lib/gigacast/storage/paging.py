"""Cutting listings into pages."""

from collections.abc import Iterable, Iterator
from itertools import islice

from gigacast.storage.store import Folder, ObjectMeta

PAGE_KEYS = 1000  # what one LIST request of S3 returns


def cut_pages(objects: Iterable[ObjectMeta]) -> Iterator[list[ObjectMeta]]:
    """Cut a stream of objects into pages; no objects give no pages."""
    stream = iter(objects)
    while page := list(islice(stream, PAGE_KEYS)):
        yield page


def fold_level(prefix: str, objects: Iterable[ObjectMeta]) -> Folder:
    """Fold all objects below a folder prefix into its one level."""
    folders: dict[str, None] = {}
    direct: list[ObjectMeta] = []
    for meta in objects:
        head, slash, _ = meta.key[len(prefix) :].partition("/")
        if slash:
            folders[f"{prefix}{head}/"] = None
        else:
            direct.append(meta)
    return Folder(tuple(sorted(folders)), tuple(direct))
