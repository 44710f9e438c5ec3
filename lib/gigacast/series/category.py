"""Categories as numbers, given as they come.

The number of a text says nothing but that it is this text: the next run may give it another one.
What is made of it (`forecast.encoding`) depends on the texts of one series alone.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray, RealArray
from gigacast.core.column import to_numpy

NO_TEXT = -1.0
"""The number of a row that names no text: a category of its own."""


class CategoryCodes:
    """The numbers of the texts of one column."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts so far, by number."""
        return tuple(self._codes)

    def encode(self, column: pa.Array) -> RealArray:
        """Return a column of texts or truth values as numbers, float64 [R]."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        coded = pc.dictionary_encode(column.cast(pa.string()))
        texts = coded.dictionary.to_pylist()
        numbers = np.array([self._codes.setdefault(t, len(self._codes)) for t in texts], np.float64)
        found = np.full(len(coded), NO_TEXT)
        known = to_numpy(coded.indices.is_valid())
        found[known] = numbers[to_numpy(coded.indices.drop_null())]
        return found

    def ranks(self, numbers: RealArray) -> IntArray:
        """Return where each number's text stands in the order of names so far, int64 [R].

        -1 for what is no text.
        """
        ranks = np.full(len(self._codes) + 1, -1, np.int64)
        ranks[np.argsort(np.array(self.texts, dtype=object))] = np.arange(len(self._codes))
        known = numbers >= 0
        found = np.full(len(numbers), -1, np.int64)
        found[known] = ranks[numbers[known].astype(np.int64)]
        return found
