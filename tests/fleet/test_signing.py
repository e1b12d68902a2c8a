import pytest

from regproxy.fleet.signing import HashSigner, PublicKeys
from regproxy.oci.digest import Digest
from regproxy.policy.fleet.signed_hash import Part, SignedHash

KEY, OTHER = "canary-one-0123456789abcdef0123456789", "canary-two-0123456789abcdef0123456789"
HUB, QUAY = "docker.io", "quay.io"
PART, HASH = Part(Digest.of(b"a blob"), 100, 10, 20), b"h" * 32


def believing(*signers: HashSigner) -> PublicKeys:
    keys = PublicKeys()
    for each in signers:
        keys.learn(each.public_key)
    return keys


def test_n17_13_what_one_replica_signs_counts_as_all_sign_who_share_its_key() -> None:
    assert HashSigner(KEY, HUB).public_key == HashSigner(f" {KEY} ,{OTHER}", HUB).public_key != HashSigner(OTHER, HUB).public_key
    assert believing(HashSigner(KEY, HUB)).have_signed(PART, HashSigner(KEY, HUB).signed(PART, HASH))


def test_n17_13_nothing_counts_that_was_signed_by_a_stranger_or_of_something_else() -> None:
    signed = HashSigner(KEY, HUB).signed(PART, HASH)
    assert not believing(HashSigner(OTHER, HUB)).have_signed(PART, signed)
    assert not PublicKeys().have_signed(PART, signed)
    keys = believing(HashSigner(KEY, HUB))
    assert not keys.have_signed(Part(PART.digest, 101, 10, 20), signed)
    assert not keys.have_signed(PART, SignedHash(b"i" * 32, signed.signature))


def test_n17_13_keys_change_and_the_last_ones_count() -> None:
    old = HashSigner(KEY, HUB)
    keys = believing(old, HashSigner(OTHER, HUB))
    assert keys.have_signed(PART, old.signed(PART, HASH))
    for number in range(8):
        keys.learn(HashSigner(f"{KEY}{number}", HUB).public_key)
    assert not keys.have_signed(PART, old.signed(PART, HASH))


def test_n17_13_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PublicKeys().learn(b"short")


def test_n17_13_what_is_signed_of_one_upstream_counts_for_no_other() -> None:
    assert not believing(HashSigner(KEY, HUB)).have_signed(PART, HashSigner(KEY, QUAY).signed(PART, HASH))
