"""What the admin API takes as a warm-up; what becomes of one is in tests/warming."""

import pytest

from tests.rig import Rig


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, 400),
        ({"images": []}, 400),
        ({"images": "app:1"}, 400),
        ({"images": [7]}, 400),
        ({"images": ["app:1"], "platforms": ["amd64"]}, 400),
        ({"images": ["app:1"], "platforms": "all"}, 400),
        ({"images": ["app:1"], "parallel": 0}, 400),
        ({"images": ["app:1"], "parallel": True}, 400),
        ({"images": ["app:1"], "parallel": 17}, 400),
        ({"images": ["app:1"], "more": 1}, 400),
        ({"images": ["app:1"] * 5_001}, 400),
        ({"images": ["App:1"]}, 400),
        ({"images": ["unknown.example/app:1"]}, 404),
        ([], 400),
    ],
)
async def test_n18_02_what_is_no_job_begins_nothing(proxy: Rig, body: object, expected: int) -> None:
    status, answer = await proxy.admin("warm", "POST", body)
    assert (status, list(answer)) == (expected, ["error"])
    assert await proxy.admin("warm") == (200, {"jobs": [], "schedules": []})
    assert [(await proxy.admin(f"warm/{each}", method))[0] for each in ("1", "x", "9" * 30) for method in ("GET", "DELETE")] == [404] * 6
