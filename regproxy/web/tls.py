"""The certificate of a port, read again when its files change, and how long its clients stay vouched for."""

import logging
import os
import ssl
import time
from asyncio import BaseTransport
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from regproxy.config.tls import ServerTls
from regproxy.policy.clock import WallClock
from regproxy.telemetry.log import fields

_Version: TypeAlias = tuple[tuple[int, int, int, int], ...] | None

_log = logging.getLogger(__name__)


class Certificates:
    """What a port shows its clients, and whom it takes: the files are looked at for each handshake, which costs a few microseconds.

    Files that do not fit each other, as while they are being renewed, leave the last good ones in use. New files make a new context, with
    session keys of its own: a client whose authority is gone resumes nothing that was begun while it counted.
    """

    def __init__(self, tls: ServerTls, clock: WallClock = time.time, report_end: Callable[[float], None] = lambda _: None) -> None:
        """Read the files; raise `ValueError`. The *clock* gives epoch seconds, and *report_end* takes when a certificate in use ends."""
        self._tls = tls
        self._report_end = report_end
        self._clock = clock
        self._version = self._told = _version(tls)
        self._authorities = _authorities(tls)
        self._current = tls.context()
        report_end(tls.ends_at())
        self._vouching = WeakSet([self._current])  # the contexts that take the same clients as the current one
        self._ends: WeakKeyDictionary[BaseTransport, float] = WeakKeyDictionary()
        self.context = _Renewed(self)

    @property
    def asks_clients(self) -> bool:
        """Whether clients have to be vouched for."""
        return self._tls.client_ca is not None

    def current(self) -> ssl.SSLContext:
        """Return the context of the files as they are now, or of the last ones that could be used."""
        version = _version(self._tls)
        if version != self._version:
            self._renew(version)
        return self._current

    def is_trusted(self, transport: BaseTransport) -> bool:
        """Report whether the client of a connection would still be taken: its authority counts, and its certificate's time is not over."""
        if self._tls.client_ca is None:
            return True
        self.current()
        if (ends_at := self._ends.get(transport)) is None:
            ends_at = self._ends[transport] = _ends_at(transport)
        secured: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return secured.context in self._vouching and self._clock() <= ends_at

    def _renew(self, version: _Version) -> None:
        """Load the files; what cannot be used now may be later, even if no file changes meanwhile: there may be no descriptor left."""
        try:
            authorities = _authorities(self._tls)
            context = self._tls.context()
            ends_at = self._tls.ends_at()
        except (OSError, ValueError) as error:
            if version != self._told:
                self._told = version
                _log.warning("certificate not reloaded", extra=fields(path=str(self._tls.certificate), reason=str(error)))
            return
        self._version = self._told = version
        if authorities != self._authorities:
            self._vouching.clear()
        self._current, self._authorities = context, authorities
        self._vouching.add(context)
        self._report_end(ends_at)
        _log.info("certificate reloaded", extra=fields(path=str(self._tls.certificate)))


class _Renewed(ssl.SSLContext):
    """What a port listens with: each connection is secured by the context that is current then."""

    _certificates: Certificates

    def __new__(cls, certificates: Certificates) -> "_Renewed":  # noqa: ARG004  ssl.SSLContext takes the protocol here
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401  as ssl.SSLContext has it
        return self._certificates.current().wrap_bio(*arguments, **named)


def _ends_at(transport: BaseTransport) -> float:
    certificate = transport.get_extra_info("peercert") or {}
    return ssl.cert_time_to_seconds(certificate["notAfter"]) if "notAfter" in certificate else 0.0


def _authorities(tls: ServerTls) -> bytes | None:
    """Read who vouches for clients, before it is loaded: what changes in between is seen to have changed."""
    return tls.client_ca.read_bytes() if tls.client_ca is not None else None


def _version(tls: ServerTls) -> _Version:
    """Distinguish the files from what they were; None where one is missing. A copy may keep all but the time of its inode's change."""
    try:
        return tuple((found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size) for found in map(os.stat, tls.files))
    except OSError:
        return None
