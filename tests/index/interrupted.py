"""`python -m tests.index.interrupted CASE STRIDE`: be killed before each call of SQLite or the file system in turn, and begin again.

Each attempt is a process of its own, forked before it has a thread. What an attempt and its repetition leave has to be what one attempt
leaves that nobody disturbs. A file system in memory is not the slower for all the syncing, which is not what is tested.
"""

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from regproxy.index import recovery
from regproxy.index.sqlite import SqliteIndex
from regproxy.policy.freshness import TagRecord
from regproxy.ports import OperatorDecisions
from tests.index.test_migrations import FROZEN, MANIFEST, REFERENCE, store_of

_WATCHED = ("regproxy.index", "pathlib", "aiosqlite")
DECISIONS = OperatorDecisions((MANIFEST.digest,), tuple(FROZEN), ((REFERENCE, TagRecord(MANIFEST, 17.5)),))


def migrate(folder: Path) -> None:
    recovery.make_usable(folder / "index.db")


def restore(folder: Path) -> None:
    async def decide() -> None:
        index = await SqliteIndex.open(folder / "index.db")
        await index.ledger().decide(DECISIONS)
        await index.close()

    asyncio.run(decide())


def _damaged(folder: Path) -> None:
    store_of(folder, "3")
    (folder / "index.damaged").touch()


def _nothing(folder: Path) -> None:
    """Begin without a store."""


CASES: dict[str, tuple[Callable[[Path], object], Callable[[Path], None]]] = {
    "0": (lambda folder: store_of(folder, "0"), migrate),
    "2": (lambda folder: store_of(folder, "2"), migrate),
    "3, at first": (lambda folder: store_of(folder, "3, at first"), migrate),
    "damaged": (_damaged, migrate),
    "new": (_nothing, migrate),
    "restore": (_nothing, restore),
}


def main(case: str, stride: int, root: Path) -> None:
    prepare, act = CASES[case]
    wanted = None
    for step in itertools.chain([0], itertools.count(1, stride)):  # the first is never killed
        folder = root / str(step)
        folder.mkdir(parents=True)
        prepare(folder)
        was_killed = _is_killed(act, folder, step or sys.maxsize)
        if was_killed:
            assert not _is_killed(act, folder, sys.maxsize), f"killed before call {step}: it cannot begin again"
        found = _contents(folder)
        wanted = wanted or found
        assert found == wanted, f"killed before call {step}: {found} instead of {wanted}"
        shutil.rmtree(folder)
        if step and not was_killed:
            sys.stdout.write(f"\n{step}\n")
            return


def _is_killed(act: Callable[[Path], None], folder: Path, step: int) -> bool:
    pid = os.fork()
    if not pid:
        _die_before(step)
        act(folder)
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.waitstatus_to_exitcode(status) == 0, f"an attempt failed with {status}"
    return False


def _die_before(step: int) -> None:
    calls = itertools.count(1)

    def look(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401  the interpreter's
        if event == "c_call" and str(frame.f_globals.get("__name__", "")).startswith(_WATCHED) and next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)


_MOMENT = re.compile(r"(?<=,)1\d{12}(?=\);)")  # when a decision was made: at each try


def _contents(folder: Path) -> dict[str, list[str]]:
    """Read both databases, and which copies lie beside them."""
    found = {}
    for name in ("index.db", "operators.db"):
        with contextlib.closing(sqlite3.connect(folder / name)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            found[name] = [f"version {version}", *sorted(_MOMENT.sub("NOW", line) for line in connection.iterdump())]
    beside = {path.name.partition("damaged-")[0] for path in folder.iterdir() if path.suffix not in {".db-wal", ".db-shm"}}
    return {**found, "beside": sorted(beside)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        main(sys.argv[1], int(sys.argv[2]), Path(place))
