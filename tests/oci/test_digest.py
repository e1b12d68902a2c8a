import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.digest import Digest, DigestMismatch, InvalidDigest

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

digests = st.one_of(
    st.builds(Digest, st.just("sha256"), st.text("0123456789abcdef", min_size=64, max_size=64)),
    st.builds(Digest, st.just("sha512"), st.text("0123456789abcdef", min_size=128, max_size=128)),
)


@given(digests)
def test_a_digest_survives_being_written_and_read(digest: Digest) -> None:
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("sha256", id="an algorithm alone"),
        pytest.param("sha256:", id="no hash"),
        pytest.param(HELLO, id="no algorithm"),
        pytest.param(f":{HELLO}", id="an empty algorithm"),
        pytest.param(f"SHA256:{HELLO}", id="an algorithm in capitals"),
        pytest.param(f"sha256:{HELLO.upper()}", id="a hash in capitals"),
        pytest.param(f"sha256:{HELLO[1:]}", id="one digit short"),
        pytest.param(f"sha256:{HELLO}0", id="one digit long"),
        pytest.param(f"sha256:{HELLO}\n", id="a line end behind it"),
        pytest.param(f" sha256:{HELLO}", id="a space before it"),
        pytest.param(f"sha512:{HELLO}", id="the hash of another algorithm"),
        pytest.param(f"sha384:{HELLO[:32] * 3}", id="an algorithm that is not registered"),
        pytest.param(f"md5:{HELLO[:32]}", id="a broken algorithm"),
        pytest.param(f"sha256+b64:{HELLO}", id="a compound algorithm"),
        pytest.param(f"sha256:{HELLO}:{HELLO}", id="two hashes"),
        pytest.param("sha256:../../../../etc/passwd", id="a path"),
        pytest.param(f"sha256:{'../' * 21}a", id="a path as long as a hash"),
        pytest.param(f"sha256:{HELLO[:-3]}%2f", id="an escape"),
        pytest.param("sha256:" + "\u0663" * 64, id="digits of another script"),
        pytest.param(f"sha256:{HELLO[:-1]}\0", id="a null byte"),
    ],
)
def test_what_is_not_exactly_a_registered_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest):
        Digest.parse(text)


@given(st.text())
def test_any_text_is_a_digest_or_invalid(text: str) -> None:
    with suppress(InvalidDigest):
        assert str(Digest.parse(text)) == text


def test_a_refusal_quotes_no_more_than_a_line_of_what_was_sent() -> None:
    with pytest.raises(InvalidDigest) as refusal:
        Digest.parse("x" * 100_000)
    assert len(str(refusal.value)) < 250


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_content_is_named_by_its_hash(body: bytes, algorithm: str) -> None:
    assert str(Digest.of(body, algorithm)) == f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def test_sha256_names_content_unless_told_otherwise() -> None:
    assert Digest.of(b"hello") == Digest("sha256", HELLO)


@given(st.lists(st.binary()), st.sampled_from(["sha256", "sha512"]))
def test_content_may_arrive_in_any_pieces(chunks: list[bytes], algorithm: str) -> None:
    verifier = Digest.of(b"".join(chunks), algorithm).verifier()
    for chunk in chunks:
        verifier.update(memoryview(chunk))
    verifier.check()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_content_than_promised_is_told_from_it(algorithm: str) -> None:
    promised, sent = Digest.of(b"hello", algorithm), Digest.of(b"hellO", algorithm)
    verifier = promised.verifier()
    verifier.update(b"hellO")
    with pytest.raises(DigestMismatch, match=f"expected {promised}, got {sent}"):
        verifier.check()


def test_content_that_stops_short_is_not_what_was_promised() -> None:
    verifier = Digest.of(b"hello").verifier()
    verifier.update(b"hell")
    with pytest.raises(DigestMismatch):
        verifier.check()


def test_digests_are_values() -> None:
    assert {Digest.of(b"a"), Digest.of(b"a"), Digest.of(b"b")} == {Digest.of(b"b"), Digest.of(b"a")}
    assert sorted([Digest("sha512", "0"), Digest("sha256", "1")]) == [Digest("sha256", "1"), Digest("sha512", "0")]


def test_content_that_arrives_in_pieces_is_what_was_promised() -> None:
    verifier = Digest.of(b"hello").verifier()
    for chunk in (b"he", b"", b"llo"):
        verifier.update(chunk)
    verifier.check()
