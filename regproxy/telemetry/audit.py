"""Changes at the admin port, one line each, also in a file of their own where the configuration names one."""

import logging
import os
from pathlib import Path

from regproxy.telemetry.log import Lines, fields

_audit = logging.getLogger("regproxy.audit")
_log = logging.getLogger(__name__)


def record(**values: object) -> None:
    """Report a change."""
    _audit.info("admin change", extra=fields(**values))


def keep_in(path: Path | None) -> None:
    """Write changes to the file at *path* and not to the log, as JSON; None: to the log."""
    for handler in list(_audit.handlers):
        _audit.removeHandler(handler)
        handler.flush()
        handler.close()
    _audit.propagate = path is None
    if path is not None:
        _audit.setLevel(logging.INFO)  # whatever the log leaves out
        _audit.addHandler(Lines(_Appended(path)))
    else:
        _audit.setLevel(logging.NOTSET)


class _Appended:
    """A file that is opened for each write, so that whoever rotates it only has to rename it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            _log.error("audit log cannot be written", extra=fields(path=str(self._path), reason=error.strerror, lines=text.splitlines()))

    def flush(self) -> None:
        """Nothing is kept back."""
