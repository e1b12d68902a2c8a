"""The commands, and a program that serves both ports by https."""

import asyncio
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.clients.processes import Daemon, is_listening, run
from tests.fakes.authority import Authority
from tests.free_port import free_port

REGPROXY = (sys.executable, "-m", "regproxy")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Serve, and give the configuration that says how."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "client_ca": str(authority.ca)}
    listen, admin = free_port(), free_port()
    document = {
        "listen": f"127.0.0.1:{listen}",
        "admin_listen": f"127.0.0.1:{admin}",
        "tls": tls,
        "admin_tls": tls,
        "store": {"root": str(tmp_path / "store")},
    }
    config = tmp_path / "regproxy.yaml"
    config.write_text(yaml.safe_dump(document))
    program = Daemon([*REGPROXY, "serve", "--config", config], tmp_path / "regproxy.log")
    program.start(lambda: is_listening(listen) and is_listening(admin))
    yield config
    program.stop()


def test_commands_reach_an_admin_port_that_asks_for_certificates(config: Path) -> None:
    run([*REGPROXY, "freeze", "docker.io/library/app:1", "--config", config])
    run([*REGPROXY, "unfreeze", "docker.io/library/app:1", "--config", config])


async def test_both_ports_refuse_who_is_vouched_for_by_nobody(config: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(await asyncio.to_thread(config.read_text))
    stranger = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    for address in (document["listen"], document["admin_listen"]):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=stranger)
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
        received = b""
        with suppress(OSError):  # TLS 1.3 tells of it with the first answer
            received = await reader.read()
        writer.transport.abort()
        assert received == b""
