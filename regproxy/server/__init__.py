"""The processes: a supervisor, which keeps the sockets and the store, and workers, which serve; one worker needs no other process."""

import asyncio
from collections.abc import Callable

from regproxy.config import Settings
from regproxy.server.limits import cores, fill_standard_streams
from regproxy.server.loop import new_loop
from regproxy.storage.directory.store_lock import claimed
from regproxy.telemetry import log
from regproxy.telemetry.multiprocess import counting_together
from regproxy.upstream.hosts.authorities import unread


def run(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Serve until SIGTERM or SIGINT; at SIGHUP go by what *reread* gives. Raise `StoreError` or `OSError` where that cannot begin."""
    fill_standard_streams()
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
