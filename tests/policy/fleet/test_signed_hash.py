from dataclasses import replace

import pytest

from regproxy.oci.digest import Digest
from regproxy.policy.fleet.signed_hash import LENGTH, Part, SignedHash

PART = Part(Digest.of(b"a blob"), 100, 10, 20)


def test_n17_13_what_is_signed_is_of_one_part_of_one_blob_and_one_hash() -> None:
    others = [replace(PART, digest=Digest.of(b"another")), replace(PART, size=101), replace(PART, start=11), replace(PART, stop=21)]
    messages = {each.message(b"h" * 32) for each in [PART, *others]} | {PART.message(b"i" * 32)}
    assert len(messages) == 6


def test_n17_13_a_signed_hash_is_read_as_it_was_written() -> None:
    signed = SignedHash(b"h" * 32, b"s" * 64)
    assert SignedHash.decode(signed.encode()) == signed


@pytest.mark.parametrize("encoded", [b"", bytes(LENGTH), b"x" * (LENGTH - 1), b"x" * (LENGTH + 1)])
def test_n17_13_what_is_no_signed_hash_is_none(encoded: bytes) -> None:
    assert SignedHash.decode(encoded) is None
