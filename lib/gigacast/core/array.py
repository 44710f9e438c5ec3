"""NumPy array types by the type of their elements. Docstrings give the shapes, as [N, T]."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

AnyArray: TypeAlias = npt.NDArray[Any]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.int8]
CodeArray: TypeAlias = npt.NDArray[np.int32]
"""Codes of a dictionary; negative where the value is missing."""
DoubleArray: TypeAlias = npt.NDArray[np.float64]
FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
RealArray: TypeAlias = npt.NDArray[np.floating]
"""Floating-point numbers of any precision."""
TimeArray: TypeAlias = npt.NDArray[np.datetime64]
UintArray: TypeAlias = npt.NDArray[np.uint64]
