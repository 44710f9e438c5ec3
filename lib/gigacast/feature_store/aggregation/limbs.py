"""Exact sums of ranges of rows: running totals of 32-bit limbs.

A number is an integer times a power of two. Relative to the least unit of a column its integer is
cut into limbs of 32 bits, and each limb has a running total in 64 bits. A range's sum is then the
difference of two totals per limb, exactly, and is rounded once. Powers of the numbers are summed
in the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

LIMB = 32
CHUNK = 1 << 15
_BAND = 4  # limbs whose totals are in memory at once
_MASK = np.uint64(0xFFFFFFFF)
_WIDTH = np.uint64(LIMB)


@dataclass(frozen=True)
class Ranges:
    """Ranges of rows.

    Parameters
    ----------
    start, stop : array of int64, shape (ranges,)
        First row of each range, and the row after its last.
    """

    start: Ints
    stop: Ints

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Numbers:
    """Numbers, and the unit in which all of them are integers.

    Parameters
    ----------
    values : array of int64, uint64 or float64, shape (rows,)
        Numbers; values that are not finite count as zero.
    unit : int
        Exponent of the power of two that all numbers are multiples of.
    bits : int
        Number of bits of the greatest number in that unit.
    """

    values: NDArray[Any]
    unit: int
    bits: int


@dataclass(frozen=True)
class _Split:
    """Rows as integers: absolute size, whether below zero, and places to shift to the left.

    Places below zero shift to the right, over zeros.
    """

    size: Words
    negative: NDArray[np.bool_]
    place: Ints


def measure_numbers(values: NDArray[Any]) -> Numbers:
    """Return numbers with the unit that all of them are multiples of; 1 for integers."""
    if values.dtype.kind in "iu":
        greatest = max(int(values.max(initial=0)), -int(values.min(initial=0)))
        return Numbers(values, 0, greatest.bit_length())
    lowest, highest = 1 << 20, -(1 << 20)
    for rows in _chunks(len(values)):
        split = _split(values[rows], 0)
        used = split.size != 0
        if used.any():
            size, place = split.size[used], split.place[used]
            # The lowest bit as a float has its position as its exponent.
            low = (size & (~size + np.uint64(1))).astype(np.float64)
            zeros = (low.view(np.int64) >> 52) - 1023
            bits = np.frexp(size.astype(np.float64))[1]
            lowest = min(lowest, int((place + zeros).min()))
            highest = max(highest, int((place + bits).max()))
    if lowest > highest:
        return Numbers(values, 0, 0)
    return Numbers(values, lowest, highest - lowest)


def _chunks(rows: int) -> Iterator[slice]:
    # Steps over a chunk stay in the processor's cache; over whole columns they cost four times as
    # much, in memory that is touched for the first time.
    return (slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK))


def _split(values: NDArray[Any], unit: int) -> _Split:
    if values.dtype.kind in "iu":
        negative = values < 0
        # The absolute value of -2**63 wraps to itself, which as an unsigned integer is right.
        size = np.abs(values).astype(np.uint64)
        return _Split(size, negative, np.full(len(values), -unit))
    bits = values.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    size = bits & ((1 << 52) - 1)
    size |= (exponent > 0).astype(np.int64) << 52
    size[exponent == 0x7FF] = 0
    return _Split(size.astype(np.uint64), bits < 0, np.maximum(exponent, 1) - (1075 + unit))


@dataclass(frozen=True)
class Sums:
    """Exact sums of ranges.

    Parameters
    ----------
    limbs : list of array of int64, each of shape (ranges,)
        Sums of the limbs, lowest first; of any sign and beyond 32 bits.
    unit : int
        Exponent of the power of two that the sums count.
    """

    limbs: list[Ints]
    unit: int


def sum_ranges(
    numbers: Numbers, ranges: Ranges, power: int = 1, reverse: NDArray[np.bool_] | None = None
) -> Sums:
    """Return the exact sums of a power of the numbers over ranges of rows.

    Parameters
    ----------
    numbers : Numbers
        Numbers by row.
    ranges : Ranges
        Ranges of rows.
    power : int
        Power, at least 1.
    reverse : array of bool, shape (rows,), optional
        Rows that are subtracted.
    """
    rows = len(numbers.values)
    bits = power * numbers.bits
    # Integers of a few digits end in one total of 64 bits.
    single = bits + rows.bit_length() < 63
    count = 1 if single else -(-bits // LIMB)
    if single and power == 1 and reverse is None and numbers.values.dtype == np.int64:
        return Sums([_difference(numbers.values, ranges)], 0)
    limbs: list[Ints] = []
    for first in range(0, count, _BAND):
        band = range(first, min(first + _BAND, count))
        totals = np.zeros((len(band), rows + 1), np.int64)
        for chunk in _chunks(rows):
            split = _split(numbers.values[chunk], numbers.unit)
            negative = split.negative if power % 2 else np.zeros(len(split.size), np.bool_)
            if reverse is not None:
                negative = negative ^ reverse[chunk]
            parts = _whole(split, power) if single else _cut(split, power, band)
            for total, part in zip(totals, parts, strict=True):
                signed = np.where(negative, -part, part)
                np.cumsum(signed, out=total[chunk.start + 1 : chunk.stop + 1])
                total[chunk.start + 1 : chunk.stop + 1] += total[chunk.start]
        limbs += [total[ranges.stop] - total[ranges.start] for total in totals]
    return Sums(limbs, numbers.unit * power)


def _difference(values: Ints, ranges: Ranges) -> Ints:
    totals = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=totals[1:])
    return totals[ranges.stop] - totals[ranges.start]


def _whole(split: _Split, power: int) -> list[Ints]:
    return [_shift(split.size, split.place).astype(np.int64) ** power]


def _shift(size: Words, place: Ints) -> Words:
    up = np.clip(place, 0, 63).astype(np.uint64)
    down = np.clip(-place, 0, 63).astype(np.uint64)
    return (size << up) >> down


def _raise(size: Words, power: int) -> list[Words]:
    base = [size & _MASK, size >> _WIDTH]
    product = base
    for _ in range(power - 1):
        product = _multiply(product, base)
    return product


def _multiply(first: Sequence[Words], second: Sequence[Words]) -> list[Words]:
    columns = [np.zeros_like(first[0]) for _ in range(len(first) + len(second))]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            product = a * b
            columns[i + j] += product & _MASK
            columns[i + j + 1] += product >> _WIDTH
    for i in range(len(columns) - 1):
        columns[i + 1] += columns[i] >> _WIDTH
        columns[i] &= _MASK
    return columns


def _cut(split: _Split, power: int, band: range) -> Iterator[Ints]:
    """Yield limbs of the shifted powers, those of the band, lowest first."""
    if power == 1:
        for limb in band:
            yield (_shift(split.size, split.place - LIMB * limb) & _MASK).astype(np.int64)
        return
    words = _raise(split.size, power)
    # A row of zeros at both ends stands for all limbs outside of the number.
    padded = np.stack([np.zeros_like(words[0]), *words, np.zeros_like(words[0])])
    rows = np.arange(len(split.size))
    moved, remainder = np.divmod(split.place * power, LIMB)
    up = remainder.astype(np.uint64)
    for limb in band:
        at = limb - moved + 1
        upper = padded[np.clip(at, 0, len(words) + 1), rows]
        lower = padded[np.clip(at - 1, 0, len(words) + 1), rows]
        yield (((upper << up) | (lower >> (_WIDTH - up))) & _MASK).astype(np.int64)


def _carry(sums: Sums) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return absolute sums as limbs of 32 bits, shape (limbs, ranges), and which are below zero."""
    # Two limbs more than the longest total of 64 bits needs.
    limbs = [*sums.limbs, *[np.zeros_like(sums.limbs[0])] * 2]
    carried = np.zeros_like(limbs[0])
    digits = []
    for limb in limbs:
        total = limb + carried
        digits.append(total & 0xFFFFFFFF)
        carried = total >> LIMB
    negative = carried < 0
    words = np.stack(digits).astype(np.uint64)
    borrow = negative.astype(np.uint64)
    invert = np.where(negative, _MASK, np.uint64(0))
    for place in range(len(words)):
        # Two's complement of the negative ones: invert, and add one from below.
        digit = (words[place] ^ invert) + borrow
        words[place] = digit & _MASK
        borrow = digit >> _WIDTH
    return words, negative


def round_sums(sums: Sums) -> NDArray[np.float64]:
    """Return the floats nearest to exact sums, ties to even; infinity beyond their range."""
    words, negative = _carry(sums)
    count = len(words)
    used = words != 0
    top = count - 1 - np.argmax(used[::-1], axis=0)
    padded = np.concatenate([np.zeros((2, words.shape[1]), np.uint64), words])
    columns = np.arange(words.shape[1])
    first, second, third = (padded[top + 2 - n, columns] for n in range(3))
    spare = (LIMB - np.frexp(first.astype(np.float64))[1]).astype(np.uint64)
    high = (((first << _WIDTH) | second) << spare) | (third >> (_WIDTH - spare))
    # The lowest bit says whether anything follows, so that the conversion rounds as if it saw all.
    below = np.cumsum(padded != 0, axis=0)[np.maximum(top - 1, 0), columns] > 0
    remainder = ((third << spare) & _MASK) != 0
    high |= ((below & (top >= 1)) | remainder).astype(np.uint64)
    exponent = LIMB * (top - 1) - spare.astype(np.int64) + sums.unit
    with np.errstate(over="ignore", under="ignore"):
        size = _ldexp(high, exponent)
    return np.where(used.any(axis=0), np.where(negative, -size, size), 0.0)


def _ldexp(high: Words, exponent: Ints) -> NDArray[np.float64]:
    # A sum is a multiple of 2**-1074, so below the normal floats it is short and nothing is rounded
    # twice.
    return np.ldexp(high.astype(np.float64), np.clip(exponent, -5000, 5000).astype(np.int32))


def fits(sums: Sums) -> bool:
    """Return whether all sums of integers fit 64 bits."""
    if len(sums.limbs) == 1:
        return True
    words, negative = _carry(sums)
    high = words[2:].any(axis=0) | (words[1] >> np.uint64(31) != 0)
    least = negative & ~words[2:].any(axis=0) & (words[1] == 1 << 31) & (words[0] == 0)
    return not bool((high & ~least).any())


def to_int64(sums: Sums) -> Ints:
    """Return sums of integers that fit 64 bits."""
    total = np.zeros_like(sums.limbs[0])
    for place, limb in enumerate(sums.limbs[:2]):
        total = total + (limb << LIMB * place)
    return total


def to_objects(sums: Sums) -> NDArray[np.object_]:
    """Return sums as Python integers."""
    words, negative = _carry(sums)
    narrow = np.ascontiguousarray(words.T.astype("<u4"))
    # A fixed-width byte string drops zeros at its end, which are the highest digits: no harm.
    texts = narrow.view(f"S{4 * len(words)}").ravel()
    integers = np.frompyfunc(lambda text: int.from_bytes(text, "little"), 1, 1)(texts)
    signed: NDArray[np.object_] = np.where(negative, -integers, integers)
    return signed
