"""The table of a portfolio's choices: the mixture of each series, found by a hash of its name."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray, UintArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.footer import DamagedParquetError, VerifiedParquet, read_metadata
from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.portfolio.recipe import CHOICES, Portfolio
from gigacast.forecasters.seed import name_hashes

SCHEMA = pa.schema(
    [pa.field("item_id", pa.string()), ("target_name", pa.string()), ("mixture", pa.int32())]
)
_MOST_SEEDS = 64


@dataclass(frozen=True)
class Choices:
    """Mixtures of S series, in the order of the hashes of their names.

    Parameters
    ----------
    items, targets : pa.Array [S]
        Names as text.
    mixtures : int64 [S]
    hashes : uint64 [S]
        Ascending.
    seed : int
    """

    items: pa.Array
    targets: pa.Array
    mixtures: IntArray
    hashes: UintArray
    seed: int

    def find(self, items: pa.Array, targets: pa.Array) -> tuple[IntArray, BoolArray]:
        """Return the mixture of each series [N], and whether there is one; 0 where there is none.

        Parameters
        ----------
        items, targets : pa.Array [N]
        """
        if not len(self.hashes):
            return np.zeros(len(items), np.int64), np.zeros(len(items), np.bool_)
        items, targets = _text(items), _text(targets)
        hashes = name_hashes(items, targets, self.seed)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        rows = to_arrow(place)
        # The names decide: another series may have the hash of one in the table.
        is_same = pc.and_(
            pc.equal(self.items.take(rows), items), pc.equal(self.targets.take(rows), targets)
        )
        is_chosen = np.asarray(to_numpy(pc.fill_null(is_same, False)), np.bool_)
        return np.where(is_chosen, self.mixtures[place], 0), is_chosen

    def to_table(self) -> pa.Table:
        """Return the table as it is stored."""
        mixtures = to_arrow(self.mixtures.astype(np.int32))
        return pa.Table.from_arrays([self.items, self.targets, mixtures], schema=SCHEMA)


def make_choices(items: pa.Array, targets: pa.Array, mixtures: IntArray) -> Choices:
    """Return choices of S different series, by the first seed that gives no two the same hash."""
    items, targets = _text(items), _text(targets)
    for seed in _seeds():
        hashes = name_hashes(items, targets, seed)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        if not (ordered[1:] == ordered[:-1]).any():
            rows = to_arrow(order)
            return Choices(items.take(rows), targets.take(rows), mixtures[order], ordered, seed)
    raise ModelIntegrityError(
        "choices: a series is named twice", hint="select again: `gigacast models select`"
    )


def _seeds() -> Iterator[int]:
    return iter(range(_MOST_SEEDS))


def read_choices(folder: Path, portfolio: Portfolio) -> Choices:
    """Return the choices of a portfolio.

    Raises
    ------
    ModelIntegrityError
        If the table is damaged, or names a mixture that the recipe does not have.
    """
    path = folder / CHOICES
    hint = "select again: `gigacast models select`"
    try:
        with path.open("rb") as file:
            table = VerifiedParquet(file, read_metadata(file)).read(use_threads=False)
        table = table.select(SCHEMA.names).cast(SCHEMA).combine_chunks()
    except (pa.ArrowException, DamagedParquetError, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ModelIntegrityError(f"{path}: not a table of choices: {reason}", hint=hint) from error
    items, targets = (_text(table[name]) for name in ("item_id", "target_name"))
    mixtures = np.asarray(to_numpy(pc.fill_null(table["mixture"], -1)), np.int64)
    hashes = name_hashes(items, targets, portfolio.seed)
    is_sorted = bool((hashes[1:] > hashes[:-1]).all())
    is_known = bool(((mixtures >= 0) & (mixtures < len(portfolio.mixtures))).all())
    if not is_sorted or not is_known:
        raise ModelIntegrityError(
            f"{path}: its order or a mixture is not that of the portfolio", hint=hint
        )
    return Choices(items, targets, mixtures, hashes, portfolio.seed)


def _text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return values as one array of text; dictionaries as their values."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    texts = values.cast(pa.string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
