"""Clients sent to the object store for a large blob, by a URL that is signed for a minute.

What the client gets there is not verified by us, but by its digest, as every client does. The URL is a key: it is given only to whoever
may pull the blob, never logged, and for private content only where the configuration says so.
"""

from dataclasses import dataclass

from regproxy.asker import asker
from regproxy.behind.holders import Holders
from regproxy.oci.digest import Digest
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.routing import Route, Upstream
from regproxy.telemetry import metrics


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the client finds the blob."""

    url: str


@dataclass(frozen=True, slots=True)
class Redirects:
    """Signs URLs of blobs of at least *least* bytes that *holders* find, private ones too where it *may_be_private*."""

    holders: Holders
    least: int
    may_be_private: bool

    async def find(self, route: Route, digest: Digest, size: int | None) -> Elsewhere | None:
        """Return where a blob is that may be served now, of *size* bytes if that is known; None where it is served by us."""
        if (size is not None and size < self.least) or not (self.may_be_private or is_public(route.upstream)):
            return None
        if (url := await self.holders.signed(route.repository, digest, self.least)) is None:
            return None
        metrics.OBJECT_STORE_REDIRECTS.inc()
        return Elsewhere(url)


def is_public(upstream: Upstream) -> bool:
    """Report whether upstream gives it to anybody, as far as that is known: to us without a credential, or to a client without one."""
    if upstream.access is AccessMode.PROVEN:
        return (who := asker.get()) is not None and who.credential is None
    if upstream.access is AccessMode.NONE:
        return False  # it is served to those alone whom a list names
    return not any(host.has_credentials or host.headers or host.tls.certificate for host in upstream.hosts)
