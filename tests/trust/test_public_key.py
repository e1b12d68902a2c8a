"""A public key: which signatures of which messages are its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from regproxy.trust.keys import signer_of

from .signing import of_every_kind

SIGNERS = of_every_kind()
EVERY_KIND = st.sampled_from(sorted(SIGNERS))


@given(EVERY_KIND, EVERY_KIND, st.binary(max_size=64), st.integers(0), st.integers(0, 7), st.booleans())
@settings(max_examples=60, deadline=None)
def test_n18_20_only_the_signature_of_the_message_by_the_key_passes(
    kind: str, other: str, message: bytes, at: int, bit: int, of_signature: bool
) -> None:
    signer = SIGNERS[kind]
    signature = signer.sign(message)
    assert signer_of(message, signature, signer.keys) is not None
    if signer.pem != SIGNERS[other].pem:
        assert signer_of(message, signature, SIGNERS[other].keys) is None
    assert signer_of(message, signature, ()) is None
    changed = bytearray(signature if of_signature else message + b"x")
    changed[at % len(changed)] ^= 1 << bit
    pair = (message, bytes(changed)) if of_signature else (bytes(changed), signature)
    assert signer_of(*pair, signer.keys) is None


@given(st.binary(max_size=1100), EVERY_KIND)
@settings(max_examples=40, deadline=None)
def test_n18_20_bytes_of_a_hostile_registry_are_no_signature(signature: bytes, kind: str) -> None:
    assert signer_of(b"message", signature, SIGNERS[kind].keys) is None
