"""The compact protocol of Thrift, in which Parquet describes its footers and pages, decoded."""

from typing import Any

_MAX_DEPTH = 24  # structs and lists within each other; the format needs nine


class DamagedParquetError(ValueError):
    """A Parquet file that is damaged, or encrypted."""


_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_I16, _I32, _I64 = 4, 5, 6
_INTEGERS = frozenset({_I16, _I32, _I64})
_FIXED_BYTES = {_TRUE: 1, _FALSE: 1, _BYTE: 1, _DOUBLE: 8}  # booleans: within lists


class CompactReader:
    """Decodes structs to mappings by field id, lists to lists; texts stay bytes."""

    __slots__ = ("_bytes", "_depth", "_place", "_readers")

    def __init__(self, content: bytes) -> None:
        self._bytes = content
        self._place = 0
        self._depth = 0
        self._readers = {
            _LIST: self._read_list,
            _SET: self._read_list,
            _MAP: self._read_map,
            _STRUCT: self.read_struct,
        }

    def read_struct(self) -> dict[int, Any]:
        """Return the fields of the struct at the current place; 64-bit integers by negative id."""
        # The C++ library leaves out a field of another type than in the format, so an integer of
        # another width must not pass for the field either. None of 16 bits is needed.
        self._enter()
        fields: dict[int, Any] = {}
        content, identity = self._bytes, 0
        while header := content[self._place]:
            kind, step = header & 15, header >> 4
            self._place += 1
            identity = identity + step if step else self._read_integer()
            if kind in _INTEGERS:
                # Most numbers have one byte, and most fields are numbers: this saves a third.
                if (number := content[self._place]) < 128:
                    self._place += 1
                    number = (number >> 1) ^ -(number & 1)
                else:
                    number = self._read_integer()
                if kind != _I16:
                    fields[identity if kind == _I32 else -identity] = number
            elif kind <= _FALSE:
                fields[identity] = kind == _TRUE
            else:
                fields[identity] = self._read_value(kind)
        self._place += 1
        self._depth -= 1
        return fields

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DamagedParquetError("its footer is nested too deep")

    def _read_value(self, kind: int) -> Any:
        if kind == _BINARY:
            return self._read_bytes(self._read_varint())
        if kind in _INTEGERS:
            return self._read_integer()
        if kind in _FIXED_BYTES:
            return self._read_bytes(_FIXED_BYTES[kind])
        if (read := self._readers.get(kind)) is None:
            raise DamagedParquetError("its footer has a field of an unknown type")
        return read()

    def _read_list(self) -> list[Any]:
        header = self._read_bytes(1)[0]
        count, kind = header >> 4, header & 15
        count = self._read_varint() if count == 15 else count
        self._check_count(count)
        self._enter()
        values: list[Any]
        if kind in _INTEGERS:
            values = [self._read_integer() for _ in range(count)]
        elif kind == _STRUCT:
            values = [self.read_struct() for _ in range(count)]
        else:
            values = [self._read_value(kind) for _ in range(count)]
        self._depth -= 1
        return values

    def _read_map(self) -> None:
        count = self._read_varint()
        self._check_count(count)
        if not count:
            return
        kinds = self._read_bytes(1)[0]
        self._enter()
        for _ in range(count):
            self._read_value(kinds >> 4)
            self._read_value(kinds & 15)
        self._depth -= 1

    def _check_count(self, count: int) -> None:
        # Each element takes at least a byte, so a larger count is damage, and would take for ever.
        if count > len(self._bytes) - self._place:
            raise DamagedParquetError("its footer has a list beyond its end")

    def _read_bytes(self, count: int) -> bytes:
        start = self._place
        self._place = start + count
        if self._place > len(self._bytes):
            raise DamagedParquetError("its footer is cut short")
        return self._bytes[start : self._place]

    def _read_integer(self) -> int:
        number = self._read_varint()
        return (number >> 1) ^ -(number & 1)  # zigzag: small negative numbers are short

    def _read_varint(self) -> int:
        content, place = self._bytes, self._place
        byte = content[place]
        place += 1
        number, shift = byte & 127, 7
        while byte & 128:
            byte = content[place]
            place += 1
            number |= (byte & 127) << shift
            shift += 7
            if shift > 70:
                raise DamagedParquetError("its footer has a number beyond 64 bits")
        self._place = place
        return number
