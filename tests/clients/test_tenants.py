"""Two tenants with a private repository each, a real registry with its token service, one regproxy with two workers: nothing leaks."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.canary import found_below

from .conftest import Folders
from .containerd import Containerd, write_hosts
from .fetch import Answer, ask
from .go_programs import go_program
from .images import Image, Images
from .programs import program
from .proxy import HUB
from .registry import Registry
from .server import Server
from .test_login import ran
from .tokens import PASSWORD, USERNAME, TokenService

TENANTS = {"ann": "canary of ann", "bob": "canary of bob"}
_TIMES = 2  # each question: of both workers, mostly, or of one that answers from memory
_NODES = 40
_STRANGERS = 8
VAIN = {"per_second": 1000, "burst": 1_000_000}  # what is refused is refused for what it is


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


ANN, BOB = (basic(*each) for each in TENANTS.items())
WRONG = basic("ann", "canary of nobody")


@dataclass
class Tenancy:
    """What the tests of this module share."""

    servers: Sequence[Server]  # the one that clients ask first
    registry: Registry
    tokens: TokenService
    images: Mapping[str, Image]

    @property
    def server(self) -> Server:
        return self.servers[0]

    def ask(self, path: str, method: str = "GET", who: str = "", **headers: str) -> Answer:
        """Ask on a connection of its own, so that either worker may have it."""
        return ask(method, f"{self.server.url}{path}", headers={**headers, **({"Authorization": who} if who else {})})

    def bearer(self, who: str) -> str:
        return f"Bearer {json.loads(self.ask('/token', who=who).body)['token']}"

    def ways(self, tenant: str) -> dict[str, tuple[str, str, dict[str, str]]]:
        """List every way to ask for something that *tenant* alone may have: path, method and headers."""
        image, other = self.images[tenant], self.images["bob" if tenant == "ann" else "ann"]
        name, layer = image.repository, image.blobs[0].digest
        return {
            "tag": (f"/v2/{name}/manifests/1", "GET", {}),
            "tag by HEAD": (f"/v2/{name}/manifests/1", "HEAD", {}),
            "tag by ns": (f"/v2/{name}/manifests/1?ns={HUB}", "GET", {}),
            "tag by path": (f"/v2/{HUB}/{name}/manifests/1", "GET", {}),
            "digest": (f"/v2/{name}/manifests/{image.top.digest}", "GET", {}),
            "digest by HEAD": (f"/v2/{name}/manifests/{image.top.digest}", "HEAD", {}),
            "blob": (f"/v2/{name}/blobs/{layer}", "GET", {}),
            "blob by HEAD": (f"/v2/{name}/blobs/{layer}", "HEAD", {}),
            "range": (f"/v2/{name}/blobs/{layer}", "GET", {"Range": "bytes=10-99"}),
            "tag list": (f"/v2/{name}/tags/list", "GET", {}),
            "referrers": (f"/v2/{name}/referrers/{image.top.digest}", "GET", {}),
            "condition": (f"/v2/{name}/manifests/1", "GET", {"If-None-Match": image.top.digest}),
            "digest elsewhere": (f"/v2/{other.repository}/manifests/{image.top.digest}", "GET", {}),
            "blob elsewhere": (f"/v2/{other.repository}/blobs/{layer}", "GET", {}),
            "blob in a public place": (f"/v2/library/hello/blobs/{layer}", "GET", {}),
        }

    def leaks(self) -> list[str]:
        """List what is served to whom it is not for, by any way, as anybody who is not its tenant."""
        asked = []
        for tenant, others in (("ann", {"bob": BOB}), ("bob", {"ann": ANN})):
            strangers = {"nobody": "", "a wrong password": WRONG}
            asked += [
                (tenant, label, who, way) for label, who in (strangers | others).items() for way in self.ways(tenant) for _ in range(_TIMES)
            ]
        with ThreadPoolExecutor(_STRANGERS) as strangers_at_once:
            return [found for found in strangers_at_once.map(lambda each: self._leak(*each), asked) if found is not None]

    def _leak(self, tenant: str, label: str, who: str, way: str) -> str | None:
        path, method, headers = self.ways(tenant)[way]
        answer, image = self.ask(path, method, who, **headers), self.images[tenant]
        has_secret = any(each.body in answer.body for each in (*image.blobs, *image.manifests))
        is_refused = answer.status in {401, 403, 404, 502, 503, 504}
        return None if is_refused and not has_secret else f"{tenant}'s by {way} to {label}: {answer.status}"

    def served(self, *, to: Mapping[str, str]) -> list[str]:
        """List what is kept from whom it is for."""
        own = {way: each for tenant in to for way, each in self.ways(tenant).items() if "elsewhere" not in way and "public" not in way}
        refused = []
        for tenant, who in to.items():
            for way in own:
                path, method, headers = self.ways(tenant)[way]
                refused += [
                    f"{tenant}'s {way}: {status}" for _ in range(_TIMES) if (status := self.ask(path, method, who, **headers).status) >= 400
                ]
        return refused


@pytest.fixture(scope="module")
def private(folder: Folders, images: Images) -> Iterator[tuple[Registry, TokenService, Mapping[str, Image]]]:
    """A registry with the tenants' images, its token service, and these images."""
    tokens = TokenService(tenants=TENANTS)
    registry = Registry(program("docker-registry", "docker-registry"), folder("tenants-registry"), tokens)
    registry.start()
    owned = {tenant: images.filled(f"private/{tenant}/app", 400_000) for tenant in TENANTS}
    for image in (*owned.values(), images.library):
        registry.push(image)
    yield registry, tokens, owned
    registry.stop()
    tokens.stop()


def before(registry: Registry, tokens: TokenService) -> dict[str, object]:
    """Return an upstream of which our own credentials open everything, and must open nothing."""
    credentials = {"username": USERNAME, "password": PASSWORD}
    return {"hosts": [{"url": registry.url}], "realms": [tokens.authority], "credentials": credentials, "access": "proven"}


@pytest.fixture(scope="module")
def tenancy(folder: Folders, private: tuple[Registry, TokenService, Mapping[str, Image]]) -> Iterator[Tenancy]:
    registry, tokens, owned = private
    place = folder("tenants")
    server = Server(place, {HUB: before(registry, tokens)}, workers=2, catalog=True, not_found_limit=VAIN)
    server.start()
    yield Tenancy([server], registry, tokens, owned)
    server.stop()
    assert found_below(place) == []


@pytest.fixture
def chained(folder: Folders, private: tuple[Registry, TokenService, Mapping[str, Image]]) -> Iterator[Tenancy]:
    """A node's cache, which knows the registry by the cluster's alone."""
    registry, tokens, owned = private
    place = folder("chained")
    cluster = Server(place / "cluster", {HUB: before(registry, tokens)}, workers=2, not_found_limit=VAIN)
    hosts = [{"url": cluster.url, "kind": "cache", "forward_credentials": True}]
    node = Server(place / "node", {HUB: {"hosts": hosts, "access": "proven"}}, workers=2, catalog=True, not_found_limit=VAIN)
    cluster.start()
    node.start()
    yield Tenancy([node, cluster], registry, tokens, owned)
    node.stop()
    cluster.stop()
    assert found_below(place) == []


@pytest.mark.parametrize("how", ["tenancy", "chained"])
def test_n16_03_nothing_leaks_between_tenants_of_a_real_registry(request: pytest.FixtureRequest, how: str) -> None:
    """Before anybody has it, once each has its own, after a restart, and with the registry gone."""
    tenancy: Tenancy = request.getfixturevalue(how)
    assert tenancy.leaks() == [], "cold"
    assert tenancy.served(to={"ann": ANN}) == []
    assert tenancy.leaks() == [], "one tenant's is in the store"
    assert tenancy.served(to={"bob": BOB, "ann": tenancy.bearer(ANN)}) == []
    assert tenancy.leaks() == [], "both tenants' are in the store"
    assert {user for _, user in tenancy.tokens.asked} <= {"", "ann", "bob", USERNAME}
    assert all(scope.endswith(":pull,push") for scope, user in tenancy.tokens.asked if user == USERNAME), "ours is used for nobody"
    assert json.loads(tenancy.ask("/v2/_catalog", who=ANN).body) == {"repositories": []}
    tenancy.registry.stop()
    assert tenancy.leaks() == [], "the registry is gone"
    assert tenancy.served(to={"ann": ANN, "bob": BOB}) == [], "who has proven it is served"
    for server in tenancy.servers:
        server.stop()
    for server in reversed(tenancy.servers):
        server.start()
    assert tenancy.leaks() == [], "and it was restarted"
    assert tenancy.ask(f"/v2/{tenancy.images['ann'].repository}/manifests/1", who=ANN).status == 503
    tenancy.registry.start()
    assert tenancy.served(to={"ann": ANN}) == []
    assert tenancy.leaks() == []
    assert tenancy.ask("/v2/library/hello/manifests/1").status == 200, "what is public is everybody's"


def test_n16_03_podman_and_skopeo_show_what_they_logged_in_with(tenancy: Tenancy, tmp_path: Path) -> None:
    """By regproxy's own name: each tenant logs in with what the registry takes, and gets its own image."""
    host, skopeo = tenancy.server.authority, program("skopeo", "skopeo")
    for tenant, password in TENANTS.items():
        home = tmp_path / tenant
        home.mkdir()
        assert ran([skopeo, "login", "--tls-verify=false", "-u", tenant, "-p", password, host], home)[0]
        for other in TENANTS:
            image = f"docker://{host}/private/{other}/app:1"
            is_served, said = ran([skopeo, "inspect", "--raw", "--tls-verify=false", image], home)
            assert is_served == (other == tenant), said
    assert not ran([skopeo, "login", "--tls-verify=false", "-u", "ann", "-p", "wrong", host], tmp_path)[0]


def test_n16_03_a_mass_restart_is_one_proof_for_each_repository(tenancy: Tenancy, images: Images) -> None:
    """Of all nodes with one pull secret, whichever worker they ask; and one token."""
    repositories = [f"private/bob/app-{number}" for number in range(5)]
    for repository in repositories:
        tenancy.registry.push(images.filled(repository, 20_000))
    tokens, requests = len(tenancy.tokens.asked), len(tenancy.registry.requests())
    paths = [f"/v2/{repository}/manifests/1" for repository in repositories for _ in range(_NODES)]
    with ThreadPoolExecutor(_NODES) as nodes:
        statuses = list(nodes.map(lambda path: tenancy.ask(path, who=BOB).status, paths))
    assert set(statuses) == {200}
    asked = [(scope, user) for scope, user in tenancy.tokens.asked[tokens:] if user]
    assert sorted(asked) == [(f"repository:{repository}:pull", "bob") for repository in repositories]
    seen = [request for request in tenancy.registry.requests()[requests:] if "/manifests/" in request.path]
    assert sorted((request.method, request.path) for request in seen) == sorted(
        (method, f"/v2/{repository}/manifests/1") for repository in repositories for method in ("HEAD", "GET")
    )


@pytest.mark.parametrize("version", ["1.6", "2"])
def test_n16_03_containerd_shows_the_image_pull_secret(tenancy: Tenancy, folder: Folders, version: str) -> None:
    """As kubelet has it pull, by CRI: the secret of the registry that is mirrored reaches the mirror, once that asks for it."""
    place = folder(f"tenants-{version}")
    certs = write_hosts(place / "certs", HUB, tenancy.server.url)
    containerd = Containerd(place, go_program if version == "2" else _of_debian, certs)
    containerd.start()
    try:
        socket = f"unix://{containerd.socket}"
        crictl: list[str | Path] = [go_program("crictl"), f"--runtime-endpoint={socket}", f"--image-endpoint={socket}", "pull"]
        for tenant, password in TENANTS.items():
            for other in TENANTS:
                is_pulled, said = ran([*crictl, "--creds", f"{tenant}:{password}", f"{HUB}/private/{other}/app:1"], place)
                assert is_pulled == (other == tenant), said
                if is_pulled:
                    containerd.ctr("--namespace=k8s.io", "images", "remove", "--sync", f"{HUB}/private/{other}/app:1")
        assert not ran([*crictl, f"{HUB}/private/ann/app:1"], place)[0], "nor without a secret"
        is_pulled, said = ran([*crictl, f"{HUB}/library/hello:1"], place)
        assert is_pulled, said
    finally:
        containerd.stop()


def _of_debian(name: str) -> Path:
    return program(name, "containerd")
