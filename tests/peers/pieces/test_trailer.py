import pytest

from regproxy.peers.pieces.trailer import LENGTH, Trailer, Word
from regproxy.policy.fleet.signed_hash import SignedHash

SIGNED = SignedHash(b"h" * 32, b"s" * 64)


@pytest.mark.parametrize("trailer", [Trailer.of(None), Trailer.of(SIGNED), Trailer(Word.WRONG)])
def test_n17_13_a_trailer_is_read_as_it_was_written(trailer: Trailer) -> None:
    assert len(trailer.encode()) == LENGTH
    assert Trailer.decode(trailer.encode()) == trailer


@pytest.mark.parametrize("encoded", [b"", b"\1", b"\3" + bytes(LENGTH - 1), b"\1" + bytes(LENGTH - 1)])
def test_n17_13_what_is_no_trailer_says_nothing(encoded: bytes) -> None:
    assert Trailer.decode(encoded) == Trailer(Word.NOTHING)
