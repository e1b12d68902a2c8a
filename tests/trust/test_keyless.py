"""Signers without keys, by a trust root of the test."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from regproxy.config import ConfigError, load
from regproxy.oci.digest import Digest
from regproxy.policy.requirement import Identity
from regproxy.trust.bundle import parse_bundle
from regproxy.trust.keyless import MAX_TRUST_ROOT_BYTES, InvalidTrustRoot, KeylessVerifier
from regproxy.trust.signed_json import InvalidSignature
from tests.fakes.registry import FakeRegistry
from tests.pull.trust.signed import NAME, add_bundle, pulled, rules
from tests.rig import rig

from .keyless_signing import ISSUER, SUBJECT, Sigstore
from .signing import Signer

BODY = b'{"schemaVersion": 2}'
DIGEST, OTHER = Digest.of(BODY), Digest.of(b"another image")
OURS, THEIRS = Sigstore(), Sigstore()
VERIFIER = KeylessVerifier(OURS.trust_root(), [Identity("https://another.example", SUBJECT), Identity(ISSUER, SUBJECT)])


def refused(body: bytes) -> str:
    with pytest.raises(InvalidSignature) as caught:
        VERIFIER.verify(parse_bundle(body), DIGEST, BODY)
    return str(caught.value)


def test_n18_26_a_signer_whom_the_issuer_vouched_for_passes() -> None:
    bundle = parse_bundle(OURS.bundle(DIGEST))
    assert bundle.is_keyless
    VERIFIER.verify(bundle, DIGEST, BODY)


def test_n18_26_another_identity_root_or_digest_does_not() -> None:
    assert "not right" in refused(OURS.bundle(DIGEST, subject="https://ci.example/team/app/pull-request"))
    assert "not right" in refused(OURS.bundle(DIGEST, issuer="https://nobody.example"))
    assert "not right" in refused(THEIRS.bundle(DIGEST))
    assert "another digest" in refused(OURS.bundle(OTHER))
    assert "attestation" in refused(OURS.bundle(DIGEST, predicate="https://slsa.dev/provenance/v1"))
    assert "not right" in refused(Signer().bundle(DIGEST))


@pytest.mark.parametrize("field", ["inclusionProof", "inclusionPromise", "canonicalizedBody", "integratedTime", "logId"])
def test_n18_26_an_entry_of_the_log_that_is_not_whole_or_of_another_bundle_does_not_count(field: str) -> None:
    document, other = (json.loads(OURS.bundle(DIGEST)) for _ in range(2))
    [entry] = document["verificationMaterial"]["tlogEntries"]
    [another] = other["verificationMaterial"]["tlogEntries"]
    whole = dict(entry)
    if another[field] != entry[field]:
        entry[field] = another[field]
        assert "not right" in refused(json.dumps(document).encode())
    del entry[field]
    document["verificationMaterial"]["tlogEntries"] = [entry]
    assert "not right" in refused(json.dumps(document).encode())
    document["verificationMaterial"]["tlogEntries"] = []
    assert "not right" in refused(json.dumps(document).encode())
    document["verificationMaterial"]["tlogEntries"] = [whole]
    VERIFIER.verify(parse_bundle(json.dumps(document).encode()), DIGEST, BODY)


def test_n18_26_no_odd_value_anywhere_makes_a_bundle_count_or_anything_fail() -> None:
    whole = json.loads(OURS.bundle(DIGEST))
    odd: list[object] = [None, "", 0, -1, [], {}, "A" * 5_000, "\u00e9\ud800", True, [[]], 1e308, 10**40]
    counted = set()
    for path in places(whole):
        for value in odd:
            document = deepcopy(whole)
            reduce(lambda found, name: found[name], path[:-1], document)[path[-1]] = value
            try:
                VERIFIER.verify(parse_bundle(json.dumps(document).encode()), DIGEST, BODY)
            except InvalidSignature:
                continue
            counted.add(path[-1])
    assert counted == {"hashes"}  # the log has one entry, so that the empty list is the right one


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401  JSON is anything
    """List the ways to everything in *value*."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, name)
        yield from places(inner, (*path, name))


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"mediaType": "application/json"}', b" " * (MAX_TRUST_ROOT_BYTES + 1)])
def test_n18_26_what_is_no_trust_root_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidTrustRoot):
        KeylessVerifier(document, [Identity(ISSUER, SUBJECT)])


async def test_n18_26_an_image_is_served_that_an_identity_signed(upstream: FakeRegistry, tmp_path: Path) -> None:
    root = tmp_path / "trusted_root.json"
    await asyncio.to_thread(root.write_bytes, OURS.trust_root())
    images = {name: upstream.add_image(NAME, name, [name.encode()]).digest for name in ("ours", "theirs", "other", "moved")}
    add_bundle(upstream, images["ours"], OURS.bundle(images["ours"]))
    add_bundle(upstream, images["theirs"], THEIRS.bundle(images["theirs"]))
    add_bundle(upstream, images["other"], OURS.bundle(images["other"], subject="https://ci.example/fork"))
    add_bundle(upstream, images["moved"], OURS.bundle(images["ours"]))
    rule = {"identities": [{"issuer": ISSUER, "subject": SUBJECT}], "trust_root": str(root)}
    async with rig(tmp_path / "store", rules(upstream, require=[rule])) as proxy:
        answers = {name: await pulled(proxy, name) for name in images}
        assert {name: answer.status for name, answer in answers.items()} == {"ours": 200, "theirs": 403, "other": 403, "moved": 403}
        assert f"demanded is a signature by one of {SUBJECT} by {ISSUER}; found: a keyless signature that is not right" in str(
            answers["other"].body
        )
        await asyncio.to_thread(root.write_bytes, THEIRS.trust_root())  # who vouched is trusted no more
        while (await pulled(proxy, "ours")).status != 403:
            pass  # each look is a whole request
        assert (await pulled(proxy, "theirs")).status == 200
        await asyncio.to_thread(root.write_bytes, b"no trust root")
        while (await pulled(proxy, "theirs")).status != 403:
            pass


def test_n18_26_identities_need_a_trust_root_that_can_be_used(tmp_path: Path) -> None:
    root, file = tmp_path / "trusted_root.json", tmp_path / "regproxy.yaml"
    rule = f"{{identities: [{{issuer: '{ISSUER}', subject: '{SUBJECT}'}}], trust_root: {root}}}"
    file.write_text(f"upstreams: {{docker.io: {{require: [{rule}]}}}}")
    for text, mistake in ((None, "cannot be read"), (b"{}", "cannot be used")):
        if text is not None:
            root.write_bytes(text)
        with pytest.raises(ConfigError, match=mistake):
            load(file, {})
    root.write_bytes(OURS.trust_root())
    (found,) = next(each for each in load(file, {}).upstreams if each.name == "docker.io").require
    assert (found.identities, found.trust_root) == ((Identity(ISSUER, SUBJECT),), str(root))


@pytest.mark.parametrize(
    ("identity", "is_one"),
    [
        (Identity(ISSUER, r"https://ci\.example/team/[^/]+/release", is_subject_pattern=True), True),
        (Identity(r"https://(issuer|other)\.example", SUBJECT, is_issuer_pattern=True), True),
        (Identity(r"https://issuer\..*", r".*/release", is_issuer_pattern=True, is_subject_pattern=True), True),
        (Identity(ISSUER, r"https://ci\.example/team/app", is_subject_pattern=True), False),  # only the beginning
        (Identity(ISSUER, r"team/app/release", is_subject_pattern=True), False),  # only the end
        (Identity(ISSUER, r"nobody|https://ci\.example/team/app/rel", is_subject_pattern=True), False),  # each alternative is of the whole
        (Identity(r"https://other\.example", r".*", is_issuer_pattern=True, is_subject_pattern=True), False),
        (Identity("https://other.example", r".*/release", is_subject_pattern=True), False),
        (Identity(r"https://iss.*", "https://ci.example/team/app/[a-z]+", is_issuer_pattern=True), False),  # no pattern
    ],
)
def test_n18_27_a_pattern_is_of_the_whole_name_and_both_names_have_to_fit(identity: Identity, *, is_one: bool) -> None:
    verifier, bundle = KeylessVerifier(OURS.trust_root(), [identity]), parse_bundle(OURS.bundle(DIGEST))
    if is_one:
        verifier.verify(bundle, DIGEST, BODY)
    else:
        with pytest.raises(InvalidSignature, match="not right"):
            verifier.verify(bundle, DIGEST, BODY)


def test_n18_27_a_signer_cannot_break_out_of_a_pattern_or_keep_it_busy() -> None:
    greedy = Identity(ISSUER, r"(https://ci\.example/(.*)*(.*)*(.*)*(a+)+)+release", is_subject_pattern=True)
    release = Identity(ISSUER, r"https://ci\.example/.*/release", is_subject_pattern=True)
    for subject in (
        "https://ci.example/" + "a" * 20_000,
        "https://ci.example/x/release\nhttps://ci.example/y",
        "https://ci.example/\n/release",
        "https://CI.example/x/release",
        "https://ci.example/x/release/",
    ):
        bundle = parse_bundle(OURS.bundle(DIGEST, subject=subject))
        with pytest.raises(InvalidSignature):
            KeylessVerifier(OURS.trust_root(), [greedy, release]).verify(bundle, DIGEST, BODY)


async def test_n18_27_an_image_is_served_whose_signer_matches(upstream: FakeRegistry, tmp_path: Path) -> None:
    root = tmp_path / "trusted_root.json"
    await asyncio.to_thread(root.write_bytes, OURS.trust_root())
    images = {name: upstream.add_image(NAME, name, [name.encode()]).digest for name in ("v1", "v2", "fork")}
    for name, workflow in {"v1": "app/release", "v2": "web/release", "fork": "app/release/../../evil"}.items():
        add_bundle(upstream, images[name], OURS.bundle(images[name], subject=f"https://ci.example/team/{workflow}"))
    pattern = "https://ci\\.example/team/[^/]+/release"
    rule = {"identities": [{"issuer": ISSUER, "subject_regexp": pattern}], "trust_root": str(root)}
    async with rig(tmp_path / "store", rules(upstream, require=[rule])) as proxy:
        answers = {name: await pulled(proxy, name) for name in images}
        assert {name: answer.status for name, answer in answers.items()} == {"v1": 200, "v2": 200, "fork": 403}
        demanded = json.loads(answers["fork"].body)["errors"][0]["message"]
        assert f"demanded is a signature by one of what matches {pattern} by {ISSUER}; found: a keyless" in demanded


@pytest.mark.parametrize(
    ("identity", "mistake"),
    [
        ("issuer: a, subject_regexp: '('", "no pattern of RE2: missing"),
        ("issuer: a, subject_regexp: '(a)\\1'", "no pattern of RE2: invalid escape"),
        ("issuer: a, subject_regexp: '(?=a)b'", "no pattern of RE2: invalid perl operator"),
        ("issuer: a, subject_regexp: '((a{100}){100}){100}'", "no pattern of RE2: invalid repetition size"),
        (f"issuer: a, subject_regexp: '{'a' * 1001}'", "more than 1000 characters"),
        ("issuer: a, subject: b, subject_regexp: c", "needs one of subject and subject_regexp"),
        ("subject: b", "needs one of issuer and issuer_regexp"),
        ("issuer_regexp: '.*', subject_regexp: '.+'", "matches anybody"),
    ],
)
def test_n18_27_a_pattern_that_cannot_be_used_or_is_of_anybody_is_a_mistake(tmp_path: Path, identity: str, mistake: str) -> None:
    root, file = tmp_path / "trusted_root.json", tmp_path / "regproxy.yaml"
    root.write_bytes(OURS.trust_root())
    file.write_text(f"upstreams: {{docker.io: {{require: [{{identities: [{{{identity}}}], trust_root: {root}}}]}}}}")
    with pytest.raises(ConfigError, match=mistake):
        load(file, {})
