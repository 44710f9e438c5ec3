"""Exact sums of numbers and of their powers, as integers.

Every float is an integer times 2**-1074, so sums of floats are sums of integers: exact, whatever
the order, and undone by subtraction. The float that comes out is rounded once, at the end. A pair
of floats (high, low) is smaller, but its addition is not associative to the bit; see decision 0012.

The formulas of this module serve states and kernel alike, on Python integers: equal inputs give
equal bits.
"""

import math
from collections.abc import Sequence

UNIT = 1074  # the smallest positive float is 2**-1074


def to_units(value: float) -> int:
    """Return a finite number as a count of 2**-1074."""
    numerator, denominator = value.as_integer_ratio()
    # The denominator is a power of two, at most 2**1074.
    return numerator << (UNIT + 1 - denominator.bit_length())


def divide(numerator: int, denominator: int) -> float:
    """Return the float nearest to a quotient of integers; infinity beyond the range of floats."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if (numerator > 0) == (denominator > 0) else -math.inf


def scale(total: int, exponent: int) -> float:
    """Return the float nearest to ``total * 2**exponent``."""
    return divide(total, 1 << -exponent) if exponent < 0 else divide(total << exponent, 1)


def variance(n: int, sums: Sequence[int], exponent: int) -> float:
    """Return the population variance from exact sums of powers 1 and 2.

    Parameters
    ----------
    n : int
        Number of values.
    sums : sequence of int
        Sums of the first and second powers of values in units of ``2**exponent``.
    exponent : int
        Exponent of the unit of the values.
    """
    spread = n * sums[1] - sums[0] ** 2
    if exponent < 0:
        return divide(spread, n * n << -2 * exponent)
    return divide(spread << 2 * exponent, n * n)


def skew(n: int, sums: Sequence[int]) -> float | None:
    """Return the population skewness from exact sums of powers 1 to 3, in any unit.

    None below three values or without spread.
    """
    first, second, third = sums[:3]
    spread = n * second - first**2
    if n < 3 or spread <= 0:
        return None
    cubes = n * n * third - 3 * n * first * second + 2 * first**3
    # m3 / m2**1.5 = sqrt(m3**2 / m2**3), a root of a quotient of integers.
    size = math.sqrt(divide(cubes * cubes, spread**3))
    return -size if cubes < 0 else size


def kurtosis(n: int, sums: Sequence[int]) -> float | None:
    """Return the population excess kurtosis from exact sums of powers 1 to 4, in any unit.

    None below four values or without spread.
    """
    first, second, third, fourth = sums[:4]
    spread = n * second - first**2
    if n < 4 or spread <= 0:
        return None
    fourths = n**3 * fourth - 4 * n * n * third * first + 6 * n * second * first**2 - 3 * first**4
    return divide(fourths - 3 * spread * spread, spread * spread)


def shorten(total: int) -> tuple[int, bytes]:
    """Return a count of units as exponent and odd mantissa, for storage."""
    if total == 0:
        return 0, b""
    zeros = (total & -total).bit_length() - 1
    odd = total >> zeros
    return zeros, odd.to_bytes(odd.bit_length() // 8 + 1, "little", signed=True)


def lengthen(zeros: int, mantissa: bytes) -> int:
    """Return the count of units that ``shorten`` stored."""
    return int.from_bytes(mantissa, "little", signed=True) << zeros
