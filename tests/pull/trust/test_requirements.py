"""Served is what is signed as the configuration requires, wherever it comes from."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.trust.bundle import BUNDLE_TYPE
from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.library import OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig
from tests.trust.signing import IMAGE_CONFIG, Signer, payload, referrer, signature_manifest

from .signed import NAME, add_bundle, add_multi, key_file, pulled, rules, sign_by_bundle, sign_by_tag

ME, STRANGER = Signer(), Signer()


def message(answer: Answer) -> str:
    return str(json.loads(answer.body)["errors"][0]["message"])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return key_file(tmp_path, ME)


async def test_n18_22_an_image_is_served_only_once_a_signature_of_it_was_verified(
    upstream: FakeRegistry, tmp_path: Path, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = upstream.add_image(NAME, "plain", [b"plain"])
    tagged, bundled = (upstream.add_image(NAME, name, [name.encode()]) for name in ("tagged", "bundled"))
    old, message_signed = (upstream.add_image(NAME, name, [name.encode()]) for name in ("old", "message"))
    sign_by_tag(upstream, tagged.digest, STRANGER, ME)
    sign_by_bundle(upstream, bundled.digest, ME)
    signed = payload(old.digest)
    upstream.add_blob(NAME, signed)
    layer = ME.layer(signed)
    document = json.loads(referrer(old.digest, 1, signed, "application/vnd.dev.cosign.artifact.sig.v1+json")) | {"layers": [layer]}
    upstream.add_manifest(NAME, json.dumps(document).encode(), OCI_MANIFEST)
    add_bundle(upstream, message_signed.digest, ME.message(upstream.repositories[NAME].manifests[message_signed.digest].body))
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        for name, image in {"tagged": tagged, "bundled": bundled, "old": old, "message": message_signed}.items():
            by_tag = await pulled(proxy, name)
            assert (by_tag.status, Digest.of(by_tag.body)) == (200, image.digest), name
            assert (await pulled(proxy, image.digest)).status == 200, name
        with caplog.at_level(logging.WARNING):
            for target in ("plain", plain.digest, "plain"):
                refused = await pulled(proxy, target)
                assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (403, "DENIED")
                assert f"a signature by one of {key}; found: no signature" in message(refused)
        assert "refused without a valid signature" in caplog.messages
        assert (await proxy.ask(f"/v2/{NAME}/manifests/plain?ns=docker.io", "HEAD")).status == 403
        found = await proxy.metrics()
        assert 'regproxy_signatures_total{outcome="refused",upstream="docker.io"}' in found
        assert 'regproxy_signatures_total{outcome="verified",upstream="docker.io"}' in found
        assert (await pulled(proxy, "plain", "team/app")).status == 404  # another repository has no rule


async def test_n18_22_what_is_no_right_signature_is_said(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    signed = upstream.add_image(NAME, "signed", [b"signed"])
    sign_by_bundle(upstream, signed.digest, ME)
    by_another, moved, moved_bundle, attested = (
        upstream.add_image(NAME, name, [name.encode()]).digest for name in ("another", "moved", "moved_bundle", "attested")
    )
    sign_by_tag(upstream, by_another, STRANGER)
    sign_by_tag(upstream, signed.digest, ME, at=moved)
    sign_by_bundle(upstream, signed.digest, ME, subject=moved_bundle)
    add_bundle(upstream, attested, ME.bundle(attested, "https://slsa.dev/provenance/v1"))
    add_bundle(upstream, attested, b"no bundle")
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert "found: a signature by another key" in message(await pulled(proxy, "another"))
        assert f"found: a signature of another digest, {signed.digest}" in message(await pulled(proxy, "moved"))
        assert "found: a signature of another digest" in message(await pulled(proxy, "moved_bundle"))
        assert "an attestation, which is no signature" in message(await pulled(proxy, "attested"))


async def test_n18_22_children_of_a_signed_index_are_signed_and_an_index_is_not_by_its_children(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    index, children = add_multi(upstream)
    sign_by_bundle(upstream, index.digest, ME)
    other, other_children = add_multi(upstream, "other")
    for child in other_children:
        sign_by_tag(upstream, child.digest, ME)
    outer = upstream.add_index(NAME, "outer", [upstream.add_index(NAME, None, [nested := upstream.add_image(NAME, None, [b"nested"])])])
    sign_by_tag(upstream, outer.digest, ME)
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy, children[1].digest)).status == 403  # nobody knows yet that an index lists it
        assert (await pulled(proxy, "multi")).status == 200
        assert [(await pulled(proxy, child.digest)).status for child in children] == [200, 200]
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert [(await pulled(proxy, child.digest)).status for child in children] == [200, 200]
        assert (await pulled(proxy, "other")).status == 403
        assert [(await pulled(proxy, child.digest)).status for child in other_children] == [200, 200]
        assert (await pulled(proxy, other.digest)).status == 403
        body = json.loads((await pulled(proxy, "outer")).body)
        assert (await pulled(proxy, body["manifests"][0]["digest"])).status == 200
        assert (await pulled(proxy, nested.digest)).status == 200


def _listing(image: Descriptor) -> bytes:
    """Write an index that has *image* as an SBOM, as the Referrers Tag Schema lists one."""
    listed = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size, "artifactType": "application/spdx+json"}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]}).encode()


@pytest.mark.parametrize("where", ["a tag", "the tag of its referrers"])
async def test_n18_22_what_needs_no_signature_signs_nothing(upstream: FakeRegistry, tmp_path: Path, key: Path, where: str) -> None:
    """A list of referrers is served without a signature; an image that it lists is none the more signed."""
    image = upstream.add_image(NAME, "evil", [b"evil"])
    upstream.has_referrers = False
    tag = "list" if where == "a tag" else f"sha256-{image.digest.hex}"
    upstream.add_manifest(NAME, _listing(image), OCI_INDEX, tag)
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert [(await pulled(proxy, target)).status for target in ("evil", tag, "evil", image.digest, image.digest, tag)] == [
            *(403, 200, 403, 403, 403, 200)
        ]
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert [(await pulled(proxy, target)).status for target in (image.digest, tag, "evil")] == [403, 200, 403]


async def test_n18_22_a_signed_list_of_referrers_signs_what_it_lists(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    image = upstream.add_image(NAME, "image", [b"image"])
    listed = upstream.add_manifest(NAME, body := _listing(image), OCI_INDEX, "list")
    sign_by_bundle(upstream, listed, ME)
    assert Digest.of(body) == listed
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy, "list")).status == 200
        assert (await pulled(proxy, "image")).status == 200


async def test_n18_22_a_child_is_signed_by_an_index_that_came_before_there_was_a_rule(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    index, children = add_multi(upstream)
    sign_by_tag(upstream, index.digest, ME)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await pulled(proxy, "multi")).status == 200
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy, children[0].digest)).status == 200


@pytest.mark.parametrize("what", ["stale", "frozen", "offline"])
async def test_n18_22_what_is_stale_frozen_or_offline_is_no_exception(upstream: FakeRegistry, tmp_path: Path, key: Path, what: str) -> None:
    upstream.add_image(NAME, "plain", [b"plain"])
    signed = upstream.add_image(NAME, "signed", [b"signed"])
    sign_by_bundle(upstream, signed.digest, ME)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert [(await pulled(proxy, tag)).status for tag in ("plain", "signed")] == [200, 200]
    more: dict[str, dict[str, Any]] = {
        "stale": {"tags": [{"fresh_for": "0s"}]},
        "frozen": {"freeze": [{"match": "library/*"}]},
        "offline": {"tags": [{"policy": "never"}]},
    }
    async with rig(tmp_path / "store", rules(upstream, key, **more[what])) as proxy:
        assert (await pulled(proxy, "signed")).status == 200
        assert (await pulled(proxy, "plain")).status == 403
        upstream.misbehave(lambda _: True, Status(503))
    async with rig(tmp_path / "store", rules(upstream, key, **more[what])) as proxy:
        again = await pulled(proxy, "signed")  # the verdict is on record
        assert (again.status, Digest.of(again.body)) == (200, signed.digest)
        unknown = await pulled(proxy, "plain")
        assert unknown.status == 503
        assert "cannot be verified: upstream does not give it" in message(unknown)
        assert "Retry-After" in unknown.headers


async def test_n18_22_a_signature_that_was_read_once_verifies_by_a_new_key_while_upstream_is_down(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    sign_by_bundle(upstream, image.digest, STRANGER)
    other = key_file(tmp_path, STRANGER, "other.pub")
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy)).status == 403
    upstream.misbehave(lambda _: True, Status(503))
    async with rig(tmp_path / "store", rules(upstream, other)) as proxy:
        assert (await pulled(proxy)).status == 200


async def test_n18_22_a_rule_may_only_warn(upstream: FakeRegistry, tmp_path: Path, key: Path, caplog: pytest.LogCaptureFixture) -> None:
    upstream.add_image(NAME, "1", [b"image"])
    async with rig(tmp_path / "store", rules(upstream, key, mode="warn")) as proxy:
        for _ in range(3):
            with caplog.at_level(logging.WARNING):
                caplog.clear()
                served = await pulled(proxy)
            assert served.status == 200
            assert "is not signed as configured" in served.headers["Warning"]
            assert "served without a valid signature" in caplog.messages
        assert 'outcome="warned"' in await proxy.metrics()
        upstream.misbehave(on("GET", "/referrers/"), Status(503))
        second = upstream.add_image(NAME, "2", [b"second"])
        warned = await pulled(proxy, second.digest)
        assert (warned.status, "cannot be verified" in warned.headers["Warning"]) == (200, True)


async def test_n18_22_what_was_signed_a_moment_ago_is_served_soon(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    image, now = upstream.add_image(NAME, "1", [b"image"]), [1000.0]
    async with rig(tmp_path / "store", rules(upstream, key), lambda: now[0]) as proxy:
        assert (await pulled(proxy)).status == 403
        sign_by_bundle(upstream, image.digest, ME)
        requests = upstream.count("GET", "referrers")
        assert (await pulled(proxy)).status == 403  # upstream is not asked at each pull
        assert upstream.count("GET", "referrers") == requests
        now[0] += 11
        assert (await pulled(proxy)).status == 200


async def until(proxy: Rig, status: int, target: object = "1") -> None:
    async with asyncio.timeout(300):
        while (await pulled(proxy, target)).status != status:
            pass  # each look is a whole request


async def test_n18_23_a_revoked_key_and_a_changed_rule_count_at_once_and_for_what_is_in_memory_too(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    sign_by_tag(upstream, image.digest, ME)
    settings = rules(upstream, key, tags=[{"fresh_for": "1h"}])
    async with rig(tmp_path / "store", settings) as proxy:
        for _ in range(4):
            assert (await pulled(proxy)).status == 200
        requests = len(upstream.ledger)
        assert (await pulled(proxy)).status == 200  # from memory
        assert len(upstream.ledger) == requests
        key_file(tmp_path, STRANGER)
        await until(proxy, 403)
        assert (await pulled(proxy, image.digest)).status == 403
        key_file(tmp_path, ME)
        await until(proxy, 200)
        await asyncio.to_thread(key.unlink)
        await until(proxy, 403)
    other = key_file(tmp_path, STRANGER, "other.pub")
    async with rig(tmp_path / "store", rules(upstream, other)) as proxy:
        assert (await pulled(proxy)).status == 403
    sign_by_bundle(upstream, image.digest, STRANGER)
    async with rig(tmp_path / "store", rules(upstream, other)) as proxy:
        assert (await pulled(proxy)).status == 200


async def test_n18_22_signatures_and_other_referrers_are_served_and_nothing_that_runs_is_hidden_among_them(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    signature = sign_by_tag(upstream, image.digest, ME)
    bundle = sign_by_bundle(upstream, image.digest, ME)
    upstream.add_blob(NAME, b"{}")
    entry = {"mediaType": OCI_MANIFEST, "digest": str(bundle), "size": 1, "artifactType": BUNDLE_TYPE}
    listed = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    upstream.add_manifest(NAME, listed, OCI_INDEX, f"sha256-{image.digest.hex}")
    layer = {"mediaType": OCI_LAYER, "digest": str(upstream.add_blob(NAME, b"tar")), "size": 3}
    evil = json.loads(referrer(image.digest, 1, b"{}", config=IMAGE_CONFIG)) | {"layers": [layer]}
    hidden = [
        upstream.add_manifest(NAME, json.dumps(evil).encode(), OCI_MANIFEST, "evil"),
        upstream.add_manifest(NAME, signature_manifest(ME.layer(b"tar")), OCI_MANIFEST, f"sha256-{bundle.hex}.sig"),
        upstream.add_manifest(NAME, signature_manifest(*[ME.layer(payload(image.digest))] * 33), OCI_MANIFEST, f"sha256-{'0' * 64}.sig"),
    ]
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        for attached in (signature, bundle, f"sha256-{image.digest.hex}.sig", f"sha256-{image.digest.hex}"):
            assert (await pulled(proxy, attached)).status == 200, attached
        for evil_one in (*hidden, "evil", f"sha256-{bundle.hex}.sig"):
            assert (await pulled(proxy, evil_one)).status == 403, evil_one
        assert (await proxy.ask(f"/v2/{NAME}/referrers/{image.digest}?ns=docker.io")).status == 200


async def test_n18_22_a_registry_without_referrers_keeps_bundles_under_a_tag(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    upstream.has_referrers = False
    image = upstream.add_image(NAME, "1", [b"image"])
    bundle = sign_by_bundle(upstream, image.digest, ME)
    entry = {"mediaType": OCI_MANIFEST, "digest": str(bundle), "size": 1, "artifactType": BUNDLE_TYPE}
    listed = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{}, 1, entry | {"artifactType": "x/y"}, entry]}).encode()
    upstream.add_manifest(NAME, listed, OCI_INDEX, f"sha256-{image.digest.hex}")
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy)).status == 200


async def test_n18_22_a_hostile_registry_cannot_make_us_look_for_ever(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    for number in range(100):
        add_bundle(upstream, image.digest, STRANGER.bundle(image.digest) + b" " * number)
    big = json.loads(referrer(image.digest, 1, b"{}"))
    big["layers"][0]["size"] = 1 << 40
    upstream.add_manifest(NAME, json.dumps(big).encode(), OCI_MANIFEST)
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy)).status == 403
        assert upstream.count("GET", "blobs") <= 32


async def test_n18_22_nor_by_manifests_of_many_signatures(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    for number in range(4):
        bodies = [STRANGER.bundle(image.digest) + b" " * (100 * number + each) for each in range(40)]
        layers = [{"mediaType": BUNDLE_TYPE, "digest": str(upstream.add_blob(NAME, each)), "size": len(each)} for each in bodies]
        document = json.loads(referrer(image.digest, 1, b"{}")) | {"layers": layers}
        upstream.add_manifest(NAME, json.dumps(document).encode(), OCI_MANIFEST)
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        assert (await pulled(proxy)).status == 403
        assert upstream.count("GET", "blobs") == 64


async def test_n18_22_what_was_imported_or_comes_from_another_cache_is_no_exception(
    upstream: FakeRegistry, tmp_path: Path, key: Path
) -> None:
    upstream.add_image(NAME, "plain", [b"plain"])
    signed = upstream.add_image(NAME, "signed", [b"signed"])
    sign_by_tag(upstream, signed.digest, ME)
    async with rig(tmp_path / "near", {"docker.io": upstream.url}) as near:
        assert (await pulled(near, "plain")).status == 200
        for blob in json.loads((await pulled(near, "plain")).body)["layers"]:
            await near.ask(f"/v2/{NAME}/blobs/{blob['digest']}?ns=docker.io")
        config = json.loads((await pulled(near, "plain")).body)["config"]["digest"]
        await near.ask(f"/v2/{NAME}/blobs/{config}?ns=docker.io")
        cache = {"url": f"http://127.0.0.1:{near.port}", "kind": "cache"}
        async with rig(tmp_path / "far", rules(upstream, key, hosts=[cache])) as far:
            assert (await pulled(far, "signed")).status == 200
            assert (await pulled(far, "plain")).status == 403
        url = f"http://127.0.0.1:{near.admin_port}/api/v1/store"
        async with near.session.get(f"{url}/export?image=docker.io/{NAME}:plain") as exported:
            tar = await exported.read()
    upstream.misbehave(lambda _: True, Status(404))
    async with rig(tmp_path / "store", rules(upstream, key, tags=[{"policy": "never"}])) as proxy:
        url = f"http://127.0.0.1:{proxy.admin_port}/api/v1/store"
        async with proxy.session.post(f"{url}/import", data=tar, headers={"Content-Type": "application/x-tar"}) as imported:
            assert f"{NAME}:plain" in await imported.text()  # it is told while it goes on
        refused = await pulled(proxy, "plain")
        assert (refused.status, "found: no signature" in message(refused)) == (403, True)


async def test_n18_22_a_signature_whose_bytes_are_wrong_is_none(upstream: FakeRegistry, tmp_path: Path, key: Path) -> None:
    image = upstream.add_image(NAME, "1", [b"image"])
    bundle = ME.bundle(image.digest)
    add_bundle(upstream, image.digest, bundle)
    upstream.repositories[NAME].blobs[Digest.of(bundle)] = bundle[:-1] + b" "
    async with rig(tmp_path / "store", rules(upstream, key)) as proxy:
        refused = await pulled(proxy)
        assert (refused.status, "sent wrong bytes" in message(refused)) == (503, True)
