"""How the process of a worker begins: as a fork of the supervisor before that runs anything, later as a program of its own.

A fork has nothing to import, which takes a second of a core, and shares the memory of what is imported. It shares no lock and no thread
either, as long as the supervisor has neither threads nor an event loop; once it has, a successor is executed.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import socket, socketpair

from regproxy import __version__
from regproxy.telemetry import metrics
from regproxy.telemetry.multiprocess import NAME

VERSION = "REGPROXY_SUPERVISOR_VERSION"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LINE = 3  # the descriptor of its end of the socket, in a process that is executed


@dataclass(frozen=True, slots=True)
class Child:
    """A process that counts as *name*, and our end of the socket to it, over which it is told what to do."""

    name: str
    pid: int
    line: socket


def forked(count: int, serve: Callable[[socket], None], held: Sequence[int]) -> list[Child]:
    """Fork processes that call *serve* with their end of the socket, and end with it; raise `OSError`.

    They close the descriptors *held*. Garbage is collected from then on, but not among what there is already; also where *count* is 0.
    """
    gc.collect()  # dataclasses with slots, above all: each has another class before it
    gc.freeze()  # pages of objects that nobody looks at stay shared
    children: list[Child] = []
    for name in map(str, range(count)):
        supervisor = os.getpid()
        ours, theirs = socketpair()
        if pid := os.fork():
            theirs.close()
            children.append(Child(name, pid, ours))
            continue
        try:
            ours.close()
            for child in children:
                child.line.close()
            for descriptor in held:
                os.close(descriptor)
            os.setpgid(0, 0)
            die_with(supervisor)
            metrics.count_as(name)
            _read_nothing()
            _end(serve, theirs)
        finally:
            os._exit(1)
    gc.enable()
    return children


def executed(name: str) -> Child:
    """Start `python -m regproxy.server.worker`; raise `OSError`."""
    ours, theirs = socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", "regproxy.server.worker", str(_LINE)]
        environment = {**os.environ, NAME: name, VERSION: __version__}
        streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, theirs.fileno(), _LINE)]
        pid = os.posix_spawn(sys.executable, command, environment, file_actions=streams, setpgroup=0)
    return Child(name, pid, ours)


def die_with(supervisor: int) -> None:
    """Let the kernel kill this process when *supervisor*, its parent, dies. It tells only of deaths from this call on (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _read_nothing() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _end(serve: Callable[[socket], None], line: socket) -> None:
    """End the process with *serve*, as the interpreter would, without what the supervisor does when it ends."""
    status: object = 1
    try:
        serve(line)
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # as the interpreter does
        traceback.print_exc()
    logging.shutdown()
    os._exit(status if isinstance(status, int) else 1)
