"""A tag that cools down: served as the newest meaning that is known for so long, wherever it is asked for."""

import json
from pathlib import Path

import pytest

from tests.fakes.deeds import Drop
from tests.fakes.registry import FakeRegistry
from tests.pull.tags.timeline import NAME, Timeline, explained, pulled, served


@pytest.fixture
def timeline(upstream: FakeRegistry, tmp_path: Path) -> Timeline:
    return Timeline(upstream, tmp_path, {"cooldown": "3d"})


HELD = "detail=cooldown"


async def test_n18_07_a_newer_meaning_waits_under_the_tag_and_not_by_digest(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        assert await served(proxy) == (old, "fwd=miss"), "the first meaning is served at once"
        timeline.passed(1)
        new = timeline.push("new")
        for method in ("GET", "HEAD", "GET"):
            assert await served(proxy, method=method) == (old, HELD)
        assert await served(proxy, new) == (new, "hit")
        steps, outcome = await explained(proxy)
        assert steps["cooldown"] == f"served as {old}; {new} is served from 2027-01-19 08:00:00 UTC on"
        assert outcome == "it can be pulled"
        _, history = await proxy.admin("tag-history?image=app:1")
        assert (history["served"], history["waits"]) == (old, {"digest": new, "until": timeline.now[0] + 3 * 86_400})
        assert [each["digest"] for each in history["meanings"]] == [new, old]
        assert 'regproxy_cooldowns_total{outcome="held",upstream="docker.io"}' in await proxy.metrics()
        assert 'regproxy_requests_total{endpoint="manifests",outcome="cooldown",upstream="docker.io"}' in await proxy.metrics()
        timeline.passed(2.999)
        assert (await served(proxy))[0] == old
        timeline.passed(0.001)
        assert (await served(proxy))[0] == new
        assert "cooldown" not in (await explained(proxy))[0]


async def test_n18_07_what_is_answered_from_memory_ends_with_the_cooldown(timeline: Timeline) -> None:
    timeline.settings = {"reconfirm_after": "365d"}
    async with timeline.replica(fresh_for="30d") as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        new = timeline.push("new")
        assert (await proxy.admin("refresh", "POST", {"image": "app:1"}))[1]["digest"] == old, "a refresh serves nothing sooner"
        for _ in range(3):
            assert await served(proxy) == (old, HELD)
        asked = len(timeline.upstream.ledger)
        timeline.passed(3)
        assert await served(proxy) == (new, "hit")
        assert len(timeline.upstream.ledger) == asked


async def test_n18_07_an_outage_serves_nothing_sooner(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        timeline.push("new")
        await pulled(proxy)
        timeline.upstream.misbehave("/v2/", Drop())
        assert (await served(proxy))[0] == old
        assert (await served(proxy))[0] == old, "while it is left alone"


async def test_n18_07_a_first_meaning_is_refused_where_the_rule_says_so_and_so_is_it_in_lists(timeline: Timeline) -> None:
    async with timeline.replica(cooldown_first="refuse") as proxy:
        old = timeline.push("old")
        timeline.push("other", "2")
        answer = await pulled(proxy)
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (403, "DENIED")
        assert f"{old} was first seen too short a time ago, and is served from 2027-01-18 08:00:00 UTC on" in answer.body.decode()
        assert (await served(proxy, old))[0] == old
        assert json.loads((await proxy.ask(f"/v2/{NAME}/tags/list")).body)["tags"] == ["2"]
        steps, outcome = await explained(proxy)
        assert (steps["cooldown"].partition(":")[0], outcome.rpartition(",")[2]) == ("refused", " it cools down (403)")
        assert (await proxy.admin("tag-history?image=app:1"))[1]["served"] is None
        assert (await proxy.admin("freezes", "POST", {"pattern": "docker.io/library/app:1", "digest": old}))[0] == 201
        assert await served(proxy) == (old, "detail=frozen"), "a freeze comes first"
        assert json.loads((await proxy.ask(f"/v2/{NAME}/tags/list")).body)["tags"] == ["1", "2"]
        assert (await proxy.admin("freezes?pattern=docker.io/library/app:1", "DELETE"))[0] == 204
        timeline.passed(3)
        assert (await served(proxy))[0] == old
        timeline.push("new")
        assert (await served(proxy))[0] == old


@pytest.mark.parametrize("pattern", ["docker.io/library/app:1", "docker.io/library/*"])
async def test_n18_07_what_waits_is_not_frozen_and_does_not_come_by_time_alone(timeline: Timeline, pattern: str) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        timeline.push("new")
        assert (await served(proxy))[0] == old
        assert (await proxy.admin("freezes", "POST", {"pattern": pattern}))[0] == 201
        assert await served(proxy) == (old, "detail=frozen")
        timeline.passed(30)
        assert await served(proxy) == (old, "detail=frozen")
        assert (await proxy.admin("tag-history?image=app:1"))[1]["frozen"] == old


async def test_n18_07_a_rollback_leaves_what_is_served_and_not_what_waits(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digests = []
        for layer in ("oldest", "old", "new"):
            timeline.passed(2)
            digests.append(timeline.push(layer))
            await pulled(proxy)
        timeline.passed(1)
        assert (await served(proxy))[0] == digests[1]
        status, done = await proxy.admin("rollback", "POST", {"image": "app:1"})
        assert (status, done["before"], done["digest"]) == (200, digests[1], digests[0])


async def test_n18_07_where_what_was_meant_before_is_nowhere_the_next_older_is_served_and_then_none(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digests = []
        for layer in ("oldest", "old", "new"):
            digests.append(timeline.push(layer))
            await pulled(proxy)
            timeline.passed(4)
        newest = timeline.push("newest")
        assert (await served(proxy))[0] == digests[2]
        held = timeline.upstream.repositories[NAME].manifests
        for digest in reversed(digests):
            assert (await served(proxy))[0] == digest
            [found] = [each for each in held if str(each) == digest]
            assert (await served(proxy, digest))[0] == digest, "upstream still has it"
            await proxy.proxy.evictor.remove(found)
            assert (await served(proxy))[0] == digest, "fetched again"
            await proxy.proxy.evictor.remove(found)
            del held[found]
        answer = await pulled(proxy)
        assert answer.status == 404
        assert f"upstream says {newest}, which is served from" in answer.body.decode()
        assert (await served(proxy, newest))[0] == newest


async def test_n18_07_a_warm_up_brings_in_what_is_served(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        timeline.push("new")
        status, job = await proxy.admin("warm", "POST", {"images": ["app:1"]})
        assert status == 202
        while (found := (await proxy.admin(f"warm/{job['id']}"))[1])["state"] in {"queued", "running"}:
            pass
        assert [image["digest"] for image in found["images"]] == [old]
