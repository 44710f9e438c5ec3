"""The refusal of items whose rows are in several groups of training data.

Each group of files gives series of its own. An item in two of them would be two series, and the
held-out end of the first would not be the end of its data.
"""

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray, UintArray
from gigacast.core.partition.name import hive_levels, is_whole_month, levels_above
from gigacast.errors import SchemaError
from gigacast.series.duplicates import remedy_of
from gigacast.series.identity import hash_ids


class SpanGuard:
    """The ids of the items so far, by group. Memory is 12 bytes per item."""

    def __init__(self) -> None:
        self._groups: list[tuple[str, str]] = []  # lineage, and key of the first file
        # Sorted hashes with their groups. Each run is at least twice as long as the next, so that
        # merging many small groups costs little more than one sort.
        self._runs: list[tuple[UintArray, IntArray]] = []
        self._own: list[UintArray] = []  # of the latest group, in which a target repeats its item
        self._columns: tuple[str, bool] | None = None

    def begin(self, lineage: str, key: str) -> None:
        """Begin a group.

        Parameters
        ----------
        lineage : str
            Its Hive levels and part, or ``month``.
        key : str
            Key of its first file.
        """
        if self._own:
            hashes = np.unique(np.concatenate(self._own))
            self._merge(hashes, np.full(len(hashes), len(self._groups) - 1, np.int32))
        self._own = []
        self._groups.append((lineage, key))

    def add(self, items: pa.Array, ids: tuple[str, ...]) -> None:
        """Add items of the group.

        Parameters
        ----------
        items : pa.Array
        ids : tuple of str
            Columns of ids; empty if there is none.

        Raises
        ------
        SchemaError
            If an item is in an earlier group, or only one of two groups has a column of ids.
        """
        self._check_columns(bool(ids))
        if not ids:
            return
        texts = items.cast(pa.string())
        hashes = hash_ids(texts)
        for earlier, groups in self._runs:
            places = np.minimum(np.searchsorted(earlier, hashes), len(earlier) - 1)
            shared = np.flatnonzero(earlier[places] == hashes)
            if len(shared):
                first = self._groups[groups[places[shared[0]]]]
                raise _refusal(first, self._groups[-1], texts[int(shared[0])].as_py(), ids)
        self._own.append(hashes)

    def _check_columns(self, has_ids: bool) -> None:
        key = self._groups[-1][1]
        first, has_first = self._columns = self._columns or (key, has_ids)
        if has_first != has_ids:
            bare, named = (key, first) if has_first else (first, key)
            raise SchemaError(
                f"{bare} has no column of item ids, as {named} has: all its rows would be one "
                "series",
                hint="write the column, or train on files of either kind apart by --input_prefix",
            )

    def _merge(self, hashes: UintArray, groups: IntArray) -> None:
        while self._runs and len(self._runs[-1][0]) < 2 * len(hashes):
            earlier, owners = self._runs.pop()
            joined = np.concatenate([earlier, hashes])
            order = np.argsort(joined, kind="stable")
            hashes, groups = joined[order], np.concatenate([owners, groups])[order]
        self._runs.append((hashes, groups))


def _refusal(
    first: tuple[str, str], second: tuple[str, str], item: str, ids: tuple[str, ...]
) -> SchemaError:
    levels, levels_of_second = hive_levels(first[1]), hive_levels(second[1])
    apart = tuple(n for n in levels if levels[n] != levels_of_second.get(n))
    remedies = [remedy_of(apart, ids)] if apart else []
    is_cut = not (is_whole_month(first[0]) or is_whole_month(second[0]))
    if is_cut and levels_above(first[1]) == levels_above(second[1]):
        remedies.append("read the parts of a month together by --partition_by month")
    return SchemaError(
        f"{first[1]} and {second[1]} share items, such as {item!r}, whose rows would be series of "
        "their own",
        hint=", or ".join(remedies) or "give each series its own id",
    )
