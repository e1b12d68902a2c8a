import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.oci.manifest import (
    ACCEPT,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    LIMIT,
    OCI_INDEX,
    OCI_MANIFEST,
    InvalidManifest,
    Manifest,
    parse_descriptor,
)

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["mediaType", "manifests", "config", "layers"]), inner),
    max_leaves=10,
)


def descriptor(body: bytes, media_type: str = "application/vnd.oci.image.layer.v1.tar") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(body)), "size": len(body)}


def described(body: bytes, media_type: str = "application/vnd.oci.image.layer.v1.tar") -> Descriptor:
    return Descriptor(media_type, Digest.of(body), len(body))


IMAGE = {"schemaVersion": 2, "config": descriptor(b"{}"), "layers": [descriptor(b"1"), descriptor(b"2")]}
INDEX = {"schemaVersion": 2, "manifests": [descriptor(b"3", OCI_MANIFEST), descriptor(b"4", OCI_MANIFEST)]}


def verify(document: Mapping[str, object]) -> Manifest:
    return Manifest.verify(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        pytest.param(IMAGE | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST, id="an OCI image"),
        pytest.param(IMAGE | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST, id="a Docker image"),
        pytest.param(INDEX | {"mediaType": OCI_INDEX}, OCI_INDEX, id="an OCI index"),
        pytest.param(INDEX | {"mediaType": DOCKER_LIST}, DOCKER_LIST, id="a Docker list"),
        pytest.param(IMAGE, OCI_MANIFEST, id="an OCI image that does not name itself"),
        pytest.param(INDEX, OCI_INDEX, id="an OCI index that does not name itself"),
        pytest.param(IMAGE | {"mediaType": ""}, OCI_MANIFEST, id="an image with an empty name"),
        pytest.param(IMAGE | {"mediaType": None}, OCI_MANIFEST, id="an image with a name that is null"),
        pytest.param({"mediaType": ARTIFACT, "blobs": []}, ARTIFACT, id="a kind of its own"),
        pytest.param({"mediaType": "application/vnd.new+json"}, "application/vnd.new+json", id="an unknown kind"),
        pytest.param({"manifests": []}, OCI_INDEX, id="an index of nothing"),
        pytest.param(INDEX | {"annotations": {"Layers": "x", "layers": "y"}}, OCI_INDEX, id="names of fields among annotations"),
    ],
)
def test_n12_03_a_manifest_is_what_its_body_says(document: dict[str, object], media_type: str) -> None:
    """Nothing else is covered by its digest, so nothing else is asked."""
    body = json.dumps(document).encode()
    manifest = Manifest.verify(body)
    assert manifest.descriptor == Descriptor(media_type, Digest.of(body), len(body))
    assert manifest.body == body


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(INDEX | {"layers": []}, id="an index with layers"),
        pytest.param(INDEX | {"config": {}}, id="an index with a config"),
        pytest.param(INDEX | {"fsLayers": []}, id="an index with schema1 layers"),
        pytest.param(IMAGE | {"manifests": None}, id="an image with manifests that are null"),
        pytest.param(INDEX | {"Layers": []}, id="layers in capitals, as Go reads them"),
        pytest.param(IMAGE | {"manife\u017fts": []}, id="manifests with a long s, as Go reads them"),
        pytest.param(IMAGE | {"mediaType": OCI_MANIFEST, "mediatype": OCI_INDEX}, id="two media types"),
        pytest.param(INDEX | {"mediaType": OCI_MANIFEST}, id="an image that lists manifests"),
        pytest.param(INDEX | {"mediaType": OCI_MANIFEST.upper()}, id="an image in capitals that lists manifests"),
        pytest.param(IMAGE | {"mediaType": OCI_INDEX}, id="an index that lists none"),
        pytest.param(IMAGE | {"mediaType": OCI_INDEX.title()}, id="an index in mixed case that lists none"),
        pytest.param(IMAGE | {"mediaType": ["x"]}, id="a media type that is no text"),
        pytest.param(IMAGE | {"mediaType": 7}, id="a media type that is a number"),
        pytest.param(IMAGE | {"mediaType": "image"}, id="a media type that is none"),
        pytest.param(IMAGE | {"mediaType": "a/b\r\nX-Evil: 1"}, id="a media type that is two headers"),
        pytest.param(IMAGE | {"mediaType": "text/html"}, id="a page for browsers"),
        pytest.param(IMAGE | {"mediaType": "Text/HTML"}, id="a page for browsers in capitals"),
        pytest.param({"errors": [{"code": "UNKNOWN"}]}, id="an error with status 200"),
        pytest.param({"layers": []}, id="layers without a config"),
        pytest.param({"blobs": []}, id="blobs without a name"),
        pytest.param({}, id="nothing at all"),
    ],
)
def test_what_could_be_two_things_or_none_is_no_manifest(document: dict[str, object]) -> None:
    """CVE-2021-41190."""
    with pytest.raises(InvalidManifest):
        verify(document)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"schemaVersion": 1, "fsLayers": []}, id="signed or not"),
        pytest.param(IMAGE | {"schemaVersion": 1}, id="written as something newer"),
        pytest.param(IMAGE | {"mediaType": SCHEMA1}, id="by its media type"),
    ],
)
def test_schema1_is_refused_by_name(document: dict[str, object]) -> None:
    with pytest.raises(InvalidManifest, match="schema1"):
        verify(document)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>captive portal</html>", id="a page"),
        pytest.param(b'{"manifests": [', id="cut off"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"manifests"', id="a text"),
        pytest.param(b"\xff\xfe\xfd", id="no text"),
        pytest.param(b'{"manifests": []} {}', id="two documents"),
        pytest.param(b'{"manifests": [], "manifests": [1]}', id="a field twice"),
        pytest.param(b'{"manifests": [{"digest": "a", "digest": "b"}]}', id="a field twice, deeper"),
        pytest.param(b'{"manifests": [], "\\u006danifests": []}', id="a field twice, once in escapes"),
        pytest.param(b'{"manifests": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested without end"),
        pytest.param(b'{"config": ' + b"9" * 5000 + b"}", id="a number without end"),
    ],
)
def test_a_body_that_is_no_object_with_one_meaning_is_no_manifest(body: bytes) -> None:
    with pytest.raises(InvalidManifest):
        Manifest.verify(body)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_manifest_or_invalid(body: bytes) -> None:
    try:
        manifest = Manifest.verify(body)
    except InvalidManifest:
        return
    assert manifest.descriptor.digest == Digest.of(body)
    assert manifest.descriptor.media_type.isascii()
    assert all(isinstance(child, Descriptor) for child in [*manifest.children(), manifest.subject or described(b"")])


def test_n12_14_a_manifest_that_was_looked_into_is_no_larger() -> None:
    """What was parsed takes six times the body; manifests are remembered by the size of that."""
    manifest = Manifest.verify(json.dumps(INDEX).encode())
    assert (manifest.children(), manifest.subject, manifest.document) == (manifest.children(), manifest.subject, manifest.document)
    assert vars(manifest) == {"descriptor": manifest.descriptor, "body": manifest.body}
    assert manifest.document is not manifest.document


def test_a_manifest_of_four_mebibytes_is_taken_and_no_larger_one() -> None:
    """distribution-spec, Pushing manifests: registries should take four."""
    most = json.dumps(INDEX).encode().ljust(LIMIT)
    assert Manifest.verify(most).descriptor.size == LIMIT
    with pytest.raises(InvalidManifest, match="over the limit"):
        Manifest.verify(most + b" ")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_asked_by_digest_keeps_that_digest(algorithm: str) -> None:
    body = json.dumps(INDEX).encode()
    expected = Digest.of(body, algorithm)
    assert Manifest.verify(body, expected).descriptor.digest == expected


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_than_the_digest_promised_are_no_manifest(algorithm: str) -> None:
    """FAULTS, S10: checked before anything is read out of them."""
    with pytest.raises(DigestMismatch):
        Manifest.verify(b"<html>", Digest.of(b"{}", algorithm))


def test_an_image_has_a_config_and_layers() -> None:
    assert verify(IMAGE).children() == [described(b"{}"), described(b"1"), described(b"2")]


def test_an_index_has_manifests() -> None:
    assert verify(INDEX).children() == [described(b"3", OCI_MANIFEST), described(b"4", OCI_MANIFEST)]


def test_an_artifact_manifest_has_blobs() -> None:
    assert verify({"mediaType": ARTIFACT, "blobs": [descriptor(b"5")]}).children() == [described(b"5")]


@pytest.mark.parametrize("field", ["layers", "blobs", "config"])
@pytest.mark.parametrize("value", [None, 7, "x", [None], [7, "x", []], {"a": 1}, [{"digest": "sha256:.."}]])
def test_children_that_are_none_are_left_out(field: str, value: object) -> None:
    assert verify({"mediaType": "application/vnd.new+json", field: value}).children() == []


def test_a_subject_is_what_an_artifact_is_about() -> None:
    assert verify(IMAGE | {"subject": descriptor(b"7", OCI_MANIFEST)}).subject == described(b"7", OCI_MANIFEST)
    assert verify(IMAGE).subject is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"digest": "sha256:../../etc/passwd"}, id="a digest that is a path"),
        pytest.param({"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"}, id="a digest nobody trusts"),
        pytest.param({"digest": None}, id="no digest"),
        pytest.param({"size": -1}, id="less than nothing"),
        pytest.param({"size": 2**63}, id="more than a file can hold"),
        pytest.param({"size": 1.5}, id="half a byte"),
        pytest.param({"size": True}, id="yes for a size"),
        pytest.param({"size": "1"}, id="text for a size"),
        pytest.param({"mediaType": None}, id="no media type"),
    ],
)
def test_a_malformed_descriptor_is_none(change: dict[str, object]) -> None:
    assert parse_descriptor(descriptor(b"1") | change) is None


@pytest.mark.parametrize("size", [0, 2**63 - 1])
def test_a_descriptor_may_have_any_size_a_file_can(size: int) -> None:
    found = parse_descriptor(descriptor(b"1") | {"size": size, "annotations": {"more": "fields"}})
    assert found == Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(b"1"), size)


@given(json_values)
def test_any_json_is_a_descriptor_or_none(value: object) -> None:
    assert isinstance(parse_descriptor(value), Descriptor | None)


def test_upstream_is_asked_for_every_kind_of_manifest_and_schema1_last() -> None:
    """Without the list old registries answer schema1, and others rewrite a list to one platform."""
    asked = ACCEPT.split(", ")
    assert {OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST} < set(asked)
    assert asked[-1] == "*/*;q=0.1"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_n12_03_a_manifest_in_another_encoding_than_utf_8_is_none(encoding: str) -> None:
    """JSON between systems is UTF-8 without a mark : clients written in Go read nothing else, and we would tell them its type."""
    with pytest.raises(InvalidManifest):
        Manifest.verify(json.dumps(IMAGE).encode(encoding))


def test_a_body_of_too_many_values_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidManifest, match="more than 300000 values"):
        Manifest.verify(b"[" + b"{}," * 300_000 + b"{}]")
