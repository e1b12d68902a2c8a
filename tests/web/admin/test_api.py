"""What operators change over HTTP, beside the store."""

import pytest

from tests.rig import LOOPBACK, Rig


async def test_a_foreign_web_page_cannot_freeze(proxy: Rig) -> None:
    """A form has no way to say application/json without asking first (CORS)."""
    url = f"http://127.0.0.1:{proxy.admin_port}/api/v1/freezes"
    async with proxy.session.post(url, data='{"pattern": "docker.io/*"}', headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/api/v1/version", 405),
        ("DELETE", "/metrics", 405),
        ("POST", "/api/v1/store/pin", 415),
    ],
)
async def test_n13_07_what_there_is_not_is_json(proxy: Rig, method: str, path: str, expected: int) -> None:
    async with proxy.session.request(method, f"http://{LOOPBACK}:{proxy.admin_port}{path}") as response:
        assert (response.status, response.content_type, list(await response.json())) == (expected, "application/json", ["error"])
        assert ("Allow" in response.headers) == (expected == 405)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_n13_07_the_api_lists_its_routes(proxy: Rig, slash: str) -> None:
    async with proxy.session.get(f"http://{LOOPBACK}:{proxy.admin_port}/api/v1{slash}") as response:
        routes = (await response.json())["routes"]
    assert {"GET /api/v1/explain", "POST /api/v1/freezes", "DELETE /api/v1/freezes", "POST /api/v1/store/import"} <= set(routes)


async def test_a_freeze_that_cannot_be_stored_or_shown_is_refused(proxy: Rig) -> None:
    for pattern in ("docker.io/\ud800", "docker.io/a\nb", "docker.io/" + "a" * 2000):
        assert (await proxy.admin("freezes", "POST", {"pattern": pattern}))[0] == 400
