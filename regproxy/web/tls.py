"""The certificate of a port, read again when its files change."""

import logging
import os
import ssl
from typing import TypeAlias

from regproxy.config.tls import ServerTls
from regproxy.log import fields

_Version: TypeAlias = tuple[tuple[int, int, int], ...] | None

_log = logging.getLogger(__name__)


class Certificates:
    """What a port shows its clients: at each handshake the files are looked at, which costs a few microseconds.

    Files that do not fit each other, as while they are being renewed, leave the last good ones in use. A new context each time, since one
    that failed to load is neither the old nor the new.
    """

    def __init__(self, tls: ServerTls) -> None:
        """Read the files; raise `ValueError`."""
        self._tls = tls
        self._version = _version(tls)
        self._current = tls.context()
        self.context = tls.context()  # what the port listens with; every handshake leaves it for the current one
        self.context.sni_callback = self._take_current

    def _take_current(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:  # noqa: ARG002
        self._refresh()
        connection.context = self._current

    def _refresh(self) -> None:
        version = _version(self._tls)
        if version == self._version:
            return
        self._version = version
        try:
            self._current = self._tls.context()
        except ValueError as error:
            _log.warning("a certificate was not renewed", extra=fields(path=str(self._tls.certificate), reason=str(error)))
        else:
            _log.info("a certificate was renewed", extra=fields(path=str(self._tls.certificate)))


def _version(tls: ServerTls) -> _Version:
    """Tell the files from what they were; None where one is missing."""
    try:
        return tuple((found.st_ino, found.st_mtime_ns, found.st_size) for found in map(os.stat, tls.files))
    except OSError:
        return None
