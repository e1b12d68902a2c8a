"""A private repository is served to whoever proves by an own credential that upstream lets them have it, and to nobody else."""

import asyncio
import base64
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from regproxy.asker import Asker, asker
from regproxy.clients.access_tokens import AccessTokens
from regproxy.clients.proofs import Proofs, Wanted
from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Upstream
from regproxy.ports import Refused
from tests.canary import found_below
from tests.fakes.deeds import Stall, Status
from tests.fakes.entry import Entry, on
from tests.fakes.registry import FakeRegistry
from tests.fakes.reply import Reply, error_reply
from tests.fleet.redis_server import RedisServer
from tests.pull.trust.signed import key_file, sign_by_bundle
from tests.rig import LOOPBACK, PATIENT, Answer, Rig, rig
from tests.trust.signing import Signer

ANNS, BOBS, PUBLIC = "ann/app", "bob/app", "library/app"
LAYER = random.Random(16).randbytes(300_000)


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password or f'canary of {user}'}".encode()).decode()


ANN, BOB, WRONG = basic("ann"), basic("bob"), basic("ann", "canary wrong")
NOBODY = ""


class Tenants(FakeRegistry):
    """Users have a repository each, and one is public; passwords are asked for as such."""

    def __init__(self) -> None:
        super().__init__()
        self.owners = {ANNS: {"ann"}, BOBS: {"bob"}}
        self.passwords: dict[str, str] = {}  # where they are no longer as `basic` has them
        self.open_to_all = {PUBLIC}
        self.hides = False  # says 404 to users who may not
        self.challenge_header = ("WWW-Authenticate", 'Basic realm="tenants"')

    def refusal(self, entry: Entry) -> Reply | None:
        shown = entry.headers.get("authorization", "")
        user, _, password = base64.b64decode(shown.partition(" ")[2]).decode().partition(":")
        if user and password != self.passwords.get(user, f"canary of {user}"):
            return error_reply(401, "UNAUTHORIZED", (self.challenge_header,))
        if entry.kind == "ping":
            return None if user else error_reply(401, "UNAUTHORIZED", (self.challenge_header,))
        if entry.repository in self.open_to_all or user in self.owners.get(entry.repository, ()):
            return None
        if user:
            return error_reply(404, "MANIFEST_UNKNOWN") if self.hides else error_reply(403, "DENIED")
        return error_reply(401, "UNAUTHORIZED", (self.challenge_header,))

    def asked(self, method: str = "", user: str | None = None, name: str = "/") -> int:
        """Count the requests for content, by a user or "" nobody, that were let in or not."""
        shown = None if user is None else basic(user) if user else ""
        found = [entry for entry in self.ledger if entry.kind not in {"ping", "token"} and name in entry.path]
        return sum(entry.method.startswith(method) and shown in {None, entry.headers.get("authorization", "")} for entry in found)


@pytest.fixture
async def tenants() -> AsyncIterator[Tenants]:
    async with Tenants() as registry:
        for name in (ANNS, BOBS, PUBLIC):
            registry.add_image(name, "1", [LAYER, name.encode()])
        yield registry


@asynccontextmanager
async def proven(tmp_path: Path, tenants: Tenants, clock: "Clock | None" = None, **settings: object) -> AsyncIterator[Rig]:
    upstream = {"hosts": [{"url": tenants.url}], "access": "proven", "tags": [{"fresh_for": "1h"}], **settings}
    async with rig(tmp_path / "store", {"docker.io": upstream}, clock or Clock(), timeouts=PATIENT) as proxy:
        yield proxy


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_785_585_600.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def proxy(tmp_path: Path, tenants: Tenants, clock: Clock) -> AsyncIterator[Rig]:
    async with proven(tmp_path, tenants, clock) as running:
        yield running
    assert found_below(tmp_path) == []


def ways(tenants: Tenants, name: str) -> Mapping[str, tuple[str, str, Mapping[str, str]]]:
    """List every way to ask for something of a repository: method, path and headers."""
    stored = tenants.repositories[name]
    manifest, layer = stored.tags["1"], Digest.of(LAYER)
    return {
        "tag": ("GET", f"/v2/{name}/manifests/1", {}),
        "tag by HEAD": ("HEAD", f"/v2/{name}/manifests/1", {}),
        "digest": ("GET", f"/v2/{name}/manifests/{manifest}", {}),
        "digest by HEAD": ("HEAD", f"/v2/{name}/manifests/{manifest}", {}),
        "blob": ("GET", f"/v2/{name}/blobs/{layer}", {}),
        "blob by HEAD": ("HEAD", f"/v2/{name}/blobs/{layer}", {}),
        "range": ("GET", f"/v2/{name}/blobs/{layer}", {"Range": "bytes=100-199"}),
        "tags": ("GET", f"/v2/{name}/tags/list", {}),
        "referrers": ("GET", f"/v2/{name}/referrers/{manifest}", {}),
        "path": ("GET", f"/v2/docker.io/{name}/manifests/1", {}),
        "ns": ("GET", f"/v2/{name}/manifests/1?ns=docker.io", {}),
        "condition": ("GET", f"/v2/{name}/manifests/1", {"If_None_Match": str(manifest)}),
    }


WAYS = ["tag", "tag by HEAD", "digest", "digest by HEAD", "blob", "blob by HEAD", "range", "tags", "referrers", "path", "ns", "condition"]


async def asked(proxy: Rig, way: tuple[str, str, Mapping[str, str]], who: str) -> Answer:
    method, path, headers = way
    return await proxy.ask(path, method, **headers, **({"Authorization": who} if who else {}))


async def pull(proxy: Rig, name: str, who: str) -> int:
    return (await asked(proxy, ("GET", f"/v2/{name}/manifests/1", {}), who)).status


async def leaks(proxy: Rig, tenants: Tenants, name: str, strangers: Mapping[str, str]) -> list[str]:
    """List what is served of a repository to those who may not have it, twice, as the second answer may come from memory."""
    found = []
    for label, who in strangers.items():
        for way, request in itertools.chain(ways(tenants, name).items(), ways(tenants, name).items()):
            answer = await asked(proxy, request, who)
            if answer.status not in {401, 403, 404, 503} or LAYER[:100] in answer.body:
                found.append(f"{way} of {name} by {label}: {answer.status}")
    return found


STRANGERS = {"nobody": NOBODY, "bob": BOB, "a wrong password": WRONG, "an unknown user": basic("eve"), "a made up token": "Bearer rp.AAAA"}


@pytest.mark.parametrize("hides", [False, True])
async def test_n16_03_nobody_is_served_what_is_anothers(proxy: Rig, tenants: Tenants, *, hides: bool) -> None:
    tenants.hides = hides
    assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
    for way in ways(tenants, ANNS).values():
        for _ in range(3):
            assert (await asked(proxy, way, ANN)).status in {200, 206, 304}, way
    assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
    await tenants.stop()
    assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
    for way in ways(tenants, ANNS).values():
        assert (await asked(proxy, way, ANN)).status in {200, 206, 304}, way


@pytest.mark.parametrize("way", WAYS)
async def test_n16_03_each_way_in_proves_for_itself(proxy: Rig, tenants: Tenants, way: str) -> None:
    request = ways(tenants, ANNS)[way]
    assert (await asked(proxy, request, NOBODY)).status == 401
    assert (await asked(proxy, request, BOB)).status == 403
    for _ in range(3):
        assert (await asked(proxy, request, ANN)).status in {200, 206, 304}
    await proxy.settled()
    for entry in tenants.ledger:
        assert entry.repository != ANNS or entry.headers.get("authorization", "") in {"", ANN, BOB}


async def test_n16_03_a_restart_opens_nothing(tmp_path: Path, tenants: Tenants) -> None:
    async with proven(tmp_path, tenants) as proxy:
        for way in ways(tenants, ANNS).values():
            assert (await asked(proxy, way, ANN)).status in {200, 206, 304}
        await proxy.settled()
    async with proven(tmp_path, tenants) as proxy:
        assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
        assert await pull(proxy, ANNS, ANN) == 200
    await tenants.stop()
    async with proven(tmp_path, tenants) as proxy:
        assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
        assert await pull(proxy, ANNS, ANN) == 503


async def test_n16_03_a_download_in_progress_opens_nothing(proxy: Rig, tenants: Tenants) -> None:
    tenants.misbehave(on("GET", f"{ANNS}/blobs/"), Stall(1000), times=1)
    assert await pull(proxy, ANNS, ANN) == 200
    blob = ways(tenants, ANNS)["blob"]
    running = asyncio.create_task(asked(proxy, blob, ANN))
    await tenants.seen(on("GET", f"{ANNS}/blobs/"))
    assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
    running.cancel()


async def test_n16_03_a_layer_that_two_have_is_each_ones_own(proxy: Rig, tenants: Tenants) -> None:
    """The same digest lies in both repositories: to have brought it is no right to it elsewhere."""
    for who, name in ((ANN, ANNS), (BOB, BOBS)):
        assert (await asked(proxy, ways(tenants, name)["blob"], who)).body == LAYER
    await proxy.settled()
    for who, name in ((ANN, BOBS), (BOB, ANNS)):
        assert (await asked(proxy, ways(tenants, name)["blob"], who)).status == 403


async def test_n16_03_what_is_public_costs_no_challenge(proxy: Rig, tenants: Tenants) -> None:
    for who in (NOBODY, NOBODY, ANN, BOB, WRONG):
        for way in ways(tenants, PUBLIC).values():
            assert (await asked(proxy, way, who)).status in {200, 206, 304}, (way, who)
    await proxy.settled()
    assert tenants.asked(name=PUBLIC) == tenants.asked(user="", name=PUBLIC), "no credential was shown for it"
    answer = await proxy.ask("/v2/")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


async def test_n16_03_our_own_credentials_are_used_for_nobody(tmp_path: Path, tenants: Tenants) -> None:
    tenants.owners[ANNS].add("ours")
    async with proven(tmp_path, tenants, credentials={"username": "ours", "password": "canary of ours"}) as proxy:
        assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
        for way in ways(tenants, ANNS).values():
            assert (await asked(proxy, way, ANN)).status in {200, 206, 304}
        await proxy.settled()
    assert tenants.asked(user="ours") == 0


async def test_n16_03_one_proof_for_a_mass_restart(proxy: Rig, tenants: Tenants) -> None:
    requests = [asked(proxy, ways(tenants, ANNS)[way], ANN) for way in ("tag", "digest", "tag", "tag by HEAD") for _ in range(50)]
    answers = await asyncio.gather(*requests)
    assert {answer.status for answer in answers} == {200}
    before = tenants.asked("HEAD", "ann", ANNS)
    assert before <= 4  # one for each thing that is asked for at the same time
    for way in ways(tenants, ANNS).values():
        await asked(proxy, way, ANN)
    await proxy.settled()
    assert tenants.asked("HEAD", "ann", f"{ANNS}/manifests") == before, "and none for what comes after it"


async def test_n16_03_many_right_credentials_are_each_proven_once(proxy: Rig, tenants: Tenants) -> None:
    users = [f"node-{number}" for number in range(100)]
    tenants.owners[ANNS] |= set(users)
    assert await pull(proxy, ANNS, ANN) == 200
    await proxy.settled()  # what is not kept yet is fetched by who asks meanwhile
    for _ in range(2):
        answers = await asyncio.gather(*(pull(proxy, ANNS, basic(user)) for user in users))
        assert set(answers) == {200}
    assert all(tenants.asked("HEAD", user) == 1 for user in users)
    assert tenants.asked("HEAD", "") == 1, "and whether it is public was asked once"
    assert sum(entry.method == "GET" and entry.status == 200 for entry in tenants.ledger) == 1


async def test_n16_03_a_wrong_password_is_sent_once(proxy: Rig, tenants: Tenants, clock: Clock) -> None:
    shown: list[int] = []
    for _ in range(10):
        assert await pull(proxy, ANNS, WRONG) == 401
        clock.now += 20
        shown.append(sum(entry.headers.get("authorization") == WRONG for entry in tenants.ledger))
    assert shown[0] == shown[-1] <= 3
    assert await pull(proxy, ANNS, ANN) == 200


async def test_n16_03_a_refusal_ends_a_proof_at_once(proxy: Rig, tenants: Tenants) -> None:
    """Upstream says no to anything that is asked for with a credential: nothing more is served to it, from memory or from the store."""
    tenants.owners[ANNS].add("bob")
    for _ in range(3):
        assert (await pull(proxy, ANNS, ANN), await pull(proxy, ANNS, BOB)) == (200, 200)
    tenants.owners[ANNS].remove("ann")
    answer = await proxy.ask(f"/v2/{ANNS}/blobs/sha256:{'0' * 64}", Authorization=ANN)
    assert answer.status == 403
    for way in ways(tenants, ANNS).values():
        assert (await asked(proxy, way, ANN)).status == 403
        assert (await asked(proxy, way, BOB)).status in {200, 206, 304}
    tenants.owners[ANNS].add("ann")


async def test_n16_03_a_proof_has_its_time(proxy: Rig, tenants: Tenants, clock: Clock) -> None:
    assert await pull(proxy, ANNS, ANN) == 200
    tenants.owners[ANNS].clear()
    clock.now += 590
    assert await pull(proxy, ANNS, ANN) == 200
    clock.now += 20
    assert await pull(proxy, ANNS, ANN) == 403
    tenants.owners[ANNS].add("ann")
    clock.now += 20
    assert await pull(proxy, ANNS, ANN) == 200, "access that is given again counts"


async def test_n16_03_a_proof_stands_in_for_an_upstream_that_is_away(proxy: Rig, tenants: Tenants, clock: Clock) -> None:
    assert await pull(proxy, ANNS, ANN) == 200
    await tenants.stop()
    clock.now += 1800
    assert await pull(proxy, ANNS, ANN) == 200
    answer = await proxy.ask(f"/v2/{ANNS}/manifests/1", Authorization=BOB)
    assert answer.status == 503
    assert b"cannot tell now whether you may pull" in answer.body
    clock.now += 3600
    assert await pull(proxy, ANNS, ANN) == 503
    await tenants.start()
    assert await pull(proxy, ANNS, ANN) == 200


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_n16_03_an_outage_is_no_refusal(proxy: Rig, tenants: Tenants, clock: Clock, status: int) -> None:
    assert await pull(proxy, PUBLIC, NOBODY) == 200
    clock.now += 7 * 3600 - 3600
    tenants.misbehave("/manifests/", Status(status), even_unauthorized=True)
    assert await pull(proxy, PUBLIC, NOBODY) == 200
    assert await pull(proxy, ANNS, ANN) == 503
    assert await pull(proxy, ANNS, NOBODY) == 503, "never 401 for an outage"


async def test_n16_03_anothers_missing_tag_is_nobody_elses(proxy: Rig, tenants: Tenants) -> None:
    """What upstream hides from one client it may give to another a moment later."""
    tenants.hides = True
    for _ in range(2):
        assert await pull(proxy, ANNS, BOB) == 404
        assert await pull(proxy, ANNS, ANN) == 200


async def test_n16_03_a_token_of_ours_carries_the_credential(proxy: Rig) -> None:
    anonymous, anns, bobs = [
        f"Bearer {json.loads((await asked(proxy, ('GET', '/token', {}), who)).body)['token']}" for who in (NOBODY, ANN, BOB)
    ]
    assert await pull(proxy, PUBLIC, anonymous) == 200
    for _ in range(2):
        assert (await pull(proxy, ANNS, anonymous), await pull(proxy, ANNS, bobs), await pull(proxy, ANNS, anns)) == (401, 403, 200)


async def test_n16_03_a_login_with_a_wrong_password_fails(proxy: Rig, tenants: Tenants) -> None:
    for _ in range(3):
        assert (await asked(proxy, ("GET", "/token", {}), WRONG)).status == 401
        assert (await asked(proxy, ("GET", "/token", {}), ANN)).status == 200
    assert sum(entry.headers.get("authorization") == WRONG for entry in tenants.ledger) == 1
    await tenants.stop()
    assert (await asked(proxy, ("GET", "/token", {}), BOB)).status == 200, "an outage is no refusal"


async def test_n16_03_vain_questions_of_one_address_are_bounded(tmp_path: Path, tenants: Tenants) -> None:
    upstream = {"hosts": [{"url": tenants.url}], "access": "proven"}
    limit = {"per_second": 0.001, "burst": 10}
    async with rig(tmp_path / "store", {"docker.io": upstream}, timeouts=PATIENT, not_found_limit=limit) as proxy:
        assert await pull(proxy, ANNS, ANN) == 200
        answers = [await pull(proxy, f"made-up/{number}", ANN) for number in range(30)]
        assert answers[-1] == 503
        assert tenants.asked(name="made-up") <= 22
        assert await pull(proxy, ANNS, ANN) == 200, "what is proven goes on"


async def test_n16_03_none_closes_a_registry(tmp_path: Path, tenants: Tenants) -> None:
    async with proven(tmp_path, tenants, access="none") as proxy:
        assert (await pull(proxy, PUBLIC, NOBODY), await pull(proxy, ANNS, ANN)) == (403, 403)
    assert tenants.ledger == []


async def test_n16_03_an_answer_from_before_an_end_is_not_believed_after_it() -> None:
    """Upstream lets a client have something, and refuses it something else meanwhile: what it said first does not undo the end."""
    generation, gate, begun = [0], asyncio.Event(), asyncio.Event()

    def end_generation() -> None:
        generation[0] += 1

    async def ask() -> None:
        begun.set()
        await gate.wait()

    clock, upstream, repository = Clock(), Upstream("docker.io", ()), Repository("docker.io", ANNS)
    tokens, fleet = AccessTokens("0123456789abcdef" * 2, clock), SharedFleet(NullFleet())
    proofs = Proofs(lambda _: upstream, fleet, tokens, lambda: generation[0], end_generation, Rate(1, 10), {}, clock)
    credential = Credential("ann", Secret("canary"))
    what = Wanted(repository, "manifest 1", ask)
    proving = asyncio.create_task(proofs.prove(None, what, LOOPBACK))
    await begun.wait()
    for who in (Asker(None), Asker(credential)):
        asker.set(who)
        await proofs.refused(repository, Refused("no"))
    gate.set()
    assert (await proving).until == 0.0
    assert (await proofs.prove(None, what, LOOPBACK)).until > clock.now, "it was asked anew"
    await proofs.close()


async def test_n16_03_a_node_shows_its_cluster_what_its_clients_show(tmp_path: Path, tenants: Tenants) -> None:
    """Two caches in a row, each of which proves: neither opens anything by what it has, nor by its own name."""
    of_cluster = {"hosts": [{"url": tenants.url}], "access": "proven", "tags": [{"fresh_for": "1h"}]}
    async with rig(tmp_path / "cluster", {"docker.io": of_cluster}, Clock(), timeouts=PATIENT) as cluster:
        hosts = [{"url": f"http://{LOOPBACK}:{cluster.port}", "kind": "cache", "forward_credentials": True}]
        upstream = {"hosts": hosts, "access": "proven", "tags": [{"fresh_for": "1h"}]}
        async with rig(tmp_path / "node", {"docker.io": upstream}, Clock(), timeouts=PATIENT) as node:
            for proxy in (node, cluster):
                assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
            for way in ways(tenants, ANNS).values():
                for _ in range(2):
                    assert (await asked(node, way, ANN)).status in {200, 206, 304}, way
            assert await pull(node, PUBLIC, NOBODY) == 200
            for proxy in (node, cluster):
                assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
            tenants.owners[ANNS].clear()
            assert (await node.ask(f"/v2/{ANNS}/blobs/sha256:{'0' * 64}", Authorization=ANN)).status in {401, 403}
            assert await leaks(node, tenants, ANNS, {**STRANGERS, "ann, no longer": ANN}) == []
            await node.settled()
            await cluster.settled()


async def test_n16_03_a_refusal_ends_a_proof_at_other_replicas_too(tmp_path: Path, tenants: Tenants) -> None:
    """Through Redis, while the time of the proof stands still."""
    server = RedisServer(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        redis = {"url": server.url, "key": "canary-key-1f0123456789abcdef0123456789abcdef", "timeout": "60s"}
        async with AsyncExitStack() as stack:
            upstream = {"hosts": [{"url": tenants.url}], "access": "proven", "tags": [{"fresh_for": "1h"}]}
            settings = {"redis": redis, "token_key": "canary-key-2f0123456789abcdef0123456789abcdef"}
            one, other = [
                await stack.enter_async_context(rig(tmp_path / name, {"docker.io": upstream}, Clock(), timeouts=PATIENT, **settings))
                for name in ("one", "other")
            ]
            for proxy in (one, other, one, other):
                assert await pull(proxy, ANNS, ANN) == 200
            tenants.owners[ANNS].clear()
            assert await pull(other, ANNS, ANN) == 200
            assert (await one.ask(f"/v2/{ANNS}/blobs/sha256:{'0' * 64}", Authorization=ANN)).status in {401, 403}
            async with asyncio.timeout(300):
                while await pull(other, ANNS, ANN) == 200:  # noqa: ASYNC110  a replica tells nobody
                    await asyncio.sleep(0.1)
            assert await leaks(other, tenants, ANNS, {**STRANGERS, "ann, no longer": ANN}) == []
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"manifests/sha256-{'0' * 64}.sig", "MANIFEST_UNKNOWN"),
        (f"manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        (f"blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
    ],
)
async def test_n16_03_what_is_missing_is_not_the_repository(tmp_path: Path, tenants: Tenants, path: str, code: str) -> None:
    """A signature that nobody made, asked for first of all: a cache in front would end what it knows where the repository were."""
    of_cluster = {"hosts": [{"url": tenants.url}], "access": "proven"}
    async with rig(tmp_path / "cluster", {"docker.io": of_cluster}, Clock(), timeouts=PATIENT) as cluster:
        hosts = [{"url": f"http://{LOOPBACK}:{cluster.port}", "kind": "cache", "forward_credentials": True}]
        async with rig(tmp_path / "node", {"docker.io": {"hosts": hosts, "access": "proven"}}, Clock(), timeouts=PATIENT) as node:
            for proxy in (node, cluster):
                answer = await proxy.ask(f"/v2/{ANNS}/{path}", Authorization=ANN)
                assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, code)
            for way in ways(tenants, ANNS).values():
                assert (await asked(node, way, ANN)).status in {200, 206, 304}, way
            await node.settled()
            await cluster.settled()


async def test_n16_03_a_client_that_is_vouched_for_proves_nothing_for_others(tmp_path: Path, tenants: Tenants) -> None:
    """One whose `allow` names a repository is served with our credentials, as podman has to be; all others show their own."""
    tenants.owners[ANNS].add("ours")
    listed = tmp_path / "tokens.yaml"
    listed.write_text('ci: {token: canary-0123456789abcdef, allow: ["docker.io/ann/*"]}')
    credentials = {"username": "ours", "password": "canary of ours"}
    upstream = {"hosts": [{"url": tenants.url}], "access": "proven", "credentials": credentials}
    clients = {"tokens": str(listed), "anonymous": True}
    async with rig(tmp_path / "store", {"docker.io": upstream}, Clock(), timeouts=PATIENT, clients=clients) as proxy:
        ci = basic("ci", "canary-0123456789abcdef")
        assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
        for way in ways(tenants, ANNS).values():
            for _ in range(2):
                assert (await asked(proxy, way, ci)).status in {200, 206, 304}, way
        assert (await pull(proxy, BOBS, ci), await pull(proxy, PUBLIC, ci)) == (403, 403)
        assert await leaks(proxy, tenants, ANNS, STRANGERS) == []
        assert await pull(proxy, ANNS, ANN) == 200
        await proxy.settled()


async def test_n16_03_what_an_operator_may_not_have_stays_open_to_who_may(tenants: Tenants, tmp_path: Path) -> None:
    """Our own credential opens another repository: neither a warm-up nor a refresh closes this one to its owner."""
    path, image = f"/v2/{ANNS}/manifests/1", f"docker.io/{ANNS}:1"
    own = {"username": "bob", "password": "canary of bob"}
    async with proven(tmp_path, tenants, hosts=[{"url": tenants.url, "credentials": own}]) as proxy:
        assert (await proxy.ask(path, Authorization=ANN)).status == 200
        assert (await proxy.admin("refresh", "POST", {"image": image}))[0] == 403
        _, job = await proxy.admin("warm", "POST", {"images": [image]})
        async with asyncio.timeout(60):
            while (await proxy.admin(f"warm/{job['id']}"))[1]["state"] != "failed":  # noqa: ASYNC110  the admin API tells nobody
                await asyncio.sleep(0.02)
        digest = (await proxy.ask(path, Authorization=ANN)).headers["Docker-Content-Digest"]
        for way in (path, f"/v2/{ANNS}/manifests/{digest}", f"/v2/{ANNS}/blobs/{Digest.of(LAYER)}"):
            assert (await proxy.ask(way, Authorization=ANN)).status == 200
            assert (await proxy.ask(way, Authorization=BOB)).status == 403


async def test_n18_22_whose_search_for_a_signature_is_refused_refuses_nobody_else(tmp_path: Path, tenants: Tenants) -> None:
    """Upstream lets both have the image, and only one of them its signatures."""
    tenants.owners[ANNS] |= {"bob"}
    signer = Signer()
    require = [{"keys": [str(key_file(tmp_path, signer))]}]
    sign_by_bundle(tenants, tenants.repositories[ANNS].tags["1"], signer, name=ANNS)

    def is_hers(entry: Entry) -> bool:
        return entry.headers.get("authorization") == ANN and (entry.kind == "referrers" or ".sig" in entry.path)

    tenants.misbehave(is_hers, Status(403))
    async with proven(tmp_path, tenants, require=require) as proxy:
        assert [await pull(proxy, ANNS, who) for who in (ANN, BOB, BOB)] == [403, 200, 200]
    (tmp_path / "again").mkdir()
    async with proven(tmp_path / "again", tenants, require=require) as proxy:
        hers, his = await asyncio.gather(pull(proxy, ANNS, ANN), pull(proxy, ANNS, BOB))
        assert (hers in {200, 403}, his) == (True, 200), "what was found for him holds for her"
