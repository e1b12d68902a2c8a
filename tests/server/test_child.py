"""How the process of a worker begins, and what it has of its supervisor."""

import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.storage.directory.store_lock import claimed
from tests.fakes.program import Program

_FORK = """
import os, sys
from regproxy.server.child import forked
held = os.open(os.devnull, os.O_RDONLY)
def serve(line):
    said = line.recv(9).decode()
    try:
        os.fstat(held)
        said += " holds"
    except OSError:
        said += " let go"
    line.sendall(f"{said} {os.getpgid(0) == os.getpid()}".encode())
    if line.recv(1):
        raise ValueError("odd")
    sys.exit(7)
children = forked(2, serve, [held])
for child in children:
    child.line.sendall(b"what now?")
    print(child.name, child.line.recv(99).decode())
children[0].line.close()
children[1].line.sendall(b"!")
print([os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) for child in children])
"""


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)


def test_a_fork_has_a_line_of_its_own_and_nothing_that_is_held_and_its_status_is_seen() -> None:
    done = _run(_FORK)
    assert done.stdout.splitlines() == ["0 what now? let go True", "1 what now? let go True", "[7, 1]"]
    assert "ValueError: odd" in done.stderr


def test_garbage_is_collected_once_all_is_imported_and_the_workers_are_forked() -> None:
    script = """
import gc
gc.disable()
from regproxy.server.child import forked
[child] = forked(1, lambda line: line.sendall(str(gc.isenabled()).encode()), [])
print(child.line.recv(9).decode(), gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
    assert _run(script).stdout.split() == ["False", "True", "True"]  # a worker collects by its own clock (regproxy/server/gc.py)


def test_a_supervisor_without_workers_does_not_look_for_garbage_among_what_is_imported_either() -> None:
    script = """
import gc
gc.disable()
from regproxy.server.child import forked
print(len(forked(0, print, [])), gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
    assert _run(script).stdout.split() == ["0", "True", "True"]


def test_garbage_of_what_is_imported_is_not_kept_for_ever() -> None:
    script = """
import gc, weakref
gc.disable()
from regproxy.server.child import forked
class Knot:
    pass
knot = Knot()
knot.me = knot
gone = weakref.ref(knot)
del knot
print(len(forked(0, print, [])), gone())
"""
    assert _run(script).stdout.split() == ["0", "None"]


def test_the_requests_of_each_worker_have_ids_of_their_own() -> None:
    script = """
from regproxy.server.child import forked
from regproxy.web.context import new_request_id
children = forked(2, lambda line: line.sendall(new_request_id().encode()), [])
print(new_request_id(), *(child.line.recv(99).decode() for child in children))
"""
    ids = _run(script).stdout.split()
    assert len({each[:8] for each in ids}) == 3


def test_a_fork_ends_with_its_parent() -> None:
    script = """
import os, signal
from regproxy.server.child import forked
outside = os.pipe()
if not os.fork():  # the parent of the fork, killed while that does not read its line
    [child] = forked(1, lambda line: signal.pause(), [])
    os.kill(os.getpid(), signal.SIGKILL)
os.close(outside[1])
print(os.read(outside[0], 1))  # when the last process that has the pipe is gone
"""
    assert _run(script).stdout.strip() == "b''"


@pytest.mark.parametrize("patterns", [1, 400], ids=["few settings", "more than a socket takes at once"])
async def test_the_store_is_free_at_once_when_the_supervisor_is_killed(patterns: int, tmp_path: Path) -> None:
    deny = [f"team{number}/{'a' * 2_000}" for number in range(patterns)]
    program = Program(tmp_path, {"r.test": {"hosts": [{"url": "https://r.test"}], "deny": deny}})
    async with program.running():
        assert len(set(program.workers())) == 2
        assert (await program.ask("/v2/"))[0] == 200
        assert program.process is not None
        program.process.kill()
        await program.process.wait()
        with claimed(tmp_path / "store"):
            pass
