"""Bundles of sigstore."""

import base64
import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.trust.bundle import BUNDLE_TYPE, MAX_BUNDLE_BYTES, Envelope, parse_bundle, verify_bundle
from regproxy.trust.signed_json import InvalidSignature

from .signing import Signer, bundle, of_every_kind, statement

BODY = b'{"schemaVersion": 2}'
DIGEST, OTHER = Digest.of(BODY), Digest.of(b"another image")
ME, STRANGER = Signer(), Signer()


def refused(body: bytes) -> str:
    with pytest.raises(InvalidSignature) as caught:
        verify_bundle(parse_bundle(body), DIGEST, BODY, ME.keys)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "signer"), of_every_kind().items())
def test_n18_20_a_right_bundle_passes(kind: str, signer: Signer) -> None:
    for body in (signer.bundle(DIGEST), signer.message(BODY)):
        assert verify_bundle(parse_bundle(body), DIGEST, BODY, (*ME.keys, *signer.keys)) == signer.keys[0], kind


@given(
    st.sampled_from([DIGEST, OTHER]), st.sampled_from([ME, STRANGER]), st.sampled_from(["sign", "provenance"]), st.booleans(), st.booleans()
)
@settings(max_examples=100, deadline=None)
def test_n18_20_nothing_but_a_right_bundle_passes(
    named: Digest, signer: Signer, predicate: str, is_swapped: bool, is_retyped: bool
) -> None:
    kinds = {"sign": "https://sigstore.dev/cosign/sign/v1", "provenance": "https://slsa.dev/provenance/v1"}
    document = json.loads(signer.bundle(named, kinds[predicate]))
    envelope = document["dsseEnvelope"]
    if is_swapped:
        envelope["payload"] = base64.b64encode(statement(DIGEST) + b" ").decode()
    if is_retyped:
        envelope["payloadType"] = "application/vnd.in-toto+jsoN"
    is_right = signer is ME and named == DIGEST and predicate == "sign" and not is_swapped and not is_retyped
    try:
        verify_bundle(parse_bundle(json.dumps(document).encode()), DIGEST, BODY, ME.keys)
    except InvalidSignature:
        assert not is_right
    else:
        assert is_right


@given(st.integers(0), st.binary(min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_n18_20_a_bundle_that_was_changed_passes_only_where_nothing_signed_was(at: int, by: bytes) -> None:
    body = bytearray(ME.bundle(DIGEST))
    start = at % len(body)
    body[start : start + len(by)] = by
    try:
        found = parse_bundle(bytes(body))
        verify_bundle(found, DIGEST, BODY, ME.keys)
    except InvalidSignature:
        return
    assert isinstance(found.content, Envelope)
    assert (found.content.payload, found.content.payload_type) == (statement(DIGEST), "application/vnd.in-toto+json")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda each: st.lists(each, max_size=3), max_leaves=6))
@settings(max_examples=30, deadline=None)
def test_n18_20_anything_may_come_where_a_field_is_expected(anything: object) -> None:
    document = json.loads(ME.bundle(DIGEST))
    places: list[Mapping[str, object]] = [
        document | {"dsseEnvelope": anything},
        document | {"dsseEnvelope": None, "messageSignature": anything},
        document | {"dsseEnvelope": document["dsseEnvelope"] | {"signatures": [anything]}},
        document | {"dsseEnvelope": document["dsseEnvelope"] | {"payload": anything}},
        document | {"mediaType": anything},
    ]
    for place in places:
        assert refused(json.dumps(place).encode())
    for name in ("subject", "_type", "predicateType"):
        assert refused(ME.envelope(json.dumps(json.loads(statement(DIGEST)) | {name: anything}).encode()))
    assert refused(ME.envelope(json.dumps(json.loads(statement(DIGEST)) | {"subject": [{"digest": anything}, anything]}).encode()))


def test_n18_20_each_refusal_says_what_was_found() -> None:
    envelope = json.loads(ME.bundle(DIGEST))["dsseEnvelope"]
    assert "another key" in refused(STRANGER.bundle(DIGEST))
    assert "another key, or of other content" in refused(STRANGER.message(BODY))
    assert "another key, or of other content" in refused(ME.message(BODY + b" "))
    assert "another digest" in refused(ME.bundle(OTHER))
    assert "attestation" in refused(ME.bundle(DIGEST, "https://cosign.sigstore.dev/attestation/vuln/v1"))
    assert "no in-toto statement" in refused(ME.envelope(statement(DIGEST), "text/plain"))
    assert "not one signature" in refused(bundle({"dsseEnvelope": envelope | {"signatures": envelope["signatures"] * 2}}))
    assert "not one signature" in refused(bundle({"dsseEnvelope": envelope | {"signatures": []}}))
    assert "without one signature" in refused(bundle({}))
    assert "without one signature" in refused(bundle({"dsseEnvelope": envelope, "messageSignature": {"signature": "AAAA"}}))
    assert "about nothing" in refused(ME.envelope(json.dumps(json.loads(statement(DIGEST)) | {"subject": [{}] * 1025}).encode()))
    assert "unknown version" in refused(json.dumps(json.loads(ME.bundle(DIGEST)) | {"mediaType": "application/json"}).encode())
    assert "more than" in refused(b" " * (MAX_BUNDLE_BYTES + 1))
    keyless = {"mediaType": BUNDLE_TYPE, "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}}}
    assert "keyless" in refused(json.dumps(keyless | {"dsseEnvelope": json.loads(STRANGER.bundle(DIGEST))["dsseEnvelope"]}).encode())


def test_n18_20_a_digest_of_another_algorithm_is_bound_too() -> None:
    digest = Digest.of(BODY, "sha512")
    assert verify_bundle(parse_bundle(ME.bundle(digest)), digest, BODY, ME.keys)
    assert verify_bundle(parse_bundle(ME.message(BODY)), digest, BODY, ME.keys)
    assert "another digest" in refused(ME.bundle(digest))
