"""A worker in a process of its own: it serves, reports to the supervisor, and at SIGTERM lets responses and fills come to their end.

python -m regproxy.server.worker LINE: the descriptor of the socket to the supervisor.
"""

import asyncio
import logging
import os
import pickle
import signal
import sys
from socket import MSG_WAITALL, recv_fds, socket

from regproxy import __version__
from regproxy.config import Settings
from regproxy.fleet.rpc import SupervisorClient
from regproxy.ports import StoreError
from regproxy.server import gc
from regproxy.server.answering import answering
from regproxy.server.child import VERSION, die_with
from regproxy.server.limits import share_arenas, take_all_files
from regproxy.server.loop import new_loop
from regproxy.server.process import SIZE
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.telemetry import log, tracing
from regproxy.telemetry.log import fields
from regproxy.wiring.running import running

_log = logging.getLogger(__name__)

_MAX_LISTENERS = 253  # descriptors in one message (unix(7), SCM_MAX_FD)


def main() -> None:
    """Serve as a program of its own, unless it is of another version than the supervisor."""
    if (theirs := os.environ.get(VERSION, "")) != __version__:
        # What we would be told are settings of another version, and all that we said would be read by it.
        log.configure("info")
        _log.error(
            "a worker cannot serve: another version was installed over the running one: restart regproxy",
            extra=fields(running=theirs, installed=__version__),
        )
        sys.exit(1)
    die_with(os.getppid())
    serve(socket(fileno=int(sys.argv[1])))


def serve(line: socket) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; it says over *line* how and where, and closes it where it cannot start."""
    share_arenas()
    if (told := _told(line)) is None:
        return
    settings, listeners = told
    log.configure(settings.log_level, settings.log_format)
    take_all_files()
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_serve(settings, line, listeners))
    except StoreError as error:
        _log.error("a worker cannot serve", extra=fields(reason=str(error)))
        sys.exit(1)


def _told(line: socket) -> tuple[Settings, Listeners] | None:
    begun, descriptors, _, _ = recv_fds(line, 1, _MAX_LISTENERS)
    if not begun:
        return None
    listeners = [socket(fileno=number) for number in descriptors]
    for each in listeners:
        each.set_inheritable(False)
    size = int.from_bytes(line.recv(SIZE, MSG_WAITALL))
    settings: Settings = pickle.loads(line.recv(size, MSG_WAITALL))  # noqa: S301 -- the supervisor's; nobody else is at the other end
    return settings, listeners


async def _serve(settings: Settings, line: socket, listeners: Listeners) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    supervisor = await SupervisorClient.connected(line)

    def report(status: WorkerStatus) -> None:
        supervisor.report(status.document())

    async with running(_die_with(supervisor)), tracing.exporting(os.environ):
        async with answering(settings, listeners, supervisor, supervisor.key_values, report) as server:
            collecting = asyncio.create_task(gc.collect(lambda: len(server.connections)))
            await stop.wait()
        collecting.cancel()
    await supervisor.close()


async def _die_with(supervisor: SupervisorClient) -> None:
    """End at once when the supervisor dies. The kernel signals that only from this call on (prctl(2), PR_SET_PDEATHSIG)."""
    await supervisor.gone()
    os._exit(1)


if __name__ == "__main__":
    main()
