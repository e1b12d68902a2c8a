"""Clients say who they are: those who may are served, whatever way they take, and nobody else is."""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bcrypt
import pytest
import yaml

from regproxy.clients.issuer_keys import IssuerKeys
from regproxy.config.clients import JwtEntry
from regproxy.ports import UpstreamError
from tests.fakes.authority import Authority
from tests.fakes.issuer import Issuer
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Answer, Rig, raw, rig

NAME = "library/app"
PASSWORD, TOKEN = "canary pass:word", "canary-token-of-the-ci-0123456789"
PING = "/v2/"
MANIFEST = f"/v2/{NAME}/manifests/1"
OTHER = "/v2/team/app/manifests/1"
LIBRARY = ["docker.io/library/*"]


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


ANN = basic("ann", PASSWORD)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        for name in (NAME, "team/app"):
            registry.add_image(name, "1", [b"layer"])
        yield registry


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    users, tokens = tmp_path / "htpasswd", tmp_path / "tokens.yaml"
    users.write_text(f"ann:{hashed(PASSWORD)}\nbob:{hashed(PASSWORD)}\n")
    tokens.write_text(yaml.safe_dump({"ci": {"token": TOKEN, "allow": LIBRARY}}))
    return {"htpasswd": str(users), "tokens": str(tokens), "htpasswd_allow": {"bob": LIBRARY}}


@asynccontextmanager
async def guarded(tmp_path: Path, upstream: FakeRegistry, clients: Mapping[str, object], **more: object) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, clients=clients, **more) as proxy:
        yield proxy


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry, files: dict[str, Any], issuer: Issuer) -> AsyncIterator[Rig]:
    jwt = {"issuer": issuer.url, "audience": "regproxy", "subjects": ["system:serviceaccount:ci:*"], "allow": LIBRARY}
    async with guarded(tmp_path, upstream, {**files, "jwt": jwt}) as running:
        yield running


def write(path: Path, text: str | None) -> None:
    """Replace a file at once, or remove it."""
    if text is None:
        path.unlink()
        return
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def replace_user(path: Path, user: str, password: str) -> None:
    others = [line for line in path.read_text().splitlines() if not line.startswith(f"{user}:")]
    write(path, "\n".join([f"{user}:{hashed(password)}", *others]))


async def until(ask: Callable[[], Any], status: int) -> Answer:
    """Ask until a change of a file has been seen."""
    async with asyncio.timeout(300):
        while True:
            answer: Answer = await ask()
            if answer.status == status:
                return answer
            await asyncio.sleep(0.05)


async def token(proxy: Rig, authorization: str | None = None, **form: str) -> str:
    headers = {"Authorization": authorization} if authorization else {}
    if not form:
        answer = await proxy.ask("/token?service=regproxy&account=ann", **headers)
    else:
        answer = await posted(proxy, form)
    assert answer.status == 200, answer
    document = json.loads(answer.body)
    assert document["token"] == document["access_token"]
    assert 0 < document["expires_in"] <= 600
    return f"Bearer {document['token']}"


async def posted(proxy: Rig, form: Mapping[str, str], kind: str = "application/x-www-form-urlencoded") -> Answer:
    url = f"http://{LOOPBACK}:{proxy.port}/token"
    async with proxy.session.post(url, data=urlencode(form), headers={"Content-Type": kind}) as response:
        return Answer(response.status, response.headers.copy(), await response.read())


def refused(answer: Answer, status: int = 401) -> str:
    """Return what an error in OCI form says."""
    assert answer.status == status, answer
    [error] = json.loads(answer.body)["errors"]
    assert error["code"] == {401: "UNAUTHORIZED", 403: "DENIED"}.get(status, error["code"])
    return str(error["message"])


async def test_n16_01_who_says_nothing_is_challenged_everywhere(proxy: Rig) -> None:
    blob = f"/v2/{NAME}/blobs/sha256:{'a' * 64}"
    for path in (PING, MANIFEST, blob, f"/v2/{NAME}/tags/list", f"/v2/{NAME}/referrers/sha256:{'a' * 64}"):
        for method in ("GET", "HEAD"):
            answer = await proxy.ask(path, method)
            assert answer.status == 401
            challenge = answer.headers["WWW-Authenticate"]
            assert challenge.startswith(f'Bearer realm="http://{LOOPBACK}:{proxy.port}/token",service="regproxy"')
            assert (f'scope="repository:{NAME}:pull"' in challenge) == (path != PING)


async def test_n16_01_every_way_to_be_somebody_is_taken(proxy: Rig, issuer: Issuer) -> None:
    jwt = issuer.token()
    ways = [ANN, basic("ci", TOKEN), f"Bearer {TOKEN}", f"Bearer {jwt}", basic("any", jwt)]
    ways += [await token(proxy, way) for way in ways]
    ways.append(await token(proxy, grant_type="password", username="ann", password=PASSWORD, service="regproxy"))
    for way in ways:
        for path in (PING, MANIFEST, MANIFEST):
            assert (await proxy.ask(path, Authorization=way)).status == 200, way[:20]


async def test_n16_01_a_list_bounds_what_a_client_may_pull(proxy: Rig, issuer: Issuer) -> None:
    assert (await proxy.ask(OTHER, Authorization=ANN)).status == 200
    for way in (basic("bob", PASSWORD), basic("ci", TOKEN), f"Bearer {issuer.token()}"):
        for authorization in (way, await token(proxy, way)):
            assert (await proxy.ask(MANIFEST, Authorization=authorization)).status == 200
            for path in (OTHER, "/v2/team/app/tags/list", "/v2/docker.io/team/app/manifests/1"):
                assert "may not pull docker.io/team/app" in refused(await proxy.ask(path, Authorization=authorization), 403)


async def test_n16_01_wrong_ones_are_refused(proxy: Rig) -> None:
    wrong = [
        basic("ann", "wrong"),
        basic("nobody", PASSWORD),
        basic("ci", "wrong"),
        basic("ann", "x" * 100),
        "Bearer wrong",
        "Bearer rp.AAAA",
    ]
    for authorization in wrong:
        for path in (PING, MANIFEST):
            answer = await proxy.ask(path, Authorization=authorization)
            refused(answer)
            assert "WWW-Authenticate" in answer.headers
        refused(await proxy.ask("/token", Authorization=authorization))
    refused(await proxy.ask("/token"))
    refused(await posted(proxy, {"grant_type": "password", "username": "ann", "password": "wrong"}))
    refused(await posted(proxy, {"grant_type": "refresh_token", "refresh_token": "wrong"}))


async def test_n16_01_a_repeated_request_needs_the_same_credential(proxy: Rig) -> None:
    """The answer in memory is found by all of the request, `Authorization` included."""
    for _ in range(3):
        assert (await proxy.ask(MANIFEST, Authorization=ANN)).status == 200
    for _ in range(3):
        assert (await proxy.ask(MANIFEST, Authorization=basic("ann", "wrong"))).status == 401
        assert (await proxy.ask(MANIFEST)).status == 401


async def test_n16_01_a_changed_file_counts_at_once(proxy: Rig, files: dict[str, Any]) -> None:
    ours = await token(proxy, ANN)
    bobs, cis = basic("bob", PASSWORD), await token(proxy, basic("ci", TOKEN))
    for way in (ANN, ours, bobs, cis):
        for _ in range(2):
            assert (await proxy.ask(MANIFEST, Authorization=way)).status == 200
    replace_user(Path(files["htpasswd"]), "ann", "another one")
    await until(lambda: proxy.ask(MANIFEST, Authorization=ANN), 401)
    assert "invalid_token" in (await proxy.ask(MANIFEST, Authorization=ours)).headers["WWW-Authenticate"]
    assert (await proxy.ask(MANIFEST, Authorization=basic("ann", "another one"))).status == 200
    for way in (bobs, cis):
        assert (await proxy.ask(MANIFEST, Authorization=way)).status == 200
    write(Path(files["tokens"]), "{}")
    await until(lambda: proxy.ask(MANIFEST, Authorization=cis), 401)
    assert (await proxy.ask(MANIFEST, Authorization=bobs)).status == 200


async def test_n16_01_a_file_that_is_gone_or_broken_leaves_what_was_known(proxy: Rig, files: dict[str, Any]) -> None:
    write(Path(files["htpasswd"]), None)
    write(Path(files["tokens"]), "canary: [")
    authenticator = proxy.proxy.handlers.entrance.authenticator
    assert authenticator is not None
    await authenticator.refresh()
    for way in (ANN, basic("ci", TOKEN)):
        assert (await proxy.ask(MANIFEST, Authorization=way)).status == 200


async def test_n16_01_anonymous_clients_are_let_in_where_that_is_said(
    tmp_path: Path, upstream: FakeRegistry, files: dict[str, Any]
) -> None:
    async with guarded(tmp_path, upstream, {**files, "anonymous": True}) as proxy:
        assert (await proxy.ask(PING)).status == 401  # or podman would never log in
        for way in (await token(proxy), await token(proxy, basic("", "")), basic("", "")):
            assert (await proxy.ask(PING, Authorization=way)).status == 200
        assert (await proxy.ask(OTHER)).status == 200
        assert (await proxy.ask(OTHER, Authorization=basic("bob", PASSWORD))).status == 403
        refused(await proxy.ask(OTHER, Authorization=basic("ann", "wrong")))


async def test_n16_01_certificates_are_somebody(tmp_path: Path, upstream: FakeRegistry) -> None:
    authority = Authority(tmp_path)
    server, node, other = (authority.issue(name) for name in ("server", "node-1", "other"))
    tls = {"certificate": str(server.certificate), "key": str(server.key), "client_ca": str(authority.ca)}
    clients = {"certificates": [{"match": "node-*", "allow": LIBRARY}]}
    async with guarded(tmp_path, upstream, clients, tls=tls) as proxy:
        for pair, path, status in [
            (node, PING, 200),
            (node, MANIFEST, 200),
            (node, MANIFEST, 200),
            (node, OTHER, 403),
            (other, MANIFEST, 401),
        ]:
            proxy.tls = ssl.create_default_context(cafile=authority.ca)
            proxy.tls.load_cert_chain(pair.certificate, pair.key)
            assert (await proxy.ask(path)).status == status, (pair, path)


async def test_n16_01_the_catalog_shows_what_a_client_may_pull(tmp_path: Path, upstream: FakeRegistry, files: dict[str, Any]) -> None:
    async with guarded(tmp_path, upstream, files, catalog=True) as proxy:
        for path in (MANIFEST, OTHER):
            assert (await proxy.ask(path, Authorization=ANN)).status == 200
        listed = {way: json.loads((await proxy.ask("/v2/_catalog", Authorization=way)).body) for way in (ANN, basic("bob", PASSWORD))}
        assert [each["repositories"] for each in listed.values()] == [[NAME, "team/app"], [NAME]]
        assert (await proxy.ask("/v2/_catalog")).status == 401


async def test_n16_02_wrong_passwords_in_a_loop_are_bounded_work(proxy: Rig) -> None:
    """From one address: after some of them it waits, and those who have the right one already do not."""
    assert (await proxy.ask(PING, Authorization=ANN)).status == 200
    answers = await asyncio.gather(*(proxy.ask(PING, Authorization=basic("ann", f"wrong {number}")) for number in range(60)))
    assert {answer.status for answer in answers} == {401, 503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status == 503)
    authenticator = proxy.proxy.handlers.entrance.authenticator
    assert authenticator is not None
    assert authenticator._passwords.compared <= 21
    for _ in range(2):
        assert (await proxy.ask(PING, Authorization=basic("ann", "wrong 0"))).status == 401
    assert (await proxy.ask(PING, Authorization=ANN)).status == 200
    assert (await proxy.ask(PING, Authorization=basic("ci", TOKEN))).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic \u00e9",
        "Digest x",
        "Bearer",
        "Bearer " + "x" * 9000,
        "Basic " + "eDp4" * 3000,
        "\x7f",
        "Bearer eyJ.e30.",
        "Bearer eyJ..x",
    ],
)
async def test_n16_02_a_header_that_cannot_be_read_is_a_401(proxy: Rig, value: str) -> None:
    lines = [b"GET /v2/ HTTP/1.1", b"Host: x", b"Authorization: " + value.encode("latin-1"), b"Connection: close", b"", b""]
    answer = await raw(proxy.port, b"\r\n".join(lines))
    assert answer.received.split()[1] in {b"401", b"400"}  # 400: it is no HTTP
    assert b'"errors"' in answer.received
    assert (b"x" * 100) not in answer.received


def unsigned(claims: Mapping[str, object], algorithm: str) -> str:
    parts = [json.dumps({"alg": algorithm, "kid": "key-1"}), json.dumps(claims), "signature" if algorithm != "none" else ""]
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)


BAD_JWTS: list[tuple[str, dict[str, object]]] = [
    ("over", {"exp": 1_000_000}),
    ("not come", {"nbf": 4_000_000_000}),
    ("audience", {"aud": "another"}),
    ("aud", {"aud": None}),
    ("exp", {"exp": None}),
    ("issuer", {"iss": "https://issuer.example"}),
    ("issuer", {"iss": ["a", "list"]}),
    ("subject", {"sub": None}),
    ("subjects", {"sub": "system:serviceaccount:other:default"}),
    ("subject", {"sub": "x" * 1000}),
]


@pytest.mark.parametrize(("why", "claims"), BAD_JWTS)
async def test_n16_02_a_jwt_that_does_not_count_is_a_401_that_says_why(
    proxy: Rig, issuer: Issuer, why: str, claims: dict[str, Any]
) -> None:
    bad = issuer.token(**{"subject" if name == "sub" else name: value for name, value in claims.items()})
    for authorization in (f"Bearer {bad}", basic("any", bad)):
        assert why in refused(await proxy.ask(MANIFEST, Authorization=authorization))
    assert (await proxy.ask(MANIFEST, Authorization=f"Bearer {issuer.token()}")).status == 200


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256"])
async def test_n16_02_a_jwt_is_signed_by_the_issuer(proxy: Rig, issuer: Issuer, algorithm: str) -> None:
    forged = unsigned({"iss": issuer.url, "aud": "regproxy", "sub": "system:serviceaccount:ci:x", "exp": 4_000_000_000}, algorithm)
    refused(await proxy.ask(MANIFEST, Authorization=f"Bearer {forged}"))


async def test_n16_02_a_rotated_key_is_found_and_an_unknown_one_not_sought_for_ever(proxy: Rig, issuer: Issuer) -> None:
    old = issuer.token()
    assert (await proxy.ask(MANIFEST, Authorization=f"Bearer {old}")).status == 200
    asked = len(issuer.ledger)
    issuer.rotate()
    unknown = [await proxy.ask(PING, Authorization=f"Bearer {issuer.token(jti=number)}") for number in range(5)]
    assert {answer.status for answer in unknown} == {401}  # the keys were fetched a moment ago
    assert len(issuer.ledger) == asked


async def test_n16_02_keys_outlive_an_outage_and_new_ones_are_found(issuer: Issuer) -> None:
    now = [0.0]
    keys = IssuerKeys(JwtEntry(issuer=issuer.url, audience="regproxy"), lambda: now[0])
    try:
        assert await keys.find("key-1") is not None
        issuer.rotate()
        now[0] += 60
        assert await keys.find("key-2") is not None
        assert await keys.find("key-1") is None
        await issuer.stop()
        now[0] += 20 * 3600
        assert await keys.find("key-2") is not None
        now[0] += 5 * 3600
        with pytest.raises(UpstreamError):
            await keys.find("key-2")
    finally:
        await keys.close()


async def test_n16_02_an_issuer_out_of_reach_is_a_503_that_says_so(proxy: Rig, issuer: Issuer) -> None:
    good = issuer.token()
    await issuer.stop()
    for _ in range(2):
        answer = await proxy.ask(PING, Authorization=f"Bearer {good}")
        assert "keys" in refused(answer, 503)
        assert answer.headers["Retry-After"]
    assert (await proxy.ask(PING, Authorization=ANN)).status == 200


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/keys", "https://169.254.169.254/keys", "file:///etc/passwd", "https://10.1.2.3/keys"]
)
async def test_n16_02_keys_are_fetched_only_where_an_upstream_might_send_us(proxy: Rig, issuer: Issuer, location: str) -> None:
    issuer.location = location
    refused(await proxy.ask(PING, Authorization=f"Bearer {issuer.token()}"), 503)


async def test_n16_02_an_issuer_that_is_another_is_not_believed(proxy: Rig, issuer: Issuer) -> None:
    issuer.name = "https://issuer.example"
    assert "another issuer" in refused(await proxy.ask(PING, Authorization=f"Bearer {issuer.token()}"), 503)


async def test_n16_02_a_form_that_is_none_is_an_error_without_what_it_holds(proxy: Rig) -> None:
    assert (await posted(proxy, {"grant_type": "password", "password": "canary"}, "application/json")).status == 415
    assert (await posted(proxy, {"grant_type": "password", "password": "canary" * 4000})).status == 413
    assert (await posted(proxy, {"grant_type": "canary"})).status == 400
    assert (await proxy.ask("/token", "DELETE")).status == 405


async def test_n16_02_a_token_of_another_key_or_made_up_is_none(tmp_path: Path, upstream: FakeRegistry, files: dict[str, Any]) -> None:
    key, other = os.urandom(32).hex(), os.urandom(32).hex()
    async with guarded(tmp_path, upstream, files, token_key=key) as proxy:
        issued = await token(proxy, ANN)
        await proxy.settled()
    async with guarded(tmp_path, upstream, files, token_key=f"{other},{key}") as proxy:
        assert (await proxy.ask(PING, Authorization=issued)).status == 200  # it is being rotated out
        assert (await proxy.ask(PING, Authorization=issued[:-2] + "AA")).status == 401
        await proxy.settled()
    async with guarded(tmp_path, upstream, files, token_key=other) as proxy:
        assert (await proxy.ask(PING, Authorization=issued)).status == 401


async def test_n16_01_the_realm_is_what_the_configuration_says(tmp_path: Path, upstream: FakeRegistry, files: dict[str, Any]) -> None:
    async with guarded(tmp_path, upstream, files, public_url="https://cache.example") as proxy:
        assert 'realm="https://cache.example/token"' in (await proxy.ask(PING)).headers["WWW-Authenticate"]


async def test_n16_06_files_and_keys_change_under_load(proxy: Rig, files: dict[str, Any], issuer: Issuer) -> None:
    """Who may all along is served all along; who may no longer is never served again once the change has counted."""
    replaced: list[str] = []
    is_over = asyncio.Event()

    async def pulling(who: str) -> list[int]:
        found = []
        while not is_over.is_set():
            found.append((await proxy.ask(MANIFEST, Authorization=who)).status)
        return found

    constant = [basic("ann", PASSWORD), basic("keeper", TOKEN + "-kept"), await token(proxy, basic("ann", PASSWORD))]
    tokens = {"ci": {"token": TOKEN, "allow": LIBRARY}, "keeper": {"token": TOKEN + "-kept", "allow": LIBRARY}}
    write(Path(files["tokens"]), yaml.safe_dump(tokens))
    await until(lambda: proxy.ask(MANIFEST, Authorization=constant[1]), 200)
    load = [asyncio.create_task(pulling(who)) for who in constant for _ in range(3)]
    signed = f"Bearer {issuer.token()}"
    assert (await proxy.ask(MANIFEST, Authorization=signed)).status == 200
    jwts = [asyncio.create_task(pulling(signed)) for _ in range(2)]
    issuer.rotate()  # what was signed before counts on until it is found out, and never fails while its key is known
    old = {"bob": basic("bob", PASSWORD), "ci": basic("ci", TOKEN)}
    for number in range(3):
        replace_user(Path(files["htpasswd"]), "bob", f"another {number}")
        write(Path(files["tokens"]), yaml.safe_dump({**tokens, "ci": {"token": f"{TOKEN}-{number}", "allow": LIBRARY}}))
        for who in old.values():
            await until(partial(proxy.ask, MANIFEST, Authorization=who), 401)
        replaced += old.values()
        old = {"bob": basic("bob", f"another {number}"), "ci": basic("ci", f"{TOKEN}-{number}")}
        assert {(await proxy.ask(MANIFEST, Authorization=who)).status for who in old.values()} == {200}
        assert {(await proxy.ask(MANIFEST, Authorization=who)).status for who in replaced} == {401}
    is_over.set()
    for found in await asyncio.gather(*load, *jwts):
        assert found
        assert set(found) == {200}
