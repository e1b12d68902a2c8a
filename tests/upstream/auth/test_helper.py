"""Helpers that are scripts, with children of their own."""

import asyncio
import os
from pathlib import Path

import pytest

from regproxy.upstream.auth.helper import HelperFailedError, answer

ANSWER = b"{}\n"
ENVIRONMENT = {"PATH": os.defpath}


def _script(tmp_path: Path, body: str, head: str = "#!/bin/sh\n") -> str:
    path = tmp_path / "docker-credential-test"
    path.write_text(f"{head}{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_n12_09_a_helper_whose_child_hangs_is_ended_with_it(tmp_path: Path) -> None:
    """The child keeps the output open: who waits for that waits as long as the child."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    program = _script(tmp_path, f"sleep 3600 3>{fifo}\necho {{}}")
    with pytest.raises(HelperFailedError, match="did not end"):
        await answer(program, "a.io", ENVIRONMENT, timeout=1)
    os.set_blocking(reading, True)
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(os.read, reading, 1) == b"", "nobody has the other end open"
    os.close(reading)


async def test_n12_09_what_a_helper_leaves_behind_keeps_nobody_waiting(tmp_path: Path) -> None:
    program = _script(tmp_path, "echo {}\nsleep 20 &")
    assert await answer(program, "a.io", ENVIRONMENT, timeout=1) == ANSWER


@pytest.mark.parametrize("head", ["", "#!/nowhere/sh\n"], ids=["no program", "no interpreter"])
async def test_n12_09_a_helper_that_cannot_be_run_is_a_failure_in_words(tmp_path: Path, head: str) -> None:
    with pytest.raises(HelperFailedError, match="cannot be run"):
        await answer(_script(tmp_path, "echo {}", head), "a.io", ENVIRONMENT)


async def test_n12_09_a_helper_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(HelperFailedError, match="printed too much"):
        await answer(_script(tmp_path, "yes"), "a.io", ENVIRONMENT, timeout=60)


async def test_a_helper_that_does_not_listen_is_heard(tmp_path: Path) -> None:
    assert await answer(_script(tmp_path, "exec <&-; echo {}"), "a.io", ENVIRONMENT) == ANSWER
