"""An online store in Redis."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gigacast.core.address import without_credentials
from gigacast.errors import ConfigError, MissingExtraError, StorageError, TransientStorageError
from gigacast.feature_store.online.store import Versioned, is_between, new_version

_FORM = "write redis://HOST:PORT/0; in a password / is %2F, @ is %40, ? is %3F"
_PAGE = 1000
# The version is the first eight bytes of a value, so that both change at once.
_PUT_IF = """
local current = redis.call('GETRANGE', KEYS[1], 0, 7)
if current ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('EXPIREAT', KEYS[1], ARGV[3]) end
return 1
"""


class RedisOnlineStore:
    """Values in a database of Redis, or of a server that speaks its protocol.

    Parameters
    ----------
    url : str
        Address, as ``redis://127.0.0.1:6379/0``.
    """

    is_local = False

    def __init__(self, url: str) -> None:
        self._redis = _load()
        # Without the password that an address may hold.
        self._label = url.rpartition("@")[2].removeprefix("redis://").removeprefix("rediss://")
        limits = {"socket_timeout": 5, "socket_connect_timeout": 2}
        try:
            self._client = self._redis.Redis.from_url(url, **limits)
            # Made and not opened: what the address says must be known to a connection.
            self._client.connection_pool.make_connection()
        except (ValueError, TypeError):
            # Without its cause: the text of a port that is none may be a part of a password.
            shown = without_credentials(url)
            raise ConfigError(f"--online_store: {shown!r} is no address", hint=_FORM) from None
        self._put_if = self._client.register_script(_PUT_IF)

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys; see `OnlineStore.get_many`."""
        if not keys:
            return []
        with self._translated():
            return [_unpack(value) for value in self._client.mget(keys)]

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values; see `OnlineStore.put_many`."""
        with self._translated():
            # A pipeline sends many writes in one message, and is no transaction.
            pipeline = self._client.pipeline(transaction=False)
            for n, (key, value) in enumerate(items, 1):
                pipeline.set(key, _pack(value), exat=expires_at)
                if n % _PAGE == 0:
                    pipeline.execute()
            pipeline.execute()

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; see `OnlineStore.put_if`."""
        expected = b"" if version is None else version.to_bytes(8, "big")
        end = "" if expires_at is None else str(expires_at)
        with self._translated():
            return bool(self._put_if(keys=[key], args=[expected, _pack(value), end]))

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix; see `OnlineStore.scan`. Walks all keys."""
        for page in self._pages(prefix):
            keys = [key for key in page if is_between(key, prefix, start, end)]
            for key, value in zip(keys, self.get_many(keys), strict=True):
                if value is not None:
                    yield key, value

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix; see `OnlineStore.drop`. Walks all keys."""
        count = 0
        for page in self._pages(prefix):
            with self._translated():
                count += int(self._client.unlink(*page)) if page else 0
        return count

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _pages(self, prefix: str) -> Iterator[list[str]]:
        """Yield keys below a prefix; a walk may name a key twice, and each is yielded once."""
        # Letters that have a meaning in Redis' patterns.
        pattern = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in prefix)
        walked: set[bytes] = set()
        cursor = 0
        while True:
            with self._translated():
                cursor, page = self._client.scan(cursor, match=f"{pattern}*", count=_PAGE)
            fresh = [key for key in dict.fromkeys(page) if key not in walked]
            walked.update(fresh)
            yield [key.decode() for key in fresh]
            if cursor == 0:
                return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        errors = self._redis.exceptions
        try:
            yield
        except errors.RedisError as error:
            busy = isinstance(error, errors.ConnectionError | errors.TimeoutError)
            # A wrong password, which redis counts among the errors of connections, stays wrong.
            busy &= not isinstance(error, errors.AuthenticationError | errors.AuthorizationError)
            kind = TransientStorageError if busy else StorageError
            raise kind(
                f"online store redis://{self._label}: {error}", hint="check --online_store"
            ) from error


def _load() -> Any:
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "the online store redis:// needs redis, which is not installed",
            hint="pip install 'gigacast[redis]'",
        ) from error
    return redis


def _pack(value: bytes) -> bytes:
    return new_version().to_bytes(8, "big") + value


def _unpack(stored: bytes | None) -> Versioned | None:
    return None if stored is None else Versioned(stored[8:], int.from_bytes(stored[:8], "big"))
