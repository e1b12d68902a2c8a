"""Which images have to be signed, and what needs no signature."""

import json

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from regproxy.policy.requirement import Exemption, Identity, Requirement, exemption, is_runnable, layers_of, policy_id, requirement_of

IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SUBJECT = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"")), "size": 1}


def described(media_type: object) -> object:
    return {"mediaType": media_type, "digest": str(Digest.of(b"")), "size": 0}


def made(config: object, *layers: object, **more: object) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described(config), "layers": [described(each) for each in layers]}
    return Manifest.verify(json.dumps(document | more).encode())


def index(*entries: object) -> Manifest:
    return Manifest.verify(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode())


def test_n18_21_the_first_rule_that_matches_the_repository_counts() -> None:
    first, second = Requirement("library/*", ("a.pub",)), Requirement("*", ("b.pub",))
    assert requirement_of((first, second), "library/nginx") is first
    assert requirement_of((first, second), "team/app") is second
    assert requirement_of((first,), "team/app") is None


def test_n18_21_a_policy_is_named_by_what_it_accepts() -> None:
    me, you = Identity("https://issuer", "me"), Identity("https://issuer", "you")
    rules = [(Requirement("*", ("a.pub",)), [b"1"]), (Requirement("*", ("a.pub",)), [b"2"]), (Requirement("*", ("a.pub",)), [b"1", b"2"])]
    rules += [(Requirement("*", ("a.pub",)), [b"12"]), (Requirement("*", (), (me,), "root"), [b"1"])]
    rules += [(Requirement("*", (), (you,), "root"), [b"1"]), (Requirement("*", (), (me, you), "root"), [b"1"])]
    assert len({policy_id(*each) for each in rules}) == len(rules)
    assert policy_id(Requirement("x", ("b.pub",)), [b"1"]) == policy_id(*rules[0])  # the same key


def test_n18_21_a_rule_says_what_it_demands() -> None:
    rule = Requirement("*", ("/etc/a.pub",), (Identity("https://issuer", "me"),), "/etc/root.json")
    assert str(rule) == "a signature by one of /etc/a.pub, me by https://issuer"
    assert rule.files == ("/etc/a.pub", "/etc/root.json")
    assert Requirement("*", ("/etc/a.pub",)).files == ("/etc/a.pub",)


@pytest.mark.parametrize(
    "manifest",
    [
        made(EMPTY, BUNDLE, subject=SUBJECT, artifactType=BUNDLE),
        made("application/vnd.dev.cosign.artifact.sig.v1+json", SIMPLE, subject=SUBJECT),
        made(EMPTY, "application/vnd.example.report+json", subject=SUBJECT),
        made(EMPTY, subject=SUBJECT),
        made(EMPTY, "application/spdx+json"),
        Manifest.verify(
            json.dumps(
                {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": [described(BUNDLE)], "subject": SUBJECT}
            ).encode()
        ),
        index({"artifactType": BUNDLE, "mediaType": OCI_MANIFEST}),
        index(),
    ],
)
def test_n18_21_what_is_attached_and_cannot_be_run_needs_no_signature(manifest: Manifest) -> None:
    assert exemption(manifest) is Exemption.ATTACHED


def test_n18_21_signatures_under_a_tag_need_none_if_they_are_documents() -> None:
    assert exemption(made(IMAGE_CONFIG, SIMPLE, SIMPLE)) is Exemption.IF_JSON
    assert exemption(made(IMAGE_CONFIG, SIMPLE, subject=SUBJECT)) is Exemption.IF_JSON
    assert exemption(made(IMAGE_CONFIG, SIMPLE, mediaType=DOCKER_MANIFEST)) is Exemption.IF_JSON
    assert [layer.media_type for layer in layers_of(made(IMAGE_CONFIG, SIMPLE, None, BUNDLE))] == [SIMPLE, BUNDLE]


@pytest.mark.parametrize(
    "manifest",
    [
        made(IMAGE_CONFIG, LAYER),
        made(IMAGE_CONFIG, LAYER, subject=SUBJECT),
        made(IMAGE_CONFIG, SIMPLE, LAYER),
        made(EMPTY, LAYER, subject=SUBJECT),
        made(EMPTY, LAYER.upper(), subject=SUBJECT),
        made(EMPTY, "application/vnd.example.thing.tar", subject=SUBJECT),
        made(IMAGE_CONFIG, subject=SUBJECT),
        made(IMAGE_CONFIG),
        made(IMAGE_CONFIG, "application/vnd.example.thing", subject=SUBJECT),
        made("application/vnd.cncf.helm.config.v1+json", "application/vnd.example.thing", subject=SUBJECT),
        made(EMPTY),
        made(EMPTY, "application/vnd.example.thing"),
        made(EMPTY, BUNDLE, subject="no descriptor", layers=[{"mediaType": BUNDLE}]),
        made(EMPTY, BUNDLE, subject=SUBJECT, layers=[{"mediaType": BUNDLE}]),
        made(EMPTY, BUNDLE, subject=SUBJECT, layers=3),
        made(EMPTY, BUNDLE, subject=SUBJECT, blobs=[described(LAYER)]),
        made(None, BUNDLE, subject=SUBJECT),
        made("application/json", "application/vnd.example.thing", subject=SUBJECT),
        made("text/html", "application/vnd.example.thing", subject=SUBJECT),
        made("application/vnd.example+json", "application/vnd.example.thing", subject=SUBJECT, mediaType=DOCKER_MANIFEST),
        index({"artifactType": BUNDLE}, {"mediaType": OCI_MANIFEST}),
        index({"artifactType": BUNDLE, "platform": {"os": "linux"}}),
        index({"artifactType": IMAGE_CONFIG}),
        Manifest.verify(json.dumps({"mediaType": OCI_INDEX, "manifests": 1}).encode()),
    ],
)
def test_n18_21_what_may_be_run_is_not_exempt_whatever_it_refers_to(manifest: Manifest) -> None:
    assert exemption(manifest) is Exemption.NONE


@pytest.mark.parametrize("media_type", ["", " ", "application/octet-stream; a=b", "application/wasm", "application/x-gzip", LAYER])
def test_n18_21_what_runs_is_known_by_its_type(media_type: str) -> None:
    assert is_runnable(media_type)
    assert not is_runnable(BUNDLE)


def test_n18_27_a_pattern_is_another_policy_than_the_name_of_the_same_text() -> None:
    names = [
        Identity("a", "b", is_issuer_pattern=issuer, is_subject_pattern=subject) for issuer in (False, True) for subject in (False, True)
    ]
    assert len({each.key for each in names}) == len(names)
    assert names[0].key == "a\0b"  # as it was before there were patterns: what was found is not looked for again
    assert str(names[0]) == "b by a"
    assert str(names[3]) == "what matches b by what matches a"
