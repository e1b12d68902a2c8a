"""Warm-ups by the clock: what is due, when, and what is left out."""

import asyncio
import calendar
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.behind_kit import KEY, behind
from tests.fakes.bucket import FakeBucket
from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.fleet.redis_server import RedisServer
from tests.rig import rig
from tests.warming.test_jobs import over

NOON = float(calendar.timegm((2026, 1, 2, 12, 0, 30)))


async def test_n18_04_what_is_due_is_brought_in_and_the_next_time_is_told(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    now = [NOON]
    warm = [{"images": ["app:1"], "cron": "*/5 * * * *", "platforms": ["linux/amd64"]}]
    gate = Hold()
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now[0], warm=warm) as proxy:
        _, listed = await proxy.admin("warm")
        [shown] = listed["schedules"]
        assert (shown["next_at"], shown["last_job"], listed["jobs"]) == (NOON + 270, None, [])

        async def begun(count: int) -> int:
            async with asyncio.timeout(60):
                while len(listed := (await proxy.admin("warm"))[1]["jobs"]) < count:  # noqa: ASYNC110  the admin API tells nobody
                    await asyncio.sleep(0.02)
            return int(listed[0]["id"])

        now[0] += 271
        job = await over(proxy, await begun(1))
        assert (job["state"], job["origin"], job["platforms"]) == ("done", "schedule */5 * * * *", ["linux/amd64"])
        _, listed = await proxy.admin("warm")
        assert (listed["schedules"][0]["next_at"], listed["schedules"][0]["last_job"]) == (NOON + 570, job["id"])

        upstream.misbehave("/manifests/", gate)
        now[0] += 300
        number = await begun(2)
        await gate.reached.wait()
        now[0] += 300  # the last one goes on: this one is left out
        async with asyncio.timeout(60):
            while (await proxy.admin("warm"))[1]["schedules"][0]["next_at"] != NOON + 1170:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.02)
        assert len((await proxy.admin("warm"))[1]["jobs"]) == 2
        gate.event.set()
        assert (await over(proxy, number))["state"] == "done"


@pytest.mark.parametrize("has_bucket", [True, False])
async def test_n18_29_replicas_that_share_an_object_store_warm_once_and_others_each(tmp_path: Path, *, has_bucket: bool) -> None:
    redis, now = RedisServer(tmp_path), [NOON]
    redis.start()
    try:
        async with FakeRegistry() as upstream, FakeBucket() as bucket, AsyncExitStack() as stack:
            upstream.add_image("library/app", "1", [b"layer"])
            warm = [{"images": ["app:1"], "cron": "*/5 * * * *"}]
            shared = {"redis": {"url": redis.url, "key": KEY, "timeout": "30s"}, "store": behind(bucket.url) if has_bucket else {}}
            replicas = [
                await stack.enter_async_context(rig(tmp_path / name, {"docker.io": upstream.url}, lambda: now[0], warm=warm, **shared))
                for name in ("one", "two")
            ]
            now[0] += 271
            async with asyncio.timeout(60):
                listed = [(await each.admin("warm"))[1] for each in replicas]
                while not all(each["schedules"][0]["next_at"] == NOON + 570 for each in listed):
                    await asyncio.sleep(0.02)
                    listed = [(await each.admin("warm"))[1] for each in replicas]
            jobs = [(replica, each["id"]) for replica, found in zip(replicas, listed, strict=True) for each in found["jobs"]]
            assert len(jobs) == (1 if has_bucket else 2)
            assert [(await over(replica, number))["state"] for replica, number in jobs] == ["done"] * len(jobs)
    finally:
        redis.stop()
