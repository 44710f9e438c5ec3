"""The check that a key is usable in every store.

A key is a path in some stores and a plain name in others. Keys that would mean different things
there (``..``, empty parts, backslashes, characters that XML cannot hold) are refused everywhere, so
that a job that runs on a folder also runs on a bucket, and no key can lead out of its root.
"""

import re
from collections.abc import Iterable

from gigacast.errors import StorageError

MAX_KEY_BYTES = 1024  # the limit of Amazon S3
# Empty parts, "." and ".."; backslashes, control characters, lone surrogates, and two characters
# that no XML answer of S3 can hold.
_UNUSABLE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\\\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_HINT = (
    "keys are parts joined by '/'; no part is empty, '.' or '..', or has a backslash or a control "
    "character"
)


def is_usable(key: str) -> bool:
    """Check that a key means the same in every store."""
    return _UNUSABLE.search(key) is None


def unusable_among(keys: Iterable[str]) -> list[str]:
    """Return those keys of a page of a listing that are not usable."""
    keys = list(keys)
    # The expression needs 7 microseconds for a key, twice the listing itself. Almost all pages
    # pass these searches, which need a thirtieth.
    joined = f"/{'/'.join(keys)}/"
    if joined.isprintable() and not any(part in joined for part in ("//", "/./", "/../", "\\")):
        return []
    return [key for key in keys if not is_usable(key)]


def check_key(key: str) -> str:
    """Return the key if it is usable.

    Raises
    ------
    StorageError
        If the key is empty or absolute, has an empty, ``.`` or ``..`` part, a backslash or a
        control character, is not valid Unicode, or is longer than 1,024 bytes.
    """
    if not is_usable(key):
        raise StorageError(f"the key {key!r} cannot be used", hint=_HINT)
    if len(key.encode()) > MAX_KEY_BYTES:
        message = f"the key {key[:80]!r}... is longer than {MAX_KEY_BYTES} bytes"
        raise StorageError(message, hint="shorten the prefix or the name")
    return key


def check_folder_prefix(prefix: str) -> str:
    """Return the prefix of a one-level listing if it is empty or ends in ``/``.

    Raises
    ------
    StorageError
        If it does not.
    """
    if prefix and not prefix.endswith("/"):
        raise StorageError(f"the folder prefix {prefix!r} does not end in '/'")
    return prefix
