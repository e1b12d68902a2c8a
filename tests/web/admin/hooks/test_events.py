"""`POST /hooks/SOURCE`: the right sender has a known tag looked at, at a limited rate; replays, forgeries and unknown names do nothing."""

import asyncio
import hmac
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from regproxy.policy.hooks.event import MAX_BODY_BYTES
from regproxy.policy.hooks.sources import Source
from tests.fakes.deeds import Headers, Status
from tests.fakes.registry import FakeRegistry
from tests.policy.hooks.recorded import DIGEST, RECORDED, Recorded, harbor, notification, target
from tests.rig import LOOPBACK, Rig, rig
from tests.warming.test_jobs import over, until

SECRET = "canary-of-a-hook-0123456789"
REGISTRY = "registry.example"
NAME = "library/app"
PUSH = harbor("PUSH_ARTIFACT", REGISTRY)
BY_URL = {Source.DOCKERHUB, Source.QUAY, Source.ALIYUN, Source.CLOUDEVENTS}


def shown(source: Source, body: bytes, secret: str = SECRET) -> tuple[str, dict[str, str]]:
    """Return the path and the headers by which a source shows a secret."""
    if source is Source.GITHUB:
        return f"/hooks/{source}", {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"}
    if source in BY_URL:
        return (f"/hooks/{source}/{secret}" if source is Source.DOCKERHUB else f"/hooks/{source}?secret={secret}"), {}
    return f"/hooks/{source}", {"Authorization": secret}


async def post(proxy: Rig, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    url = f"http://{LOOPBACK}:{proxy.admin_port}{path}"
    async with proxy.session.post(url, data=body, headers={"Content-Type": "application/json", **(headers or {})}) as response:
        return response.status, await response.json()


async def sent(proxy: Rig, recorded: Recorded, secret: str = SECRET) -> tuple[int, Any]:
    body = json.dumps(recorded.body).encode()
    path, headers = shown(recorded.source, body, secret)
    return await post(proxy, path, body, {**recorded.headers, **headers})


async def pushed(proxy: Rig, body: object = PUSH) -> tuple[int, Any]:
    return await post(proxy, "/hooks/harbor", json.dumps(body).encode(), {"Authorization": SECRET})


def asked(upstream: FakeRegistry) -> int:
    return upstream.count("GET", "manifests") + upstream.count("HEAD", "manifests")


def settings(upstream: FakeRegistry, **more: object) -> dict[str, Any]:
    return {REGISTRY: {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "7d"}], **more}}


async def digest(proxy: Rig) -> str:
    answer = await proxy.ask(f"/v2/{NAME}/manifests/1?ns={REGISTRY}")
    return answer.headers["Docker-Content-Digest"]


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run one with a hook for each source of events, which knows one tag that stays fresh."""
    hooks = [{"source": each.value, "secret": SECRET, "upstream": REGISTRY} for each in Source if not each.preheats]
    upstream.add_image(NAME, "1", [b"first"])
    async with rig(tmp_path / "store", settings(upstream), hooks=hooks) as running:
        await digest(running)
        yield running


@pytest.fixture
async def harbors(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run one with a hook of Harbor, which takes the registry from the events."""
    upstream.add_image(NAME, "1", [b"first"])
    rules = [{"match": "library/app:never", "policy": "never"}, {"fresh_for": "7d"}]
    upstreams = {
        **settings(upstream, deny=["*:denied"], tags=rules),
        "closed.example": {"hosts": [{"url": upstream.url}], "access": "none"},
    }
    async with rig(tmp_path / "store", upstreams, hooks=[{"source": "harbor", "secret": SECRET}]) as running:
        await digest(running)
        yield running


async def test_n18_10_an_event_of_each_source_has_its_tag_looked_at(proxy: Rig, upstream: FakeRegistry) -> None:
    for number, recorded in enumerate({each.source: each for each in RECORDED.values() if not each.source.preheats}.values()):
        new = upstream.add_image(NAME, "1", [b"%d" % number])
        assert await digest(proxy) != str(new.digest), "it is fresh"
        assert await sent(proxy, recorded) == (202, {"queued": 1})
        await until(partial(is_now, proxy, str(new.digest)))


async def is_now(proxy: Rig, wanted: str) -> bool:
    return await digest(proxy) == wanted


async def test_n18_10_a_replay_changes_nothing_but_a_look(proxy: Rig, upstream: FakeRegistry) -> None:
    before = asked(upstream)
    assert await sent(proxy, RECORDED["harbor"]) == (202, {"queued": 1})
    await until(lambda: has_asked(upstream, before + 1))
    answers = [await sent(proxy, RECORDED["harbor"]) for _ in range(50)]
    assert answers.count((202, {"duplicate": 1})) >= 45
    assert asked(upstream) <= before + 5
    assert await proxy.admin("warm") == (200, {"jobs": [], "schedules": []})


async def has_asked(upstream: FakeRegistry, count: int) -> bool:
    return asked(upstream) >= count


@pytest.mark.parametrize("recorded", {each.source: each for each in RECORDED.values() if not each.source.preheats}.values())
async def test_n18_11_a_forged_event_does_nothing(
    proxy: Rig, upstream: FakeRegistry, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    body, before = json.dumps(recorded.body).encode(), asked(upstream)
    path, headers = shown(recorded.source, body)
    wrong_way = {"X-Hub-Signature-256": SECRET} if recorded.source is not Source.GITHUB else {"Authorization": SECRET}
    for answer in (
        await sent(proxy, recorded, f"{SECRET}x"),
        await post(proxy, f"/hooks/{recorded.source}", body, recorded.headers),
        await post(proxy, f"/hooks/{recorded.source}", body, {**recorded.headers, **wrong_way}),
    ):
        assert (answer[0], list(answer[1])) == (401, ["error"])
    if recorded.source is Source.GITHUB:
        assert (await post(proxy, path, body + b" ", {**recorded.headers, **headers}))[0] == 401
    elif recorded.source not in BY_URL:
        assert (await post(proxy, f"/hooks/{recorded.source}/{SECRET}?secret={SECRET}", body, recorded.headers))[0] == 401
    assert asked(upstream) == before
    assert [each.getMessage() for each in caplog.records].count("hook request refused") == 1, "one line in a while"


async def test_n18_11_bodies_of_unproven_senders_keep_no_other_source_waiting(proxy: Rig) -> None:
    head = f"POST /hooks/github HTTP/1.1\r\nHost: {LOOPBACK}:{proxy.admin_port}\r\nContent-Length: 10\r\n\r\n".encode()
    unfinished = [await asyncio.open_connection(LOOPBACK, proxy.admin_port) for _ in range(40)]
    for _, writer in unfinished:
        writer.write(head)
        await writer.drain()
    answers = [asyncio.create_task(reader.read(1)) for reader, _ in unfinished]
    assert await sent(proxy, RECORDED["harbor"]) == (202, {"queued": 1})
    assert not any(answer.done() for answer in answers), "it did not wait for the end of theirs"
    for _, writer in unfinished:
        writer.close()
    await asyncio.gather(*answers, return_exceptions=True)


async def test_n18_11_a_hook_needs_its_own_secret_and_no_admin_token(proxy: Rig) -> None:
    """A sender beyond loopback has no token; the name that it calls us by has to be ours all the same."""
    body = json.dumps(PUSH).encode()
    beyond = {"X-Forwarded-For": "192.0.2.1", "Authorization": f"Bearer {SECRET}"}
    assert await post(proxy, "/hooks/harbor", body, beyond) == (202, {"queued": 1})
    assert (await post(proxy, "/api/v1/refresh", body, beyond))[0] == 401
    for path in (f"/hooks/dockerhub/{SECRET}", f"/hooks/dockerhub?secret={SECRET}"):
        assert (await post(proxy, path, body, {**beyond, "Host": "evil.example"}))[0] == 403
    assert (await post(proxy, "/hooks/harbor", body, {**beyond, "Origin": "http://evil.example"}))[0] == 403


async def test_n18_10_what_is_unknown_or_may_not_be_asked_for_is_counted_and_upstream_is_not_asked(
    harbors: Rig, upstream: FakeRegistry
) -> None:
    before = asked(upstream)

    def push(registry: str = REGISTRY, tag: str = "1", name: str = NAME) -> dict[str, Any]:
        found = harbor("PUSH_ARTIFACT", registry)
        data = found["event_data"]
        data["repository"]["repo_full_name"], data["resources"][0]["tag"] = name, tag
        return found

    for body, result in (
        (push("elsewhere.example"), "unknown"),
        (push(""), "unknown"),
        (push("127.0.0.1:1"), "unknown"),
        (push(name="library/other"), "unknown"),
        (push(tag="2"), "unknown"),
        (push(tag="denied"), "denied"),
        (push("closed.example"), "denied"),
        (push(tag="never"), "ignored"),
        (push(tag=DIGEST), "ignored"),
    ):
        assert await pushed(harbors, body) == (202, {result: 1})
    assert await pushed(harbors, harbor("PULL_ARTIFACT", REGISTRY)) == (202, {})
    assert asked(upstream) == before


async def test_n18_10_a_look_that_fails_leaves_what_is_cached(
    harbors: Rig, upstream: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    known = await digest(harbors)
    upstream.misbehave("/manifests/", Status(500), times=1000)
    assert await pushed(harbors) == (202, {"queued": 1})
    await until(lambda: is_logged(caplog, "failed"))
    assert await digest(harbors) == known


async def is_logged(caplog: pytest.LogCaptureFixture, result: str) -> bool:
    return any(getattr(each, "fields", {}).get("result") == result for each in caplog.records)


async def test_n18_10_the_pulls_that_are_left_are_for_clients(
    harbors: Rig, upstream: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.add_image(NAME, "2", [b"other"])
    upstream.misbehave("/manifests/", Headers({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "5;w=21600"}))
    assert (await harbors.ask(f"/v2/{NAME}/manifests/2?ns={REGISTRY}")).status == 200
    before = asked(upstream)
    assert await pushed(harbors) == (202, {"queued": 1})
    await until(lambda: is_logged(caplog, "rate_limited"))
    assert asked(upstream) == before


async def test_n18_10_a_tag_that_is_frozen_stays(harbors: Rig, upstream: FakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    known, before = await digest(harbors), asked(upstream)
    assert (await harbors.admin("freezes", "POST", {"pattern": f"{REGISTRY}/{NAME}:1"}))[0] == 201
    upstream.add_image(NAME, "1", [b"second"])
    assert await pushed(harbors) == (202, {"queued": 1})
    await until(lambda: is_logged(caplog, "refused"))
    assert (await digest(harbors), asked(upstream)) == (known, before)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[" * 5000, 400), (b'{"type": "PUSH_ARTIFACT", "event_data": {"resources": [1]}}', 400)],
)
async def test_n18_10_a_body_that_is_no_event_is_refused_with_the_reason(harbors: Rig, body: bytes, status: int) -> None:
    answer = await post(harbors, "/hooks/harbor", body, {"Authorization": SECRET})
    assert (answer[0], list(answer[1])) == (status, ["error"])


async def test_n18_10_a_body_is_limited_told_or_not(harbors: Rig) -> None:
    url, headers = f"http://{LOOPBACK}:{harbors.admin_port}/hooks/harbor", {"Authorization": SECRET}
    async with harbors.session.post(url, data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1)), headers=headers) as response:
        assert response.status == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_BODY_BYTES // 16)

    async with harbors.session.post(url, data=chunks(), headers=headers) as response:
        assert response.status == 413


async def test_n18_10_nothing_is_served_that_is_not_configured(harbors: Rig) -> None:
    for path in ("dockerhub", f"dockerhub/{SECRET}", "kraken", "nobody", "harbor/a/b"):
        assert (await post(harbors, f"/hooks/{path}", b"{}"))[0] == 404
    async with harbors.session.get(f"http://{LOOPBACK}:{harbors.admin_port}/hooks/harbor/{SECRET}") as response:
        assert response.status == 405


async def test_n18_10_what_a_schedule_names_is_brought_in_when_it_moves(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    image = f"{REGISTRY}/{NAME}:1"
    more = {"warm": [{"images": [image, "nowhere.example/app:1"], "cron": "0 0 29 2 *"}, {"images": [image], "cron": "0 0 29 2 *"}]}
    async with rig(tmp_path / "store", settings(upstream), hooks=[{"source": "harbor", "secret": SECRET}], **more) as proxy:
        assert await pushed(proxy) == (202, {"queued": 1})
        await until(lambda: has_job(proxy))
        job = await over(proxy, 1)
        assert (job["state"], job["origin"], job["platforms"]) == ("done", "hook harbor", [])


async def has_job(proxy: Rig) -> bool:
    return bool((await proxy.admin("warm"))[1]["jobs"])


async def test_n18_10_a_thousand_events_in_a_second_ask_upstream_no_more_than_the_rate_allows(
    upstream: FakeRegistry, tmp_path: Path
) -> None:
    tags, burst, waiting = [f"t{number}" for number in range(1010)], 5, 1000
    for tag in tags[:burst]:
        upstream.add_image(NAME, tag, [b"layer"])
    hooks = [{"source": "distribution", "open": True, "rate": {"per_second": 1e-6, "burst": burst}}]
    warm = [{"images": [f"{REGISTRY}/{NAME}:{tag}" for tag in tags], "cron": "0 0 29 2 *"}]  # so that they are known
    async with (
        rig(tmp_path / "store", settings(upstream), hooks=hooks, warm=warm) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session,
    ):

        async def told(tag: str) -> int:
            body = notification(REGISTRY, target=target(REGISTRY, tag=tag))
            async with session.post(f"http://{LOOPBACK}:{proxy.admin_port}/hooks/distribution", json=body) as response:
                assert (response.status != 429) or response.headers["Retry-After"]
                return response.status

        def looked() -> set[str]:
            return {entry.path.rpartition("/")[2] for entry in upstream.ledger if entry.kind == "manifests"}

        async def have_looked() -> bool:
            return looked() == set(tags[:burst])

        assert await asyncio.gather(*map(told, tags[:burst])) == [202] * burst
        await until(have_looked)
        pull = asyncio.create_task(proxy.ask(f"/v2/{NAME}/manifests/t0?ns={REGISTRY}"))
        statuses = await asyncio.gather(*map(told, tags[burst:]))
        assert (await pull).status == 200
        assert Counter(statuses) == {202: waiting, 429: len(tags) - burst - waiting}
        assert await have_looked()
