"""What strangers say must not write our log: row S27."""

import asyncio
import io
import json
import logging
from pathlib import Path

import pytest

from tests.fakes.deeds import Deed, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, raw, rig

FORGED = '{"level": "info", "message": "forged"}'
ODD = f"\x1b[31mred\x07 \u2028 \udcff {FORGED}"


def told(lines: io.StringIO) -> list[dict[str, object]]:
    """Read the log as programs do; give what was told of requests, by us or, where they were no HTTP, by aiohttp."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    text = lines.getvalue()
    assert text.isascii()
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    records = [json.loads(line) for line in text.splitlines()]
    assert "forged" not in [record["message"] for record in records]
    return [record for record in records if record["logger"] in {"regproxy.access", "aiohttp.server"}]


PATHS = [
    pytest.param(b"/v2/a%0d%0a%7b%22level%22%7d/manifests/1", id="encoded lines in a name"),
    pytest.param(b"/v2/a/manifests/%1b[31m", id="an encoded escape in a tag"),
    pytest.param(b"/v2/\xff\xfe/manifests/1", id="no UTF-8 in a name"),
    pytest.param(b"/v2/\xe2\x80\xa8" + FORGED.encode().replace(b" ", b"") + b"/manifests/1", id="a line separator in a name"),
    pytest.param(b"/v2/a/manifests/1?ns=%0a%1b\xff", id="in the query"),
    pytest.param(b"/v2/" + b"%0a" * 2000 + b"/manifests/1", id="thousands of lines"),
]


@pytest.mark.parametrize("agent", [b"curl", ODD.encode("utf-8", "surrogateescape")], ids=["", "odd agent"])
@pytest.mark.parametrize("path", PATHS)
async def test_s27_what_a_client_says_is_one_line(proxy: Rig, lines: io.StringIO, path: bytes, agent: bytes) -> None:
    answer = await raw(proxy.port, b"GET %s HTTP/1.1\r\nHost: proxy\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n" % (path, agent))
    assert answer.received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert len(told(lines)) == 1


async def test_s27_a_user_agent_is_one_line(upstream: FakeRegistry, proxy: Rig, lines: io.StringIO) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    agent = f"\x80\xff \u2028 {FORGED}".encode("utf-8", "surrogateescape")
    request = b"GET /v2/library/app/manifests/1 HTTP/1.1\r\nHost: proxy\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n" % agent
    assert (await raw(proxy.port, request)).received.startswith(b"HTTP/1.1 200")
    (line,) = told(lines)
    assert FORGED in str(line["agent"])


@pytest.mark.parametrize("request_", [b"\x16\x03\x01\r\n\r\n", b"GET /v2/\x01 HTTP/1.1\r\n\r\n", b"GET /v2/ HTTP/1.1\r\nno colon\r\n\r\n"])
async def test_s27_a_request_that_is_not_http_is_one_line_of_no_alarm(proxy: Rig, lines: io.StringIO, request_: bytes) -> None:
    """A traceback for each would be anybody's way to fill a disk, and to hide what matters."""
    answer = await raw(proxy.port, request_)
    assert answer.received[8:13] == b" 400 "
    assert json.loads(answer.received.rpartition(b"\r\n\r\n")[2])["errors"][0]["code"] == "UNSUPPORTED"
    (line,) = told(lines)
    assert (line["level"], line["outcome"], "exception" in line) == ("info", "invalid", False)
    assert len(json.dumps(line)) < 500


async def test_a_client_that_tries_https_first_is_told_as_such(proxy: Rig, lines: io.StringIO) -> None:
    """As skopeo and docker do with a registry that is named insecure, at every pull."""
    await raw(proxy.port, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160))
    (line,) = told(lines)
    assert line["failure"] == "invalid HTTP request: https on a port of plain http"


LIES: list[tuple[str, Deed]] = [
    ("body", Status(500, body=b"\r\n" + ODD.encode("utf-8", "surrogateescape"))),
    ("errors", Status(404, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": ODD, "message": f"\n{ODD}"}]}).encode())),
    ("digest", Status(200, {"Docker-Content-Digest": f"sha256:{FORGED}"}, b"\x1b[31m\r\n\xff")),
    ("media type", Status(200, {"Content-Type": f"application/{FORGED}\x1b"}, b"{}")),
    ("challenge", Status(401, {"WWW-Authenticate": f'Bearer realm="http://evil.example/{FORGED}"'})),
    ("scheme", Status(401, {"WWW-Authenticate": f"\x1b[31m {FORGED}"})),
    ("place", Status(307, {"Location": f"http://evil.example:x/{FORGED}"})),
    ("pause", Status(429, {"Retry-After": f"\x1b {FORGED}"})),
]


@pytest.mark.parametrize("lie", [lie for _, lie in LIES], ids=[name for name, _ in LIES])
async def test_s27_what_upstream_says_is_one_line(upstream: FakeRegistry, proxy: Rig, lines: io.StringIO, lie: Deed) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    upstream.misbehave("/manifests/", lie)
    answer = await proxy.ask("/v2/library/app/manifests/1")
    assert answer.status >= 400
    assert json.loads(answer.body)["errors"]
    assert (answer.body.isascii(), b"\x1b" in answer.body) == (True, False)
    (line,) = told(lines)
    assert str(line["message"]).endswith(str(answer.status))


async def test_s27_what_a_token_service_says_is_one_line(tmp_path: Path, lines: io.StringIO) -> None:
    async with FakeRegistry("anonymous") as upstream:
        upstream.token_reply = b"\r\n" + ODD.encode("utf-8", "surrogateescape")
        async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
            answers = await asyncio.gather(*(proxy.ask("/v2/library/app/manifests/1") for _ in range(3)))
    assert {answer.status for answer in answers} == {502}
    assert len(told(lines)) == 3
