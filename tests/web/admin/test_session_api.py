"""Tokens of the admin port: who may do what, signing in on the page, and what is told of it."""

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from regproxy.telemetry import audit
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

FORWARDED = {"X-Forwarded-For": "192.0.2.1"}  # as from elsewhere
READ, OPERATE = "canary-read-token-0123456789", "canary-operate-token-0123456789"
FREEZE = {"pattern": "docker.io/library/app:1"}


def bearer(token: str) -> dict[str, str]:
    return {**FORWARDED, "Authorization": f"Bearer {token}"}


@pytest.fixture
async def guarded(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Rig]:
    tokens = {"grafana": {"token": READ}, "ops": {"token": OPERATE, "role": "operate"}}
    upstream.add_image("library/app", "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, admin_tokens=tokens) as proxy:
        assert (await proxy.ask("/v2/library/app/manifests/1")).status == 200
        yield proxy


async def asked(proxy: Rig, path: str, headers: dict[str, str], method: str = "GET", body: object = None) -> tuple[int, Any, SimpleCookie]:
    url = f"http://{LOOPBACK}:{proxy.admin_port}{path}"
    async with proxy.session.request(method, url, headers=headers, json=body) as response:
        text = await response.text()
        assert ("WWW-Authenticate" in response.headers) == (response.status == 401)
        is_json = response.content_type == "application/json"
        return response.status, json.loads(text) if is_json and text else text, SimpleCookie(response.headers.get("Set-Cookie"))


@pytest.mark.parametrize(
    ("headers", "reads", "changes"),
    [
        (FORWARDED, 401, 401),
        (bearer(READ), 200, 403),
        (bearer(OPERATE), 200, 201),
        (bearer(READ[:-1]), 401, 401),
        ({**FORWARDED, "Authorization": f"bearer {OPERATE}"}, 200, 201),
        ({**FORWARDED, "Authorization": f"Basic {OPERATE}"}, 401, 401),
        ({**FORWARDED, "Cookie": f"regproxy_admin={OPERATE}"}, 401, 401),
        ({}, 200, 201),
    ],
    ids=["no token", "read", "operate", "unknown", "small letters", "another scheme", "a token as a cookie", "this machine"],
)
async def test_n16_04_a_token_entitles_to_its_role(guarded: Rig, headers: dict[str, str], reads: int, changes: int) -> None:
    assert (await asked(guarded, "/api/v1/store/images", headers))[0] == reads
    assert (await asked(guarded, "/api/v1/freezes", headers, "POST", FREEZE))[0] == changes
    assert (await asked(guarded, "/metrics", headers))[0] == 200


async def test_n16_04_a_command_takes_its_token_from_the_environment(guarded: Rig) -> None:
    """Beyond loopback by a relay that says so."""

    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK, guarded.admin_port)
        head = await reader.readuntil(b"\r\n\r\n")
        upstream_writer.write(head.replace(b"\r\n", b"\r\nX-Forwarded-For: 192.0.2.1\r\n", 1))
        writer.write(await upstream_reader.read())
        writer.close()
        upstream_writer.close()

    async with await asyncio.start_server(relayed, LOOPBACK, 0) as server:
        url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        command = [sys.executable, "-m", "regproxy", "freeze", "--admin", url]
        outcomes = []
        for token in (None, READ):
            environment = {**os.environ, **({"REGPROXY_ADMIN_TOKEN": token} if token else {})}
            done = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
            _, said = await done.communicate()
            outcomes.append((done.returncode, b"REGPROXY_ADMIN_TOKEN" in said))
    assert outcomes == [(1, True), (0, False)]


async def test_n16_04_exporting_an_image_is_for_operators(guarded: Rig) -> None:
    path = "/api/v1/store/export?image=docker.io/library/app:1"
    assert [(await asked(guarded, path, bearer(each)))[0] for each in (READ, "nobody's")] == [403, 401]


async def test_n16_04_signing_in_gives_a_cookie_that_no_script_reads_and_signing_out_ends_it(
    guarded: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        status, _, cookies = await asked(guarded, "/api/v1/session", FORWARDED, "POST", {"token": READ})
    assert status == 204
    cookie = cookies["regproxy_admin"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], bool(cookie["secure"])) == (True, "Strict", "/", False)
    assert READ not in cookie.value
    signed = {**FORWARDED, "Cookie": f"regproxy_admin={cookie.value}"}
    assert (await asked(guarded, "/api/v1/store/images", signed))[0] == 200
    assert (await asked(guarded, "/api/v1/freezes", signed, "POST", FREEZE))[0] == 403
    document = (await asked(guarded, "/api/v1/access", signed))[1]
    assert (document["name"], document["may_read"], document["may_change"], document["takes_tokens"]) == ("grafana", True, False, True)
    assert (await asked(guarded, "/api/v1/session", signed, "DELETE"))[0] == 204
    assert (await asked(guarded, "/api/v1/store/images", signed))[0] == 401
    assert "canary" not in caplog.text
    assert [vars(each)["fields"]["token"] for each in caplog.records if each.getMessage().startswith("signed in")] == ["grafana"]


@pytest.mark.parametrize(
    ("body", "expected"), [({"token": "x" * 40}, 401), ({"token": 7}, 400), ({}, 400), ([], 400), ({"token": "\ud800"}, 401)]
)
async def test_n16_04_what_is_no_token_begins_no_session(guarded: Rig, body: object, expected: int) -> None:
    status, answer, cookies = await asked(guarded, "/api/v1/session", FORWARDED, "POST", body)
    assert (status, list(answer), len(cookies)) == (expected, ["error"], 0)


async def test_n16_04_no_page_of_another_site_signs_anybody_in(guarded: Rig) -> None:
    for header in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        status, _, cookies = await asked(guarded, "/api/v1/session", header, "POST", {"token": READ})
        assert (status, len(cookies)) == (403, 0)


async def test_n16_04_a_change_is_told_with_the_name_of_its_token(guarded: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await asked(guarded, "/api/v1/freezes", bearer(OPERATE), "POST", FREEZE)
        await asked(guarded, "/api/v1/freezes", bearer(READ), "POST", FREEZE)
    lines = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "admin change"]
    assert [(each["token"], each["status"]) for each in lines] == [("ops", 201), ("grafana", 403)]


async def test_n16_04_changes_are_kept_in_a_file_of_their_own_that_may_be_rotated(guarded: Rig, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit.keep_in(path)
    try:
        await asked(guarded, "/api/v1/freezes", bearer(OPERATE), "POST", FREEZE)
        audit.keep_in(path)  # writes what is on its way
        path.rename(tmp_path / "audit.log.1")
        await asked(guarded, "/api/v1/freezes?pattern=docker.io/library/app:1", bearer(OPERATE), "DELETE")
    finally:
        audit.keep_in(None)
    before, after = (json.loads((tmp_path / name).read_text()) for name in ("audit.log.1", "audit.log"))
    assert [(each["message"], each["token"], each["action"]) for each in (before, after)] == [
        ("admin change", "ops", "POST /api/v1/freezes"),
        ("admin change", "ops", "DELETE /api/v1/freezes"),
    ]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_n16_04_an_audit_log_that_cannot_be_written_is_told_with_its_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audit.keep_in(tmp_path / "missing" / "audit.log")
    try:
        audit.record(action="POST /api/v1/freezes")
    finally:
        audit.keep_in(None)
    [record] = [each for each in caplog.records if each.getMessage() == "audit log cannot be written"]
    assert "POST /api/v1/freezes" in str(vars(record)["fields"]["lines"])
