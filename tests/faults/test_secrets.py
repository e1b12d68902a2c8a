"""Row S26 over a whole program at DEBUG: every place where a secret of a registry, its helper, a proxy or Redis could go."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.canary import told
from tests.fakes.deeds import Deed, Redirect, Status
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fleet.redis_server import RedisServer
from tests.free_port import free_port

NAME = "library/app"
PASSWORD = "canary-helper-9a1f"
KEY = "canary-key-1f0123456789abcdef0123456789abcdef"
HELPER = """#!{python} -I
import json, os, sys
with open({seen!r}, "a") as file:
    file.write(json.dumps([sys.argv[1:], sys.stdin.read(), dict(os.environ)]) + "\\n")
print(json.dumps({{"Username": "user", "Secret": {secret!r}}}))
"""


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


def _helped(tmp_path: Path) -> tuple[dict[str, object], dict[str, str]]:
    """Install a helper; return the credentials that name it, and the environment of a program that finds it."""
    program = tmp_path / "bin" / "docker-credential-test"
    program.parent.mkdir()
    program.write_text(HELPER.format(python=sys.executable, seen=str(tmp_path / "seen"), secret=PASSWORD))
    program.chmod(0o755)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credsStore": "test"}))
    path = f"{program.parent}:{os.environ['PATH']}"
    credentials: dict[str, object] = {"docker_config": str(config), "helper_env": {"AWS_SECRET_ACCESS_KEY": "${CLOUD}"}}
    return credentials, {"PATH": path, "CLOUD": "canary-cloud", "OTHER": "canary-of-another-upstream"}


_ECHO = Status(401, body=json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": f"no user has {PASSWORD}"}]}).encode())
_AWAY = Redirect("http://user:canary-location@elsewhere.example/canary-path?canary=signature")


@pytest.mark.parametrize("deed", [_ECHO, _AWAY, Status(500, {"X": PASSWORD}, PASSWORD.encode())], ids=["echo", "redirect", "broken"])
async def test_n12_09_no_secret_is_told_anywhere(tmp_path: Path, redis: RedisServer, deed: Deed) -> None:
    credentials, environment = _helped(tmp_path)
    found: list[str] = []
    async with FakeRegistry("password", password=PASSWORD) as upstream, ForwardProxy() as proxy:
        upstream.add_image(NAME, "1", [b"layer"])
        upstreams = {"docker.io": {"hosts": [{"url": upstream.url}], "credentials": credentials, "proxy": proxy.configured}}
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"
        async with Redis.from_url(redis.url) as admin:
            await admin.config_set("requirepass", "canary-redis")
        settings = {"url": redis.url.replace("//", "//:canary-redis@"), "key": KEY, "timeout": "60s"}
        program = Program(tmp_path, upstreams, env=environment, redis=settings, log_level="debug")
        async with program.running():
            status, _ = await program.ask(f"/v2/{NAME}/manifests/1")
            assert status == 200
            heard = await reader.readuntil(b"regproxy:token:")
            upstream.expire_tokens()
            upstream.misbehave("/token", deed)
            found += [body.decode() for _, body in [await program.ask(f"/v2/private/{number}/manifests/1") for number in range(4)]]
            proxy.password = "canary-changed"

            async def is_refused_by_proxy() -> bool:
                found.append((await program.ask("/v2/other/app/manifests/1"))[1].decode())
                return "answered 407" in found[-1]

            await program.until(is_refused_by_proxy)
            for path in ("/readyz", "/healthz", "/metrics", "/api/v1/upstreams", f"/api/v1/explain?image=docker.io/{NAME}:1", "/"):
                found.append((await program.admin(path))[1])
            found += [line for worker in program.workers() for line in _of_process(worker)]
        checked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "regproxy", "check", "--config", str(program.config)),
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        found.append((await checked.communicate())[0].decode())
        writer.close()
    assert checked.returncode == 0
    assert [text for text in map(told, [*found, program.log(), heard.decode("latin-1")]) if text] == []
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert [(arguments, told(server)) for arguments, server, _ in seen] == [(["get"], None)] * len(seen)
    assert seen
    assert {name for _, _, names in seen for name in names} - {"LC_CTYPE"} == {"PATH", "HOME", "AWS_SECRET_ACCESS_KEY"}
    assert {names["AWS_SECRET_ACCESS_KEY"] for _, _, names in seen} == {"canary-cloud"}


async def test_n12_09_a_redis_that_refuses_us_is_told_without_its_password(tmp_path: Path, redis: RedisServer) -> None:
    async with FakeRegistry() as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        async with Redis.from_url(redis.url) as admin:
            await admin.config_set("requirepass", "canary-redis")
        for url in (redis.url.replace("//", "//:canary-wrong@"), f"redis://user:canary-wrong@127.0.0.1:{free_port()}/0"):
            program = Program(
                tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, redis={"url": url, "key": KEY}, log_level="debug"
            )
            async with program.running():
                assert (await program.ask(f"/v2/{NAME}/manifests/1"))[0] == 200
                found = [(await program.admin(path))[1] for path in ("/readyz", "/metrics")]
            assert [text for text in map(told, [*found, program.log()]) if text] == []


def _of_process(number: int) -> list[str]:
    """Read what everybody on the machine sees of a process, and what it shares with others in memory."""
    place = Path(f"/proc/{number}")
    opened = [each.readlink() for each in (place / "fd").iterdir() if each.is_symlink()]  # a forked worker's environ tells nothing
    shared = [path for path in opened if re.fullmatch(r"regproxy-\d+-[a-z0-9_]{8}", path.name)]
    files = [path for folder in shared for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.read_bytes().decode("latin-1") for path in (place / "cmdline", *files)]
