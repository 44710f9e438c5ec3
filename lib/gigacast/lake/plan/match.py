"""The match of the partitions of a month with its outputs and receipts, in columns."""

from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.digest import digests_of, digests_of_etags
from gigacast.lake.layout import RECEIPT_END, RECEIPT_ENDING, receipt_prefix
from gigacast.lake.plan.plain import cut
from gigacast.storage.listed import Listed

_ID = 8
"""Bytes of an id, which the key of a receipt spells in 16 hex digits."""

_NOWHERE = to_arrow(np.array([-1], np.int32))[0]


class Stored:
    """The outputs and receipts of a spec in a month.

    Parameters
    ----------
    outputs, receipts : Listed
    prefix : str
        Folder of the spec, which begins the keys of outputs.
    """

    def __init__(self, outputs: Listed, receipts: Listed, prefix: str) -> None:
        self.outputs = outputs
        self.listed = receipts
        self.prefix = prefix

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.outputs) + len(self.listed)

    @property
    def is_plain(self) -> bool:
        """Whether Arrow's smaller offsets reach all keys."""
        return bool(self.outputs.keys.type == self.listed.keys.type == pa.string())

    @cached_property
    def names(self) -> pa.StringArray:
        """Keys of the outputs below the folder of the spec."""
        return cut(self.outputs.keys, len(self.prefix.encode()))

    @cached_property
    def receipts(self) -> Listed:
        """The objects below the folder of receipts that are receipts."""
        is_receipt = to_numpy(pc.match_substring_regex(self.listed.keys, RECEIPT_ENDING.pattern))
        return self.listed.take(np.flatnonzero(is_receipt))

    @cached_property
    def receipt_names(self) -> pa.StringArray:
        """Keys of the receipts' outputs below the folder of the spec."""
        return cut(self.receipts.keys, len(receipt_prefix(self.prefix).encode()), -RECEIPT_END)

    def ids(self, receipts: IntArray) -> tuple[AnyArray, AnyArray]:
        """Return the ids of the inputs and outputs that receipts name, uint8 [N, 8] each."""
        ends = cut(self.receipts.keys.take(to_arrow(receipts)), -RECEIPT_END)
        letters = np.frombuffer(ends.buffers()[2], np.uint8, len(receipts) * RECEIPT_END)
        by_row = letters.reshape(-1, RECEIPT_END)
        return _from_hex(by_row[:, 1:17]), _from_hex(by_row[:, 18:34])

    def unclaimed(self, claimed: pa.StringArray) -> tuple[Listed, Listed]:
        """Return the outputs and receipts of no output that is named."""
        return (
            self.outputs.take(_absent(self.names, claimed)),
            self.receipts.take(_absent(self.receipt_names, claimed)),
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """The outputs and receipts of N partitions.

    Parameters
    ----------
    output : int64 [N]
        Row of each partition's output in `Stored.outputs`, -1 without one.
    valid : int64 [N]
        Row of the receipt that proves it in `Stored.receipts`, -1 without one.
    owner : int64 [M]
        Partition of each receipt in `Stored.receipts`, -1 without one.
    """

    output: IntArray
    valid: IntArray
    owner: IntArray


def match(stored: Stored, output_names: pa.StringArray, etags: pa.StringArray) -> Matched:
    """Return the outputs of partitions, and the receipts that prove them.

    Parameters
    ----------
    stored : Stored
    output_names : StringArray [N]
        Keys of the outputs below the folder of the spec.
    etags : StringArray [N]
        ETag of the input of each partition.
    """
    output = _find(output_names, stored.names)
    owner = _find(stored.receipt_names, output_names)
    valid = np.full(len(output_names), -1, np.int64)
    # A receipt alone proves nothing: its output may have been deleted. Nor does an empty one.
    receipts = np.flatnonzero((owner >= 0) & (stored.receipts.sizes > 0))
    receipts = receipts[output[owner[receipts]] >= 0]
    if len(receipts):
        owners = owner[receipts]
        inputs, outputs = stored.ids(receipts)
        output_etags = stored.outputs.etags.take(to_arrow(output[owners]))
        is_valid = (inputs == _ids(etags.take(to_arrow(owners)), digests_of_etags)).all(axis=1)
        is_valid &= (outputs == _ids(output_etags, digests_of)).all(axis=1)
        valid[owners[is_valid]] = receipts[is_valid]
    return Matched(output, valid, owner)


def _find(texts: pa.StringArray, among: pa.StringArray) -> IntArray:
    """Return the place of each text among others, -1 where it is not."""
    # Where everything is done, both are the same.
    if texts.equals(among):
        return np.arange(len(texts))
    places = pc.coalesce(pc.index_in(texts, value_set=among), _NOWHERE)
    return to_numpy(places).astype(np.int64)


def _absent(texts: pa.StringArray, among: pa.StringArray) -> IntArray:
    if texts.equals(among):
        return np.empty(0, np.int64)
    return np.flatnonzero(~to_numpy(pc.is_in(texts, value_set=among)))


def _ids(etags: pa.StringArray, digests: Callable[[list[str]], bytes]) -> AnyArray:
    return np.frombuffer(digests(etags.to_pylist()), np.uint8).reshape(-1, _ID)


def _from_hex(letters: AnyArray) -> AnyArray:
    return np.frombuffer(unhexlify(letters.tobytes()), np.uint8).reshape(-1, _ID)
