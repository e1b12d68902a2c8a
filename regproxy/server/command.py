"""`regproxy serve`, whoever has read its arguments: load the configuration, then run the server."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from regproxy.config import ConfigError, Settings, load, overlooked
from regproxy.ports import StoreError
from regproxy.server.limits import cores, fill_standard_streams, share_arenas
from regproxy.server.loop import new_loop
from regproxy.storage.directory.store_lock import claimed
from regproxy.telemetry import log
from regproxy.telemetry.multiprocess import counting_together
from regproxy.upstream.hosts.authorities import unread

_CANNOT_START = 1  # exit status: the configuration is right, the machine is in the way
_UNUSABLE = 2  # exit status: the configuration cannot be used, nothing was started
_INTERRUPTED = 130  # exit status: SIGINT, before anybody waits for it


def serve(config: Path | None) -> int:
    """Serve by the configuration in the file *config*, or by the defaults, until SIGTERM or SIGINT; return the exit status.

    What is in the way is printed, one line each.
    """
    try:
        for each in overlooked(config, os.environ):
            _say(f"warning: {each}")
        _run(load(config, os.environ), lambda: load(config, os.environ))
    except ConfigError as error:
        _say(str(error))
        return _UNUSABLE
    except (StoreError, OSError) as error:
        _say(f"regproxy cannot serve: {_reason(error)}")
        return _CANNOT_START
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _run(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Serve until SIGTERM or SIGINT; at SIGHUP go by what *reread* gives. Raise `StoreError` or `OSError` where that cannot begin."""
    fill_standard_streams()
    share_arenas()
    log.configure(settings.log_level, settings.log_format)
    root = settings.store.root
    with claimed(root, require_mount=settings.store.require_mount) as claim, counting_together(root, "supervisor"):
        # Whoever counts asks the environment where, when it is imported.
        with unread():
            from regproxy.server.child import forked  # noqa: PLC0415
            from regproxy.server.supervisor import supervise  # noqa: PLC0415
            from regproxy.server.worker import serve  # noqa: PLC0415
            from regproxy.wiring import import_features  # noqa: PLC0415

        import_features(settings)
        count = cores() if settings.workers == "auto" else settings.workers
        children = forked(count if count > 1 else 0, serve, [claim])
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(supervise(settings, reread, children))


def _reason(error: StoreError | OSError) -> str:
    """Return what went wrong without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename is None:
        return error.strerror
    return str(error)


def _say(line: str) -> None:
    if sys.stderr is not None:  # it may have been closed before we began
        sys.stderr.write(f"{line}\n")
