"""By which certificate authorities hosts are verified. Those of the system are read where a host needs them, and once until they change.

aiohttp reads them twice where it is imported, for contexts of its own: 35 ms and 2.4 MB. No connection of ours uses those.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from regproxy.policy.upstream.transport import Tls


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return how a host is verified that is spoken to as *tls* says; raise `OSError` where its files cannot be used."""
    if tls == Tls():
        return system_context()
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    if tls.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def system_context() -> ssl.SSLContext:
    """Return how a host is verified by the authorities of the system, as they are now: the same for all until they change."""
    paths = ssl.get_default_verify_paths()
    return _read(*map(_version, (paths.cafile, paths.capath)))


@lru_cache(1)
def _read(*_versions: tuple[object, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _version(path: str | None) -> tuple[object, ...]:
    """Return what differs where the file or folder at *path* is another one, or was written since."""
    if path is None:
        return ()
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return path, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def unread() -> Iterator[None]:
    """Have contexts that are made meanwhile know no authority of the system, so that they accept nobody: for the import of aiohttp."""
    ssl.SSLContext.set_default_verify_paths = _read_nothing  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # what it inherits is seen again


def _read_nothing(context: ssl.SSLContext) -> None:
    """Take the place of `SSLContext.set_default_verify_paths`."""
