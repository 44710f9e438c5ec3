"""The online store that a setting names."""

import re
from pathlib import Path

from gigacast.core.address import without_credentials
from gigacast.errors import ConfigError
from gigacast.feature_store.online.store import OnlineStore
from gigacast.storage.store import StoreAddress

_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_FORMS = "sqlite:FILE, lmdb:FOLDER, dynamodb:TABLE or redis://HOST:PORT/0"


def open_online_store(url: str | None, root: StoreAddress) -> OnlineStore:
    """Return the online store of an address.

    Parameters
    ----------
    url : str, optional
        Address: ``sqlite:FILE``, ``lmdb:FOLDER``, ``dynamodb:TABLE``, ``redis://HOST:PORT/0`` or
        ``memory:``. By default a SQLite file below the root, if that is a folder.
    root : StoreAddress
        Folder or bucket of the feature store; relative files are below a folder.

    Raises
    ------
    ConfigError
        If the text is no address, or a bucket is used without one.
    StorageError, MissingExtraError
    """
    scheme, colon, place = (url or "").partition(":")
    if url is None:
        return _default(root)
    if not colon or not (place or scheme == "memory") or "\0" in place:
        shown = without_credentials(url[:200])[:80]
        raise ConfigError(f"--online_store: {shown!r} is no address", hint=f"write {_FORMS}")
    if scheme == "sqlite":
        from gigacast.feature_store.online.sqlite import SqliteOnlineStore  # noqa: PLC0415

        return SqliteOnlineStore(_below(root, place))
    if scheme == "lmdb":
        from gigacast.feature_store.online.lmdb import LmdbOnlineStore  # noqa: PLC0415

        return LmdbOnlineStore(_below(root, place))
    if scheme == "dynamodb" and _TABLE.fullmatch(place):
        from gigacast.feature_store.online.dynamodb import DynamoOnlineStore  # noqa: PLC0415

        return DynamoOnlineStore(place, region=root.region, endpoint_url=root.endpoint_url)
    if scheme in {"redis", "rediss", "unix"}:
        from gigacast.feature_store.online.redis import RedisOnlineStore  # noqa: PLC0415

        return RedisOnlineStore(url)
    if scheme == "memory":
        from gigacast.feature_store.online.memory import MemoryOnlineStore  # noqa: PLC0415

        return MemoryOnlineStore()
    raise ConfigError(
        f"--online_store: there is no store of the form {scheme[:20]}:", hint=f"write {_FORMS}"
    )


def _default(root: StoreAddress) -> OnlineStore:
    from gigacast.feature_store.online.sqlite import SqliteOnlineStore  # noqa: PLC0415

    folder = _folder(root)
    if folder is None:
        raise ConfigError(
            f"{root.url} is a bucket, which cannot serve features", hint="give --online_store "
            "dynamodb:TABLE, or sqlite:FILE on this machine",
        )  # fmt: skip
    return SqliteOnlineStore(folder / "feature_store" / "online.sqlite")


def _below(root: StoreAddress, text: str) -> Path:
    path = Path(text.removeprefix("//")).expanduser()
    folder = _folder(root)
    return path if path.is_absolute() or folder is None else folder / path


def _folder(root: StoreAddress) -> Path | None:
    if not root.url.startswith("file://"):
        return None
    return Path(root.url.removeprefix("file://"))
