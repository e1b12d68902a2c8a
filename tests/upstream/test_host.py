"""What one host is sent, and what no other is."""

from pathlib import Path

from tests.fakes.deeds import Redirect, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, rig

NAME = "library/app"
SECRET = "canary-header"
HEADERS = {"CF-Access-Client-Secret": SECRET, "X-Dragonfly-Registry": "https://index.docker.io"}


def _have_secret(registry: FakeRegistry) -> list[tuple[str, bool]]:
    """List what was asked, and whether that had the header."""
    return [(entry.kind, entry.headers.get("cf-access-client-secret") == SECRET) for entry in registry.ledger]


def _configured(upstream: FakeRegistry) -> dict[str, object]:
    return {"docker.io": {"hosts": [{"url": upstream.url, "headers": HEADERS}]}}


async def test_n19_02_headers_of_a_host_go_to_its_own_origin_and_nowhere_else(tmp_path: Path) -> None:
    async with FakeRegistry(auth="anonymous") as upstream, FakeRegistry(auth="anonymous") as storage:
        manifest = upstream.add_image(NAME, "1", [b"layer"])
        layer = storage.add_blob(NAME, b"layer")
        back = upstream.add_blob(NAME, b"back")
        upstream.misbehave(on("GET", str(layer)), Redirect(f"{storage.url}/v2/{NAME}/blobs/{layer}"))
        upstream.misbehave(on("GET", f"blobs/{back}"), Redirect(f"{storage.url}/v2/{NAME}/blobs/{back}"), times=1)
        storage.misbehave(on("GET", str(back)), Redirect(f"{upstream.url}/v2/{NAME}/blobs/{back}"))
        async with rig(tmp_path / "store", _configured(upstream), timeouts=PATIENT) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).headers["Docker-Content-Digest"] == str(manifest.digest)
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{layer}")).body == b"layer"
            asked = len(upstream.ledger)
            await proxy.ask(f"/v2/{NAME}/blobs/{back}")
        assert {kind for kind, has in _have_secret(upstream)[:asked] if has} == {"manifests", "token", "blobs"}
        assert all(has for _, has in _have_secret(upstream)[:asked])
        assert [has for _, has in _have_secret(upstream)[asked:][:2]] == [True, False]  # led away and back again
        assert len(storage.ledger) > 0
        assert not any(has for _, has in _have_secret(storage))
        assert all(entry.headers["x-dragonfly-registry"] == "https://index.docker.io" for entry in upstream.ledger[:asked])


async def test_n19_02_no_error_tells_what_a_header_has(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream:
        upstream.misbehave("/v2/", Status(403, body=f'{{"errors":[{{"code":"DENIED","message":"not with {SECRET}"}}]}}'.encode()))
        async with rig(tmp_path / "store", _configured(upstream), timeouts=PATIENT) as proxy:
            answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
            assert answer.status == 403
            assert SECRET not in answer.body.decode()


async def test_n19_02_a_repository_is_asked_for_as_its_host_has_it(tmp_path: Path) -> None:
    async with FakeRegistry(auth="anonymous") as mirror, FakeRegistry() as upstream:
        digest = mirror.add_blob("google_containers/coredns", b"layer")
        flat = {"url": mirror.url, "trust": ["pull"], "prefix": "google_containers", "rewrite": {"^.*/([^/]+)$": "$1"}}
        upstream.add_blob("coredns/coredns", b"layer")
        hosts = {"registry.k8s.io": {"hosts": [flat, {"url": upstream.url}]}}
        async with rig(tmp_path / "store", hosts, timeouts=PATIENT) as proxy:
            assert (await proxy.ask(f"/v2/coredns/coredns/blobs/{digest}")).body == b"layer"
            assert mirror.tokens
            assert set().union(*mirror.tokens.values()) == {"repository:google_containers/coredns:pull"}
            assert (await proxy.ask(f"/v2/coredns/coredns/blobs/{digest}")).body == b"layer"
        assert {entry.repository for entry in upstream.ledger} <= {"coredns/coredns"}


async def test_n19_02_a_host_whose_name_for_a_repository_is_none_is_not_asked(tmp_path: Path) -> None:
    async with FakeRegistry() as mirror, FakeRegistry() as upstream:
        digest = upstream.add_blob("library/app", b"layer")
        hosts = [{"url": mirror.url, "trust": ["pull"], "rewrite": {"^library/.*$": ""}}, {"url": upstream.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}, timeouts=PATIENT) as proxy:
            assert (await proxy.ask(f"/v2/library/app/blobs/{digest}")).body == b"layer"
        assert not mirror.ledger
