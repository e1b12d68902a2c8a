"""Who a connection is of: what its client has shown, and what a trusted proxy says of it."""

import asyncio
import ssl
from hashlib import blake2b

from aiohttp import web

from regproxy.policy.clients.forwarded import ClientFrom, TrustedProxies


def certificate_digest(transport: asyncio.BaseTransport) -> bytes:
    """Return the digest of the certificate that the client has shown; empty where it has none."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    shown = secured.getpeercert(binary_form=True) if secured is not None else None
    return blake2b(shown, digest_size=32).digest() if shown else b""


def speaks_by_header(proxies: TrustedProxies | None, peer: str) -> bool:
    """Report whether each request of *peer* says who asks, because it is one of *proxies* that say so by a header."""
    return proxies is not None and proxies.client_from is not ClientFrom.PROXY_PROTOCOL and proxies.trusts(peer)


def named_by_header(request: web.BaseRequest, proxies: TrustedProxies | None, peer: str) -> web.BaseRequest:
    """Return *request* as one of the client that *peer*, one of *proxies*, names."""
    if proxies is None:
        return request
    return request.clone(remote=proxies.client(peer, request.headers.getall(proxies.client_from.value, ())))
