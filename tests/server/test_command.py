"""`regproxy serve`: the same whoever has read its arguments, and without typer where units and images run it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_MISTAKES = "stor: {}\ndrain: 5"
_CLOSED = f'exec "{sys.executable}" -m regproxy serve 2>&-'


def ran(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "regproxy", "serve", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False)


def told(file: Path) -> str:
    return f"{file}: drain: '5' is not a duration such as 250ms, 5s, 5m, 12h or 7d\n{file}: stor: unknown key; did you mean store?\n"


def test_mistakes_are_told_however_the_file_is_named(tmp_path: Path) -> None:
    (file := tmp_path / "regproxy.yaml").write_text(_MISTAKES)
    named = [ran("--config", file), ran(f"--config={file}"), ran(REGPROXY_CONFIG=str(file)), ran("--config", file, REGPROXY_CONFIG="/none")]
    assert [(each.returncode, each.stdout, each.stderr) for each in named] == [(2, "", told(file))] * len(named)


def test_an_empty_variable_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = ran(REGPROXY_CONFIG="", REGPROXY__STORE__ROOT=str(tmp_path), REGPROXY__ADMIN_LISTEN="127.0.0.1:0", REGPROXY_LISTEN="x")
    warning, reason = done.stderr.splitlines()
    assert warning == "warning: REGPROXY_LISTEN is not read: two underscores make it REGPROXY__LISTEN"
    assert (done.returncode, reason.startswith(f"regproxy cannot serve: {tmp_path} is not empty")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "Serve registries until told to stop"),
        (["--config", "--help"], 2, ""),
        (["--config"], 2, "requires an argument"),
        (["nginx"], 2, "unexpected extra argument"),
    ],
)
def test_other_arguments_are_typers(arguments: list[str], status: int, words: str) -> None:
    done = ran(*arguments, COLUMNS="200")
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done


def test_mistakes_without_anybody_to_tell_them_are_a_status(tmp_path: Path) -> None:
    (file := tmp_path / "regproxy.yaml").write_text(_MISTAKES)
    done = subprocess.run(["sh", "-c", _CLOSED], env={**os.environ, "REGPROXY_CONFIG": str(file)}, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_who_serves_has_neither_a_parser_of_commands_in_memory_nor_what_hardly_anybody_asks_for(tmp_path: Path) -> None:
    """All is imported before a port is found to be in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (file := tmp_path / "regproxy.yaml").write_text(f"listen: {address}\nstore: {{root: {tmp_path / 'store'}}}")
        command = [sys.executable, "-X", "importtime", "-m", "regproxy", "serve", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert f"cannot listen at {address}" in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "regproxy.server.supervisor" in imported
    assert not {"typer", "rich", "regproxy.cli", "tarfile", "difflib"} & imported
