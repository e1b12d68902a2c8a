"""What a tag meant, as a timeline: moved, rolled back, restarted, its index lost."""

from pathlib import Path

import pytest

from tests.fakes.deeds import Drop
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
APP = f"docker.io/{NAME}:1"


async def pulled(proxy: Rig) -> str:
    answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
    assert answer.status == 200
    return answer.headers["Docker-Content-Digest"]


async def meanings(proxy: Rig) -> list[tuple[str, float]]:
    status, found = await proxy.admin("tag-history?image=app:1")
    assert (status, found["name"]) == (200, APP)
    return [(each["digest"], each["since"]) for each in found["meanings"]]


async def test_n18_05_a_tag_is_rolled_back_step_by_step_and_a_restart_and_a_lost_index_change_nothing(
    upstream: FakeRegistry, tmp_path: Path
) -> None:
    now = [1_000_000.0]
    settings = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}}
    digests = []
    async with rig(tmp_path / "store", settings, lambda: now[0]) as proxy:
        for layer in (b"one", b"two", b"three"):
            digests.append(str(upstream.add_image(NAME, "1", [layer]).digest))
            now[0] += 100
            assert [await pulled(proxy) for _ in range(2)] == [digests[-1]] * 2
        known = [(digests[2], 1_000_300.0), (digests[1], 1_000_200.0), (digests[0], 1_000_100.0)]
        assert await meanings(proxy) == known
        status, done = await proxy.admin("rollback", "POST", {"image": "app:1"})
        assert (status, done) == (200, {"name": APP, "digest": digests[1], "before": digests[2], "is_here": True})
        assert await pulled(proxy) == digests[1]
        assert (await proxy.admin("rollback", "POST", {"image": "app:1"}))[1]["digest"] == digests[0]
        assert (await proxy.admin("rollback", "POST", {"image": "app:1"}))[0] == 404, "it has meant nothing before"
        assert await pulled(proxy) == digests[0]
    (tmp_path / "store" / "index.db").write_bytes(b"damaged" * 1000)
    async with rig(tmp_path / "store", settings, lambda: now[0]) as proxy:
        assert await pulled(proxy) == digests[0]
        assert await meanings(proxy) == known
        assert (await proxy.admin("rollback", "POST", {"image": "app:1", "digest": digests[2]}))[1]["before"] == digests[0]
        assert await pulled(proxy) == digests[2], "who holds what was lost: upstream is asked once"
        upstream.misbehave("/v2/", Drop())
        assert await pulled(proxy) == digests[2]
        upstream.behave()
        assert (await proxy.admin(f"freezes?pattern={APP}", "DELETE"))[0] == 204
        assert await pulled(proxy) == digests[2]
        assert await meanings(proxy) == known, "that upstream still means the same is no news"


async def test_n18_05_a_tag_that_another_freeze_holds_is_not_rolled_back(proxy: Rig, upstream: FakeRegistry) -> None:
    for layer in (b"one", b"two"):
        upstream.add_image(NAME, "1", [layer])
        await pulled(proxy)
    assert (await proxy.admin("freezes", "POST", {"pattern": "docker.io/library/*"}))[0] == 201
    status, answer = await proxy.admin("rollback", "POST", {"image": "app:1"})
    assert (status, "docker.io/library/*" in answer["error"]) == (409, True)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("tag-history?image=app:1", None, 404),
        ("tag-history?image=App:1", None, 400),
        ("tag-history", None, 400),
        (f"tag-history?image=app@sha256:{'0' * 64}", None, 400),
        ("rollback", {"image": "app:1"}, 404),
        ("rollback", {"image": 7}, 400),
        ("rollback", {"image": "app:1", "digest": 7}, 400),
        ("rollback", [], 400),
    ],
)
async def test_n18_05_what_has_no_history_is_told(proxy: Rig, path: str, body: object, expected: int) -> None:
    status, answer = await proxy.admin(path, "GET" if body is None else "POST", body)
    assert (status, list(answer)) == (expected, ["error"])


async def test_n18_05_a_digest_that_is_none_is_told(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"one"])
    await pulled(proxy)
    assert (await proxy.admin("rollback", "POST", {"image": "app:1", "digest": "sha256:0"}))[0] == 400
    assert (await proxy.admin("freezes"))[1] == {"freezes": []}
