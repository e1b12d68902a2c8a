"""The first evening with a terminal: what regproxy says of itself, and of what goes wrong."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regproxy.cli import app
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry

from .test_store import ran


def _run(command: str, config: Path) -> "subprocess.CompletedProcess[str]":
    words: list[str | Path] = [sys.executable, "-m", "regproxy", command, "--config", config]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


async def test_n13_07_a_terminal_is_told_in_lines_where_everything_is(upstream: FakeRegistry, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=1)
    program.configure()
    command = [sys.executable, "-m", "regproxy", "serve", "--config", str(program.config)]
    program.process = await asyncio.create_subprocess_exec(*command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    try:
        await program.until(program.are_all_accepting)
        assert (await program.ask("/v2/library/none/manifests/1"))[0] == 404
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0
    finally:
        if program.process.returncode is None:
            program.process.kill()
    lines = (await reading).splitlines()
    assert [line for line in lines if line.startswith(("{", "Traceback"))] == []
    [created] = [line for line in lines if "created new store" in line]
    assert f"root={tmp_path}/store" in created
    [serving] = [line for line in lines if "serving" in line]
    for told in (
        f"listen=127.0.0.1:{program.port}",
        f"store={tmp_path}/store",
        f"page=http://127.0.0.1:{program.admin_port}/",
        "skopeo copy",
    ):
        assert told in serving
    assert any("GET /v2/library/none/manifests/1 404" in line and "client=127.0.0.1" in line for line in lines)


def _read_all(descriptor: int) -> str:
    """Read until the other end of a terminal is closed, which Linux tells by EIO."""
    found = b""
    try:
        while chunk := os.read(descriptor, 65536):
            found += chunk
    except OSError:
        pass
    os.close(descriptor)
    return found.decode()


async def test_n13_07_elsewhere_the_log_is_json(upstream: FakeRegistry, tmp_path: Path) -> None:
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
    async with program.running():
        program.tell(signal.SIGTERM)
        await program.ended()
    [serving] = [line for line in program.lines() if line["message"] == "serving"]
    assert (serving["store"], serving["page"]) == (f"{tmp_path}/store", f"http://127.0.0.1:{program.admin_port}/")
    assert any(line["message"] == "created new store" for line in program.lines())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("store: [", "line", id="no YAML"),
        pytest.param("tls: {certificate: /none.crt, key: /none.key}", "/none.crt cannot be read", id="a certificate"),
        pytest.param("upstreams: {r.example: {hosts: [{url: https://r.example, tls: {ca: /none.pem}}]}}", "/none.pem", id="an authority"),
        pytest.param("store: {root: /proc/none}", "/proc/none", id="a store"),
    ],
)  # fmt: skip
def test_n13_07_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, what: str) -> None:
    config = tmp_path / "regproxy.yaml"
    config.write_text(
        f"listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n{text}\n" + ("" if "store:" in text else f"store: {{root: {tmp_path}/s}}\n")
    )
    result = _run("serve" if "/proc" in text else "check", config)
    assert result.returncode in {1, 2}
    assert (result.stdout, len(result.stderr.splitlines())) == ("", 1), result.stderr
    assert what in result.stderr


@pytest.mark.parametrize("arguments", [["import", "/none.tar"], ["import", "/"], ["export", "/none/x.tar", "app:1"]], ids=" ".join)
def test_n13_07_a_tar_that_cannot_be_opened_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    result = ran(tmp_path, *arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "intended"),
    [
        ("REGPROXY_LISTEN", "REGPROXY__LISTEN"),
        ("REGPROXY_STORE_ROOT", "REGPROXY__STORE__ROOT"),
        ("regproxy_log_level", "REGPROXY__LOG_LEVEL"),
    ],
)
def test_n13_07_a_variable_with_one_underscore_is_told_of(tmp_path: Path, name: str, intended: str) -> None:
    config = tmp_path / "regproxy.yaml"
    config.write_text(f'redis: {{url: "redis://127.0.0.1:1", key: "${{REGPROXY_REDIS_KEY}}"}}\nstore: {{root: {tmp_path}}}\n')
    env = {name: "x", "REGPROXY_REDIS_KEY": "0123456789abcdef" * 4}
    result = CliRunner().invoke(app, ["check", "--config", str(config)], env=env)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [f"warning: {name} is not read: two underscores make it {intended}"]


def test_n13_07_a_foreign_directory_keeps_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "photo.jpg").touch()
    config = tmp_path / "regproxy.yaml"
    config.write_text(f"listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nstore: {{root: {tmp_path / 'precious'}}}")
    assert _run("serve", config).returncode == 1
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["photo.jpg"]
