"""Signatures under the tag `sha256-<hex>.sig`."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Tag
from regproxy.trust.signed_json import InvalidSignature
from regproxy.trust.simple_signing import PAYLOAD_TYPE, signature_tag, signatures_of, verify_payload

from .signing import Signer, of_every_kind, payload, signature_manifest, text

DIGEST, OTHER = Digest.of(b"image"), Digest.of(b"another image")
ME, STRANGER = Signer(), Signer()


@pytest.mark.parametrize(("kind", "signer"), of_every_kind().items())
def test_n18_20_a_right_signature_passes(kind: str, signer: Signer) -> None:
    signed = payload(DIGEST)
    [found] = signatures_of(Manifest.verify(signature_manifest(signer.layer(signed))))
    assert found.payload.digest == Digest.of(signed), kind
    assert verify_payload(signed, found.signature, DIGEST, (*ME.keys, *signer.keys)) == signer.keys[0]


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        (payload(OTHER), "another digest"),
        (payload(DIGEST, claim="atomic container signature"), "no claim about an image"),
        (b"{}", "no claim about an image"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (payload(DIGEST)[:-1] + b', "critical": {}}', "not JSON with one meaning"),
        (
            json.dumps({"critical": {"type": "cosign container image signature", "image": {"docker-manifest-digest": 1}}}).encode(),
            "names no",
        ),
        (json.dumps({"critical": {"type": "cosign container image signature", "image": {}}}).encode(), "no claim about"),
    ],
)
def test_n18_20_what_is_signed_has_to_name_the_digest(signed: bytes, reason: str) -> None:
    with pytest.raises(InvalidSignature, match=reason):
        verify_payload(signed, ME.sign(signed), DIGEST, ME.keys)


@given(st.sampled_from([DIGEST, OTHER]), st.sampled_from([ME, STRANGER]), st.sampled_from([DIGEST, OTHER]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_n18_20_nothing_but_a_right_signature_passes(named: Digest, signer: Signer, swapped: Digest, is_swapped: bool) -> None:
    """The payload may be another than the one that was signed: both come from the registry."""
    signed = payload(named)
    signature, given_payload = signer.sign(signed), payload(swapped) if is_swapped else signed
    is_right = signer is ME and named == DIGEST and given_payload == signed
    try:
        verify_payload(given_payload, signature, DIGEST, ME.keys)
    except InvalidSignature:
        assert not is_right
    else:
        assert is_right


def test_n18_20_layers_that_cannot_be_read_do_not_hide_the_right_one() -> None:
    right = ME.layer(payload(DIGEST))
    odd: list[dict[str, object]] = [
        {},
        right | {"annotations": {}},
        right | {"annotations": {"dev.cosignproject.cosign/signature": "?"}},
        right | {"annotations": {"dev.cosignproject.cosign/signature": 1}},
        right | {"annotations": []},
        right | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
        right | {"digest": "sha256:1"},
        right | {"size": -1},
    ]
    [found] = signatures_of(Manifest.verify(signature_manifest(*odd, right)))
    assert text(found.signature) in json.dumps(right)


def test_n18_20_a_manifest_holds_a_limited_number_of_signatures() -> None:
    layer = {"mediaType": PAYLOAD_TYPE, "digest": str(DIGEST), "size": 5, "annotations": {"dev.cosignproject.cosign/signature": "AAAA"}}
    assert len(signatures_of(Manifest.verify(signature_manifest(*[layer] * 1000)))) == 64
    assert signatures_of(Manifest.verify(b'{"schemaVersion": 2, "config": {}, "layers": 1}')) == ()


def test_n18_20_the_tag_of_signatures_is_the_one_of_cosign() -> None:
    assert signature_tag(DIGEST) == Tag(f"sha256-{DIGEST.hex}.sig")
    assert signature_tag(Digest.of(b"image", "sha512")) is None
