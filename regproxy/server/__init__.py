"""The processes: a supervisor, which keeps the sockets and the store, and workers, which serve."""

import asyncio
from collections.abc import Callable

from regproxy.config import Settings
from regproxy.server.limits import fill_standard_streams
from regproxy.storage.directory.store_lock import claimed
from regproxy.telemetry import log
from regproxy.telemetry.multiprocess import counting_together


def run(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Serve until SIGTERM or SIGINT; at SIGHUP go by what *reread* gives. Raise `StoreError` or `OSError` where that cannot begin."""
    fill_standard_streams()
    log.configure(settings.log_level, settings.log_format)
    with claimed(settings.store.root, require_mount=settings.store.require_mount), counting_together(settings.store.root, "supervisor"):
        from regproxy.server.supervisor import supervise  # noqa: PLC0415  whoever counts asks the environment where, when it is imported

        asyncio.run(supervise(settings, reread))
