"""Harbor's preheat drivers, as its source has them call Kraken and Dragonfly: what they ask for is warmed, and they learn how far it is."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.deeds import Hold, Status
from tests.fakes.registry import FakeRegistry
from tests.policy.hooks.recorded import DIGEST, dragonfly, kraken
from tests.rig import LOOPBACK, Rig, rig
from tests.warming.test_jobs import over, until

SECRET = "canary-of-a-driver-0123456789"
BEARER = {"Authorization": f"Bearer {SECRET}"}
HARBOR = "harbor.example"
NAME = "library/app"
IMAGE = f"{HARBOR}/{NAME}:1"


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    upstreams = {
        HARBOR: {"hosts": [{"url": upstream.url}], "deny": ["*:denied"]},
        "closed.example": {"hosts": [{"url": upstream.url}], "access": "none"},
    }
    hooks = [{"source": "kraken", "secret": SECRET}, {"source": "dragonfly", "secret": SECRET}]
    async with rig(tmp_path / "store", upstreams, hooks=hooks) as running:
        yield running


async def ask(proxy: Rig, path: str, body: object = None, headers: Mapping[str, str] = BEARER) -> tuple[int, Any]:
    """Ask as Harbor's client does (preheat/provider/client/http_client.go), which takes any 2xx."""
    url = f"http://{LOOPBACK}:{proxy.admin_port}{path}"
    sent = None if body is None else json.dumps(body).encode()
    given = {"Accept": "application/json", **({"Content-Type": "application/json"} if sent else {}), **headers}
    async with proxy.session.request("POST" if sent else "GET", url, data=sent, headers=given) as response:
        return response.status, json.loads(await response.read() or "null") if "json" in response.content_type else None


async def test_n18_12_kraken_is_told_and_the_images_are_here(proxy: Rig, upstream: FakeRegistry) -> None:
    image = upstream.add_image(NAME, "1", [b"layer" * 1000])
    assert (await ask(proxy, "/health"))[0] == 200
    assert (await ask(proxy, "/registry/notifications", kraken(HARBOR)))[0] == 200
    await until(lambda: has_job(proxy))
    job = await over(proxy, 1)
    assert (job["state"], job["origin"], job["images"][0]["digest"]) == ("done", "hook kraken", str(image.digest))


async def has_job(proxy: Rig) -> bool:
    return bool((await proxy.admin("warm"))[1]["jobs"])


async def test_n18_12_what_kraken_is_told_during_a_job_is_one_more_job(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    gate = Hold()
    upstream.misbehave("/manifests/", gate, times=1)
    assert (await ask(proxy, "/registry/notifications", kraken(HARBOR)))[0] == 200
    await gate.reached.wait()
    for number in range(20):
        upstream.add_image(NAME, f"t{number}", [b"layer"])
        body = kraken(HARBOR)
        body["Events"][0]["Target"]["Tag"] = f"t{number}"
        assert (await ask(proxy, "/registry/notifications", body))[0] == 200
    gate.event.set()
    await over(proxy, 1)
    await until(lambda: are_here(proxy, 20))
    assert len((await proxy.admin("warm"))[1]["jobs"]) < 5


async def test_n18_12_what_kraken_was_told_outlives_a_restart(upstream: FakeRegistry, tmp_path: Path) -> None:
    hooks = [{"source": "kraken", "open": True, "rate": {"per_second": 1e-6, "burst": 2}}]
    gate = Hold()
    upstream.misbehave("/manifests/t0", gate)
    async with rig(tmp_path / "store", {HARBOR: upstream.url}, hooks=hooks) as proxy:
        for number in range(6):
            upstream.add_image(NAME, f"t{number}", [b"layer"])
            body = kraken(HARBOR)
            body["Events"][0]["Target"]["Tag"] = f"t{number}"
            assert (await ask(proxy, "/registry/notifications", body, {}))[0] == 200
        await gate.reached.wait()
    gate.event.set()
    async with rig(tmp_path / "store", {HARBOR: upstream.url}) as proxy:
        for job in (await proxy.admin("warm"))[1]["jobs"]:
            assert (await over(proxy, job["id"]))["state"] == "done"
        assert {entry.path.rpartition("/")[2] for entry in upstream.ledger if entry.kind == "manifests"} >= {
            f"t{number}" for number in range(6)
        }


async def are_here(proxy: Rig, count: int) -> bool:
    jobs = (await proxy.admin("warm"))[1]["jobs"]
    return bool(sum(job["counts"]["done"] for job in jobs if job["id"] > 1) == count)


async def test_n18_12_dragonfly_begins_a_job_and_tells_how_far_it_is(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"layer" * 1000])
    gate = Hold()
    upstream.misbehave("/manifests/", gate, times=1)
    assert (await ask(proxy, "/healthy"))[0] == 200
    status, job = await ask(proxy, "/oapi/v1/jobs", dragonfly(HARBOR))
    assert (status, job["id"], job["state"], job["created_at"][-1]) == (200, 1, "PENDING", "Z")
    await gate.reached.wait()
    status, shown = await ask(proxy, "/oapi/v1/jobs/1")
    assert (status, shown["state"]) == (200, "PENDING")
    assert (await ask(proxy, "/oapi/v1/jobs", dragonfly(HARBOR)))[1]["id"] == 1, "a replay is the same job"
    gate.event.set()
    assert (await over(proxy, 1))["origin"] == "hook dragonfly"
    _, shown = await ask(proxy, "/oapi/v1/jobs/1")
    [result] = shown["result"]["job_states"][0]["results"]
    assert (shown["state"], [each["url"] for each in result["success_tasks"]], result["failure_tasks"]) == ("SUCCESS", [IMAGE], [])
    assert all("authorization" not in entry.headers for entry in upstream.ledger), "Harbor's credential is not used"


async def test_n18_12_a_job_that_failed_says_why(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.misbehave("/manifests/", Status(404))
    assert (await ask(proxy, "/oapi/v1/jobs", dragonfly(HARBOR)))[0] == 200
    await over(proxy, 1)
    _, shown = await ask(proxy, "/oapi/v1/jobs/1")
    [state] = shown["result"]["job_states"]
    assert (shown["state"], state["error"], state["results"][0]["failure_tasks"][0]["description"]) == ("FAILURE", *[state["error"]] * 2)
    assert "app" in state["error"]


async def test_n18_12_a_job_that_was_cancelled_is_no_success(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    gate = Hold()
    upstream.misbehave("/manifests/", gate, times=1)
    await ask(proxy, "/oapi/v1/jobs", dragonfly(HARBOR))
    await gate.reached.wait()
    assert (await proxy.admin("warm/1", "DELETE"))[0] == 204
    _, shown = await ask(proxy, "/oapi/v1/jobs/1")
    assert (shown["state"], shown["result"]["job_states"][0]["error"]) == ("FAILURE", "it was cancelled")
    gate.event.set()


async def test_n18_12_a_driver_sees_its_own_jobs_only(proxy: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    status, job = await proxy.admin("warm", "POST", {"images": [IMAGE]})
    assert status == 202
    for number in (str(job["id"]), "7", "x", "1" * 20, "%C2%B2"):
        assert (await ask(proxy, f"/oapi/v1/jobs/{number}"))[0] == 404


FORGED: list[Mapping[str, str]] = [
    {},
    {"Authorization": f"Bearer {SECRET}x"},
    {"Authorization": "Basic Og=="},
    {"X-Hub-Signature-256": SECRET},
]


@pytest.mark.parametrize("headers", FORGED)
async def test_n18_12_without_the_secret_nothing_is_told_or_begun(proxy: Rig, upstream: FakeRegistry, headers: Mapping[str, str]) -> None:
    for path, body in (
        ("/health", None),
        ("/healthy", None),
        ("/registry/notifications", kraken(HARBOR)),
        ("/oapi/v1/jobs", dragonfly(HARBOR)),
        ("/oapi/v1/jobs/1", None),
    ):
        assert (await ask(proxy, path, body, headers))[0] == 401
        assert (await ask(proxy, f"{path}?secret={SECRET}", body, headers))[0] == 401
    assert (await proxy.admin("warm"))[1]["jobs"] == []
    assert list(upstream.ledger) == []


async def test_n18_12_what_cannot_be_brought_in_is_refused_with_the_reason(proxy: Rig, upstream: FakeRegistry) -> None:
    denied = kraken(HARBOR)
    denied["Events"][0]["Target"]["Tag"] = "denied"
    for path, body, expected in (
        ("/registry/notifications", kraken("elsewhere.example"), 404),
        ("/registry/notifications", kraken("closed.example"), 403),
        ("/registry/notifications", denied, 403),
        ("/registry/notifications", {"Events": [7]}, 400),
        ("/oapi/v1/jobs", dragonfly("elsewhere.example"), 404),
        ("/oapi/v1/jobs", dragonfly("closed.example"), 403),
        ("/oapi/v1/jobs", dragonfly(HARBOR, target="denied"), 403),
        ("/oapi/v1/jobs", dragonfly(HARBOR, type="file"), 400),
    ):
        status, answer = await ask(proxy, path, body)
        assert (status, list(answer)) == (expected, ["error"])
    assert list(upstream.ledger) == []


async def test_n18_12_a_driver_that_is_not_configured_is_not_there(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with rig(tmp_path / "store", {HARBOR: upstream.url}, hooks=[{"source": "kraken", "open": True}]) as proxy:
        assert (await ask(proxy, "/health", headers={}))[0] == 200
        for path, body in (("/healthy", None), ("/oapi/v1/jobs", dragonfly(HARBOR)), ("/oapi/v1/jobs/1", None)):
            assert (await ask(proxy, path, body))[0] == 404


async def test_n18_12_more_than_the_rate_is_told_to_come_later(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    hooks = [{"source": "dragonfly", "secret": SECRET, "upstream": HARBOR, "rate": {"per_second": 1e-6, "burst": 2}}]
    async with rig(tmp_path / "store", {HARBOR: upstream.url}, hooks=hooks) as proxy:
        jobs = [await ask(proxy, "/oapi/v1/jobs", dragonfly("any.example", target=each)) for each in ("1", DIGEST, "3")]
        assert [status for status, _ in jobs] == [200, 200, 429]
        assert (await over(proxy, 1))["origin"] == f"hook dragonfly of {HARBOR}"


async def test_n18_30_a_driver_that_floods_us_leaves_room_for_operators(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    gate = Hold()
    upstream.misbehave("/manifests/", gate)
    hooks = [{"source": "dragonfly", "secret": SECRET, "upstream": HARBOR, "rate": {"per_second": 1000, "burst": 1000}}]
    async with rig(tmp_path / "store", {HARBOR: upstream.url}, hooks=hooks) as proxy:
        told = [await ask(proxy, "/oapi/v1/jobs", dragonfly("any.example", target=f"t{number}")) for number in range(120)]
        statuses = [status for status, _ in told]
        assert (statuses.count(200), statuses.count(503)) == (50, 70)
        assert "50 jobs of hooks wait already" in str(told[-1][1])
        again, body = await ask(proxy, "/oapi/v1/jobs", dragonfly("any.example", target="t0"))
        assert (again, body["id"]) == (200, told[0][1]["id"]), "what waits already is no other job"
        assert (await proxy.admin("warm", "POST", {"images": [f"{HARBOR}/{NAME}:1"]}))[0] == 202
        gate.event.set()


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HARBOR}/v2/{NAME}/../../admin/manifests/1",
        f"https://{HARBOR}/v2/{NAME}%2f..%2fsecret/manifests/1",
        f"https://user:password@{HARBOR}/v2/{NAME}/manifests/{'1' * 129}",
        f"https://{HARBOR}/v2/{'a/' * 200}b/manifests/1",
        f"https://{HARBOR}/v2/{NAME}/manifests/sha256:{'0' * 63}",
        f"https://{HARBOR}/v2/{NAME}/manifests/1\nX: y",
        f"https://{HARBOR}\\@127.0.0.1/v2/{NAME}/manifests/1",
        "file:///v2/library/app/manifests/1",
        f"https://169.254.169.254/v2/{NAME}/manifests/1",
        "https://[::1",
        "",
    ],
)
async def test_n18_30_an_odd_url_begins_no_job_and_asks_nobody(proxy: Rig, upstream: FakeRegistry, url: str) -> None:
    document = dragonfly(HARBOR)
    document["args"]["url"] = url
    status, body = await ask(proxy, "/oapi/v1/jobs", document)
    assert status in {400, 403, 404}, body
    assert (await proxy.admin("warm"))[1]["jobs"] == []
    assert upstream.ledger == []
    for odd in (b"{" * 100_000, b"[" * 500_000, b'{"type": "preheat", "type": "x"}', b"\xff\xfe", b'{"id": ' + b"9" * 10_000 + b"}"):
        async with proxy.session.post(f"http://{LOOPBACK}:{proxy.admin_port}/oapi/v1/jobs", data=odd, headers=BEARER) as response:
            assert response.status == 400, odd[:20]
