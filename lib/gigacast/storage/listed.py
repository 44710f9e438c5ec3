"""Pages of listings in columns, so that a million keys are no million objects of Python."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.column import text_column, to_arrow
from gigacast.storage.store import ObjectMeta, Store

_MOST_BYTES = 2**31 - 1
"""Text that Arrow's smaller offsets can reach."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Listed objects in key order, in columns of the fields of `ObjectMeta`.

    Parameters
    ----------
    keys, etags : StringArray [N]
    sizes, modified_ns : int64 [N]
    """

    keys: pa.StringArray
    etags: pa.StringArray
    sizes: IntArray
    modified_ns: IntArray

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def of(cls, entries: Sequence[ObjectMeta]) -> "Listed":
        """Return objects in columns."""
        return cls.of_columns(*(zip(*entries, strict=True) if entries else ((),) * 4))

    @classmethod
    def of_columns(
        cls,
        keys: Sequence[str],
        etags: Sequence[str],
        sizes: Sequence[int],
        modified: Sequence[int],
    ) -> "Listed":
        """Return objects whose fields are in columns of Python."""
        return cls(
            text_column(keys),
            text_column(etags),
            np.array(sizes, np.int64),
            np.array(modified, np.int64),
        )

    def entries(self) -> list[ObjectMeta]:
        """Return the objects one by one."""
        columns = (self.keys.to_pylist(), self.etags.to_pylist())
        return list(map(ObjectMeta, *columns, self.sizes.tolist(), self.modified_ns.tolist()))

    def slice(self, start: int, stop: int) -> "Listed":
        """Return a range of rows, without a copy."""
        return Listed(
            self.keys.slice(start, stop - start),
            self.etags.slice(start, stop - start),
            self.sizes[start:stop],
            self.modified_ns[start:stop],
        )

    def take(self, rows: IntArray) -> "Listed":
        """Return some rows."""
        if len(rows) == len(self) and bool((rows == np.arange(len(rows))).all()):
            return self
        places = to_arrow(rows)
        return Listed(
            self.keys.take(places),
            self.etags.take(places),
            self.sizes[rows],
            self.modified_ns[rows],
        )

    @classmethod
    def joined(cls, pieces: Sequence["Listed"]) -> "Listed":
        """Return the rows of several pages, one after the other."""
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return NOTHING
        return cls(
            _join([piece.keys for piece in pieces]),
            _join([piece.etags for piece in pieces]),
            np.concatenate([piece.sizes for piece in pieces]),
            np.concatenate([piece.modified_ns for piece in pieces]),
        )


def _join(columns: list[pa.StringArray]) -> pa.Array:
    if sum(column.nbytes for column in columns) > _MOST_BYTES:
        columns = [column.cast(pa.large_string()) for column in columns]
    return pa.concat_arrays(columns)


NOTHING = Listed.of(())
"""No rows."""


@runtime_checkable
class ColumnStore(Protocol):
    """A store that lists in columns itself."""

    def list_columns(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the pages of `Store.list` in columns."""
        ...


def list_columns(store: Store, prefix: str = "") -> Iterator[Listed]:
    """Yield the pages of a listing in columns: for listings of millions of keys."""
    if isinstance(store, ColumnStore):
        return store.list_columns(prefix)
    return map(Listed.of, store.list(prefix))
