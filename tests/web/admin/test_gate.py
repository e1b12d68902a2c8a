"""The admin port, asked by pages in browsers and from other machines, and what its log tells of changes."""

import asyncio
import json
import logging
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Raw, Rig, raw, rig

PATHS = ["/", "/healthz", "/readyz", "/metrics", "/api/v1", "/api/v1/freezes", "/api/v1/store/images", "/nowhere"]
FREEZE = json.dumps({"pattern": "docker.io/library/app:1"}).encode()


def request(path: str, *lines: str, method: str = "GET", body: bytes = b"", host: str | None = "localhost") -> bytes:
    head = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), "Connection: close", *lines]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def status(answer: Raw) -> int:
    return int(answer.received.split()[1])


@pytest.fixture
async def frozen(proxy: Rig, upstream: FakeRegistry) -> Rig:
    upstream.add_image("library/app", "1", [b"layer"])
    assert (await proxy.ask("/v2/library/app/manifests/1")).status == 200
    return proxy


@pytest.mark.parametrize("path", PATHS)
async def test_n12_05_no_page_reads_by_a_name_of_its_own(proxy: Rig, path: str) -> None:
    answers = [
        await raw(proxy.admin_port, request(path, host="evil.example:5001")),
        await raw(proxy.admin_port, request(path, "Origin: http://evil.example")),
        await raw(proxy.admin_port, request(path, "Origin: null")),
        await raw(proxy.admin_port, request(path, "Sec-Fetch-Site: cross-site")),
        await raw(proxy.admin_port, request(f"http://evil.example{path}")),
    ]
    assert [(status(each), set(json.loads(each.body))) for each in answers] == [(403, {"error"})] * 5
    missing = await raw(proxy.admin_port, request(path, host=None))
    doubled = await raw(proxy.admin_port, request(path, "Host: localhost"))
    assert (status(missing), status(doubled)) == (400, 400)
    assert status(await raw(proxy.admin_port, request(path))) == (404 if path == "/nowhere" else 200)


async def test_n12_05_no_page_changes_anything(frozen: Rig) -> None:
    for lines in ([], ["Origin: http://evil.example"], ["Sec-Fetch-Site: cross-site"], ["Sec-Fetch-Site: same-site"]):
        host = "localhost" if lines else "evil.example"
        answer = await raw(frozen.admin_port, request("/api/v1/freezes", *lines, method="POST", body=FREEZE, host=host))
        assert status(answer) == 403
    preflight = await raw(frozen.admin_port, request("/api/v1/freezes", "Origin: http://evil.example", method="OPTIONS"))
    assert (status(preflight), b"Access-Control" in preflight.received) == (403, False)
    assert await frozen.admin("freezes") == (200, {"freezes": []})


async def test_n13_05_what_is_passed_on_from_elsewhere_changes_nothing(frozen: Rig) -> None:
    answer = await raw(frozen.admin_port, request("/api/v1/freezes", "X-Forwarded-For: 192.0.2.1", method="POST", body=FREEZE))
    assert (status(answer), b"admin_tokens" in answer.body) == (403, True)
    assert await frozen.admin("freezes") == (200, {"freezes": []})


@pytest.mark.parametrize("line", ["Via: 1.1 proxy", "X-Forwarded-Host: regproxy.example", "X-Forwarded-Proto: https", "via: a"])
async def test_n12_05_each_header_of_a_reverse_proxy_counts_as_forwarded(frozen: Rig, line: str) -> None:
    answer = await raw(frozen.admin_port, request("/api/v1/freezes", line, method="POST", body=FREEZE))
    assert (status(answer), b"admin_tokens" in answer.body) == (403, True)
    assert await frozen.admin("freezes") == (200, {"freezes": []})


@pytest.mark.parametrize(
    "lines",
    [
        ["Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: Cross-Site"],
        ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: no-cors"],
    ],
    ids=["doubled", "in capitals", "doubled mode"],
)
async def test_n12_05_a_doubled_fetch_header_hides_no_page(proxy: Rig, lines: list[str]) -> None:
    assert status(await raw(proxy.admin_port, request("/api/v1/freezes", *lines))) == 403


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "admin change"]
    return found


async def test_n13_05_each_change_is_a_line_in_the_log(frozen: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await frozen.admin("freezes", "POST", {"pattern": "docker.io/library/app:1"})
        await frozen.admin("store/pin", "POST", {"image": "docker.io/library/none:1", "pinned": True})
        url = f"http://{LOOPBACK}:{frozen.admin_port}/api/v1/store/collect"
        async with frozen.session.post(url, json={"unused_for": 1}) as response:
            assert b"result" in await response.read()  # its lines come one by one
        await frozen.admin("freezes?pattern=docker.io/library/app:1", "DELETE")
        await frozen.admin("store/show", "POST", {"image": "docker.io/library/app:1"})
        await frozen.admin("freezes")
    lines = audited(caplog)
    assert [(each["client"], each["action"], each["status"]) for each in lines] == [
        (LOOPBACK, "POST /api/v1/freezes", 201),
        (LOOPBACK, "POST /api/v1/store/pin", 404),
        (LOOPBACK, "POST /api/v1/store/collect", 200),
        (LOOPBACK, "DELETE /api/v1/freezes", 204),
    ]
    assert [each["result"].partition(":")[0] for each in lines] == ["done", "failed", "done", "done"]
    assert lines[0]["arguments"] == {"pattern": "docker.io/library/app:1"}
    assert lines[1]["arguments"] == {"image": "docker.io/library/none:1", "pinned": "True"}


async def test_n13_05_a_change_that_is_refused_is_a_line_as_well(frozen: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await raw(frozen.admin_port, request("/api/v1/freezes", method="POST", body=FREEZE, host="evil.example"))
    (line,) = audited(caplog)
    assert (line["status"], line["result"].startswith("refused: ")) == (403, True)


async def test_n13_05_an_import_that_fails_on_the_way_is_told_as_failed(proxy: Rig, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://{LOOPBACK}:{proxy.admin_port}/api/v1/store/import"
    with caplog.at_level(logging.INFO):
        async with proxy.session.post(url, data=b"no tar", headers={"Content-Type": "application/x-tar"}) as response:
            await response.read()
    (line,) = audited(caplog)
    assert line["result"].startswith("failed: ")


async def test_the_page_of_the_port_itself_may_ask(tmp_path: Path, upstream: FakeRegistry) -> None:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        own = f"{LOOPBACK}:{proxy.admin_port}"
        lines = [f"Origin: http://{own}", "Sec-Fetch-Site: same-origin"]
        assert status(await raw(proxy.admin_port, request("/api/v1/upstreams", *lines, host=own))) == 200


def outward() -> str:
    """Find an address of this machine that is not loopback."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


async def test_n13_05_a_port_on_all_interfaces_tells_strangers_health_and_metrics_alone(tmp_path: Path, upstream: FakeRegistry) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, admin_hosts=["regproxy"])
    program.configure(admin_listen=f"0.0.0.0:{program.admin_port}")
    address = outward()
    async with program.running(), aiohttp.ClientSession() as session:
        assert (await program.ask("/v2/library/app/manifests/1"))[0] == 200

        async def asked(method: str, path: str, host: str, json: object = None) -> int:
            url = f"http://{address}:{program.admin_port}{path}"
            async with session.request(method, url, headers={"Host": host}, json=json) as response:
                return response.status

        freeze, drop = {"pattern": "docker.io/library/app:1"}, {"image": "docker.io/library/app:1"}
        assert await asked("POST", "/api/v1/freezes", address, json=freeze) == 403
        assert await asked("DELETE", "/api/v1/freezes?pattern=docker.io/library/app:1", address) == 403
        for act in ("pin", "remove", "collect", "verify", "rebuild", "import"):
            assert await asked("POST", f"/api/v1/store/{act}", address, json=drop) == 403
        assert await asked("GET", "/api/v1/store/export?image=docker.io/library/app:1", address) == 403
        for host in (address, "regproxy:5001", "10.11.12.13:5001", "localhost"):
            assert await asked("GET", "/metrics", host) == 200
        assert await asked("GET", "/metrics", "regproxy.evil.example") == 403
        for path in ("/", "/healthz", "/readyz", "/api/v1/access"):
            assert await asked("GET", path, address) == 200
        for path in ("/api/v1", "/api/v1/store/images", "/api/v1/upstreams", "/api/v1/history", "/api/v1/explain?image=app", "/nowhere"):
            assert await asked("GET", path, address) == 403
        assert await asked("POST", "/api/v1/store/show", address, json=drop) == 403
        assert (await program.admin("/api/v1/freezes", "POST", freeze))[0] == 201
        await program.until(lambda: [each["result"] for each in program.lines() if each.get("message") == "admin change"][-1:] == ["done"])


async def test_c11_who_opens_connections_and_says_nothing_keeps_nobody_out(proxy: Rig) -> None:
    """Of many silent connections the oldest end, so that kubelet, Prometheus and pulls are answered."""
    silent = [await asyncio.open_connection(LOOPBACK, proxy.admin_port) for _ in range(300)]
    for reader, _ in silent[:100]:
        async with asyncio.timeout(300):
            assert await reader.read() == b""
    for path in ("/healthz", "/readyz", "/metrics"):
        assert status(await raw(proxy.admin_port, request(path))) == 200
    assert (await proxy.ask("/v2/")).status == 200
    for _, writer in silent:
        writer.close()


async def test_n12_17_a_body_nested_too_deeply_is_refused(proxy: Rig) -> None:
    body = b"[" * 100_000
    for path in ("/api/v1/freezes", "/api/v1/store/restore", "/api/v1/store/pin", "/api/v1/session"):
        answer = await raw(proxy.admin_port, request(path, method="POST", body=body))
        assert (status(answer), set(json.loads(answer.body))) == (400, {"error"}), path
