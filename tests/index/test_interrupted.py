"""Killed in the middle of an upgrade, a start or a restore, before each call in turn: the next one makes it whole.

REGPROXY_EVERY_STEP=1 tries all of them, and takes minutes.
"""

import asyncio
import os
import sys

import pytest

from tests.index.interrupted import CASES

STRIDE = os.environ.get("REGPROXY_EVERY_STEP", "17")


@pytest.mark.parametrize("case", CASES)
async def test_n15_07_what_is_killed_at_any_step_is_made_whole_by_its_repetition(case: str) -> None:
    command = [sys.executable, "-m", "tests.index.interrupted", case, STRIDE]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-3000:]
    assert int(output.split()[-1]) > 5, "it was killed that often"
