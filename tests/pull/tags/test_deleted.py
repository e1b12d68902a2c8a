"""A tag that upstream has deleted: served for a while to who may still read the repository, and to nobody else."""

from pathlib import Path

import pytest

from tests.fakes.deeds import Deed, Drop, Status
from tests.fakes.registry import FakeRegistry
from tests.faults.test_proven import ANN, ANNS, BOB, NOBODY, Clock, Tenants, proven, pull
from tests.pull.tags.timeline import NAME, Timeline, explained, pulled, served
from tests.rig import PATIENT, Rig, rig

GONE = "detail=gone"


@pytest.fixture
def timeline(upstream: FakeRegistry, tmp_path: Path) -> Timeline:
    return Timeline(upstream, tmp_path, {"gone_for": "30d", "missing_for": "0s"})


async def known(proxy: Rig, timeline: Timeline, other: str | None = "other") -> str:
    """Pull a tag, and another one of its repository, so that there is something to ask about."""
    digest = timeline.push("old")
    await pulled(proxy)
    if other is not None:
        timeline.push(other, other)
        await pulled(proxy, other)
    return digest


async def test_n18_08_a_deleted_tag_is_served_for_so_long_with_a_warning(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digest = await known(proxy, timeline)
        timeline.passed(1)
        timeline.delete()
        for method in ("GET", "HEAD"):
            assert await served(proxy, method=method) == (digest, GONE)
        answer = await pulled(proxy)
        assert "was deleted upstream: it is served until 2027-02-15 08:00:00 UTC" in answer.headers["Warning"]
        assert 'regproxy_gone_served_total{upstream="docker.io"}' in await proxy.metrics()
        assert 'outcome="gone"' in await proxy.metrics()
        steps, outcome = await explained(proxy)
        assert "what it meant is served until 2027-02-15 08:00:00 UTC" in steps["deleted"]
        assert outcome.startswith("it can be pulled while")
        timeline.passed(29.9)
        assert await served(proxy) == (digest, GONE)
        assert [each["digest"] for each in (await proxy.admin("tag-history?image=app:1"))[1]["meanings"]] == [None, digest]
        timeline.passed(0.1)
        assert (await served(proxy))[0] == "404"
        assert (await served(proxy, digest))[0] == digest, "by digest it is cached"
        assert "deleted" not in (await explained(proxy))[0]


async def test_n18_08_a_tag_that_is_pushed_again_is_served_at_once_and_may_be_deleted_again(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digest = await known(proxy, timeline)
        timeline.delete()
        assert (await served(proxy))[0] == digest
        timeline.passed(20)
        new = timeline.push("new")
        assert (await served(proxy))[0] == new
        timeline.passed(20)
        timeline.delete()
        assert await served(proxy) == (new, GONE)
        timeline.passed(20)
        assert await served(proxy) == (new, GONE), "it counts from when it was deleted last"


async def test_n18_08_where_no_other_manifest_is_known_the_404_stands(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        await known(proxy, timeline, other=None)
        timeline.delete()
        assert (await served(proxy))[0] == "404"
        assert len((await proxy.admin("tag-history?image=app:1"))[1]["meanings"]) == 1


@pytest.mark.parametrize(
    ("path", "deed", "status"),
    [
        ("/v2/", Status(404), "404"),
        ("/v2/", Status(401), "403"),
        ("/v2/", Status(403), "403"),
        ("/manifests/sha256", Status(403), "404"),
        ("/manifests/sha256", Status(401), "404"),
        ("/manifests/sha256", Status(500), "404"),
        ("/manifests/sha256", Drop(), "404"),
        ("/manifests/1", Status(403), "403"),
    ],
)
async def test_n18_08_a_revocation_is_no_deletion_however_it_is_said(timeline: Timeline, path: str, deed: Deed, status: str) -> None:
    """Before any deletion was seen, and after it."""
    async with timeline.replica() as proxy:
        await known(proxy, timeline)
        for _ in range(2):
            timeline.passed(1)
            timeline.delete()
            timeline.upstream.misbehave(path, deed)
            assert (await served(proxy))[0] == status
            timeline.upstream.behave()
            timeline.push("old")
            timeline.passed(1)
            assert (await served(proxy))[0] not in {"404", "403"}
            timeline.delete()
            timeline.passed(1)
            assert (await served(proxy))[1] == GONE
            timeline.push("old")


async def test_n18_08_an_outage_ends_it_no_sooner_than_a_stale_tag(timeline: Timeline) -> None:
    async with timeline.replica(stale_for="7d") as proxy:
        digest = await known(proxy, timeline)
        timeline.delete()
        assert await served(proxy) == (digest, GONE)
        timeline.passed(6)
        timeline.upstream.misbehave("/v2/", Drop())
        assert await served(proxy) == (digest, GONE)
        timeline.passed(1)
        assert (await served(proxy))[0] != digest


async def test_n18_08_a_mirror_that_pretends_that_a_tag_is_gone_is_not_asked_about_tags_nor_believed(
    timeline: Timeline, tmp_path: Path
) -> None:
    async with FakeRegistry() as mirror:
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": timeline.upstream.url}]
        upstreams = {"docker.io": {"hosts": hosts, "tags": [{"fresh_for": "0s", **timeline.rule}]}}
        async with rig(tmp_path / "mirrored", upstreams, lambda: timeline.now[0], timeouts=PATIENT) as proxy:
            digest = await known(proxy, timeline)
            timeline.passed(1)
            mirror.misbehave("/v2/", Status(404))
            assert (await served(proxy))[0] == digest
            assert [each["digest"] for each in (await proxy.admin("tag-history?image=app:1"))[1]["meanings"]] == [digest]
            mirror.behave()
            for layer, tag in (("old", "1"), ("other", "other")):
                mirror.add_image(NAME, tag, [layer.encode()])
            timeline.passed(1)
            timeline.upstream.misbehave("/v2/", Status(404))
            assert (await served(proxy))[0] == "404", "that a mirror still gives manifests proves nothing"


async def test_n18_08_a_restart_and_a_lost_index_change_nothing(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digest = await known(proxy, timeline)
        timeline.delete()
        assert await served(proxy) == (digest, GONE)
    for number in range(2):
        timeline.passed(10)
        async with timeline.replica() as proxy:
            while len(await proxy.ledger.images()) < 2:
                await proxy.proxy.store.look()
            assert await served(proxy) == (digest, GONE)
            if number:
                timeline.passed(10)
                assert (await served(proxy))[0] == "404"
        timeline.lose_index()


async def test_n18_08_a_clock_that_is_set_back_ends_nothing_and_prolongs_little(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        digest = await known(proxy, timeline)
        timeline.passed(1)
        timeline.delete()
        assert await served(proxy) == (digest, GONE)
        timeline.passed(-20)
        assert await served(proxy) == (digest, GONE)
        timeline.passed(-20)
        assert (await served(proxy))[0] == "404"


async def test_n18_08_in_a_proven_upstream_only_who_can_show_it_now_is_served(tmp_path: Path, clock: Clock) -> None:
    async with Tenants() as tenants:
        for tag in ("1", "2"):
            tenants.add_image(ANNS, tag, [tag.encode()])
        tags = [{"fresh_for": "0s", "gone_for": "30d", "missing_for": "10m"}]
        async with proven(tmp_path, tenants, clock, tags=tags) as proxy:
            assert [await pull(proxy, ANNS, ANN), (await proxy.ask(f"/v2/{ANNS}/manifests/2", Authorization=ANN)).status] == [200, 200]
            del tenants.repositories[ANNS].tags["1"]
            clock.now += 1
            answer = await proxy.ask(f"/v2/{ANNS}/manifests/1", Authorization=ANN)
            assert (answer.status, "was deleted upstream" in answer.headers.get("Warning", "")) == (200, True)
            assert [await pull(proxy, ANNS, who) for who in (BOB, NOBODY)] == [403, 401]
            tenants.hides = True
            tenants.owners[ANNS] = set()
            assert await pull(proxy, ANNS, ANN) == 404, "however lately it was proven"
            tenants.owners[ANNS] = {"ann"}
            assert await pull(proxy, ANNS, ANN) == 200
            tenants.misbehave("/v2/", Drop())
            assert await pull(proxy, ANNS, ANN) not in {200, 401}, "nor by an old proof while nobody can be asked"


@pytest.fixture
def clock() -> Clock:
    return Clock()
