"""Deletion vectors of Iceberg: files of the format Puffin, which pyiceberg reads."""

from collections.abc import Mapping

import numpy as np

from gigacast.core.array import IntArray
from gigacast.errors import CorruptedFileError


def read_puffin(content: bytes, name: str) -> Mapping[str, IntArray]:
    """Return the positions of deleted rows by the path of their data file.

    Raises
    ------
    CorruptedFileError
    """
    from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file  # noqa: PLC0415
    from pyiceberg.table.puffin import PuffinFile  # noqa: PLC0415

    try:
        vectors = deletion_vectors_from_puffin_file(PuffinFile(content))
        return {
            vector.referenced_data_file: np.asarray(
                vector.to_vector().combine_chunks().to_numpy(zero_copy_only=False), np.int64
            )
            for vector in vectors
        }
    except (ValueError, KeyError, IndexError, AssertionError) as error:
        raise CorruptedFileError(
            f"{name} is no readable file of deletion vectors: {str(error)[:300]}",
            hint="restore the file: the files of a table never change",
        ) from error
