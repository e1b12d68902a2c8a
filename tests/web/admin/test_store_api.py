"""What the store's part of the admin API refuses before it begins."""

from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import rig


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, '{"image": "x"}', 415),
        ({"Content-Type": "application/json"}, '{"image": "x"}', 404),
        ({"Content-Type": "application/json"}, '{"image": "x", "dry_run": "false"}', 400),
        ({"Content-Type": "application/json"}, '{"image": "x", "force": true}', 400),
        ({"Content-Type": "application/json"}, "[]", 400),
        ({"Content-Type": "application/json"}, "{", 400),
    ],
    ids=["as a page in a browser could send it", "unknown", "text for a yes", "unknown argument", "no object", "no JSON"],
)
async def test_the_admin_api_takes_only_what_it_knows(tmp_path: Path, headers: dict[str, str], body: str, status: int) -> None:
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        url = f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/remove"
        async with proxy.session.post(url, data=body, headers=headers) as response:
            assert response.status == status


async def test_long_work_is_refused_before_it_begins(tmp_path: Path) -> None:
    """Afterwards it is too late for a status: the answer has begun with 200."""
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        for act, body in (("collect", {}), ("verify", {"unused_for": 1.0})):
            async with proxy.session.post(f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/{act}", json=body) as response:
                assert response.status == 400
