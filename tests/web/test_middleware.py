"""What happens around every request at the registry port."""

import io
import json
import logging
from typing import Any

import pytest

from tests.fakes.deeds import Drop, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig

NAME = "library/app"


def _access(lines: io.StringIO) -> list[dict[str, Any]]:
    for handler in logging.getLogger().handlers:
        handler.flush()
    return [record for line in lines.getvalue().splitlines() if (record := json.loads(line))["logger"] == "regproxy.access"]


def _errors(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["errors"][0]["code"]


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        (f"/v2/{NAME}/manifests/1?{'&'.join(f'a{number}=1' for number in range(17))}", "GET", 400, "UNSUPPORTED"),
        ("/v2/UPPER/manifests/1", "GET", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/manifests/1", "PUT", 405, "UNSUPPORTED"),
        (f"/v2/{NAME}/manifests/none", "GET", 404, "MANIFEST_UNKNOWN"),
    ],
)
async def test_whatever_is_refused_is_an_error_of_oci_with_an_id(proxy: Rig, path: str, method: str, status: int, code: str) -> None:
    answer = await proxy.ask(path, method)
    assert _errors(answer) == (status, code)
    assert answer.headers["Server"] == "regproxy"
    assert answer.headers["X-Request-Id"]


async def test_an_outage_is_told_with_whose_it_is(upstream: FakeRegistry, proxy: Rig, lines: io.StringIO) -> None:
    upstream.misbehave("/", Drop())
    answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
    assert answer.status == 502
    told = _access(lines)
    assert (told[-1]["outcome"], told[-1]["request_id"]) == ("failed", answer.headers["X-Request-Id"])
    assert upstream.url.partition("//")[2].partition(":")[0] in told[-1]["failure"]


async def test_the_registry_that_is_meant_is_named_also_where_the_path_is_none(proxy: Rig) -> None:
    for path, named in (("/v2/x?ns=docker.io", "docker.io"), ("/v2/x?ns=unknown.test", None), ("/v2/x", None)):
        assert (await proxy.ask(path)).headers.get("OCI-Namespace") == named


async def test_each_request_is_one_line(upstream: FakeRegistry, proxy: Rig, lines: io.StringIO) -> None:
    upstream.misbehave("/manifests/", Status(404))
    for _ in range(3):
        await proxy.ask(f"/v2/{NAME}/manifests/1")
    told = _access(lines)
    assert [record["message"] for record in told] == [f"GET /v2/{NAME}/manifests/1 404"] * 3
    assert len({record["request_id"] for record in told}) == 3
