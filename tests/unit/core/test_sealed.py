"""Records that hold a digest of themselves."""

from contextlib import suppress

import pytest

from gigacast.core.problem import Source
from gigacast.core.sealed import decode_sealed, seal_json
from gigacast.errors import CorruptedFileError

SOURCE = Source("some/key", CorruptedFileError)
VALUES = {"2024-01-31": [1_700_000_000_000, None, 20], "ü": []}


def test_values_are_read_as_they_were_written() -> None:
    assert decode_sealed(seal_json(VALUES), SOURCE) == VALUES
    assert decode_sealed(seal_json([1, None]), SOURCE) == [1, None]


def test_no_flipped_bit_gives_other_values() -> None:
    content = seal_json(VALUES)
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with suppress(CorruptedFileError):
            decoded = decode_sealed(bytes(damaged), SOURCE)
            # Damage to the names of its two fields looks like a record without a digest.
            assert decoded == VALUES or set(decoded) != {"digest", "values"}


@pytest.mark.parametrize("content", [b"[1]", b'{"day": [1]}', b"null", b'{"values": 3}'])
def test_what_was_stored_without_a_digest_is_read(content: bytes) -> None:
    assert seal_json(decode_sealed(content, SOURCE))


def test_another_digest_is_refused() -> None:
    content = seal_json(VALUES).replace(b"20", b"21")
    with pytest.raises(CorruptedFileError, match="some/key: digest: not the digest"):
        decode_sealed(content, SOURCE)
